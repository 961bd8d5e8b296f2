//! The seven tools of ticket routing. Each gives an answer or a finding; none can lose the ticket.

pub mod entities;
pub mod priority;
pub mod team;

use std::{future::Future, time::Duration};

use serde_json::{Value, json};

use super::{Finding, ToolCall, ToolName};
use crate::{app::App, deadline, error::Result, limits};

/// Collects what the tools were asked and answered, and what they could not give.
#[derive(Debug, Default)]
pub struct Journal {
    /// The calls, in order of their end.
    pub calls: Vec<ToolCall>,
    /// What was missing.
    pub findings: Vec<Finding>,
}

/// What a tool came to: its answer when it had one, the call to keep, and the finding when it failed.
pub struct Outcome<T> {
    answer: Option<T>,
    call: ToolCall,
    finding: Option<Finding>,
}

impl Journal {
    /// Keeps the record of a call and gives its answer.
    pub fn keep<T>(&mut self, outcome: Outcome<T>) -> Option<T> {
        self.calls.push(outcome.call);
        self.findings.extend(outcome.finding);
        outcome.answer
    }

    /// Runs a tool that only computes and always has an answer.
    pub fn compute<T>(
        &mut self,
        app: &App,
        name: ToolName,
        input: Value,
        work: impl FnOnce() -> T,
        show: impl FnOnce(&T) -> Value,
    ) -> T {
        let (answer, took) = timed(app, work);
        self.computed(name, input, show(&answer), took);
        answer
    }

    /// Keeps the record of a tool that only computes and had its answer after so long.
    pub fn computed(&mut self, name: ToolName, input: Value, output: Value, took: Duration) {
        self.calls.push(ToolCall { name, input, output, duration_ms: millis(took), ok: true });
    }
}

/// Runs what only computes, and measures it.
pub(super) fn timed<T>(app: &App, work: impl FnOnce() -> T) -> (T, Duration) {
    let started = app.clock.monotonic();
    let answer = work();
    (answer, app.clock.monotonic().saturating_sub(started))
}

/// Runs a tool that asks the outside, for at most [`limits::TOOL_TIME`].
pub async fn ask<T>(
    app: &App,
    name: ToolName,
    input: Value,
    work: impl Future<Output = Result<T>>,
    show: impl FnOnce(&T) -> Value,
) -> Outcome<T> {
    let started = app.clock.monotonic();
    let result = deadline::within(app.clock.as_ref(), limits::TOOL_TIME, name.word(), work).await;
    outcome(name, input, result, app.clock.monotonic().saturating_sub(started), show)
}

/// Runs a tool that computes and may fail.
pub fn attempt<T>(
    app: &App,
    name: ToolName,
    input: Value,
    work: impl FnOnce() -> Result<T>,
    show: impl FnOnce(&T) -> Value,
) -> Outcome<T> {
    let started = app.clock.monotonic();
    let result = work();
    outcome(name, input, result, app.clock.monotonic().saturating_sub(started), show)
}

fn outcome<T>(
    name: ToolName,
    input: Value,
    result: Result<T>,
    took: Duration,
    show: impl FnOnce(&T) -> Value,
) -> Outcome<T> {
    let duration_ms = millis(took);
    match result {
        Ok(answer) => {
            let call = ToolCall { name, input, output: show(&answer), duration_ms, ok: true };
            Outcome { answer: Some(answer), call, finding: None }
        }
        Err(error) => {
            metrics::counter!("switchboard_tool_failures_total", "tool" => name.word()).increment(1);
            let detail = error.report();
            let call = ToolCall { name, input, output: json!({"error": detail}), duration_ms, ok: false };
            Outcome { answer: None, call, finding: Some(Finding { tool: name, detail }) }
        }
    }
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(took: Duration) -> f64 {
    priority::round(took.as_secs_f64() * 1e3, 3)
}
