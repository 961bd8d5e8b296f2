//! A sequence of checks: a heading and the time for each, the first failure stops, a summary ends it.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::project::Project;

/// One check.
pub(crate) struct Step {
    /// What the heading, the summary and the failure call it.
    pub(crate) name: &'static str,
    /// Does the check.
    pub(crate) run: fn(&Project) -> Result<()>,
}

/// Runs the steps in order. The last line printed, here or by the caller who prints the error, tells how it ended.
pub(crate) fn run_all(project: &Project, steps: &[Step]) -> Result<()> {
    let begin = now();
    let mut summary = Vec::new();
    let mut failure = None;
    for (index, step) in steps.iter().enumerate() {
        if failure.is_some() {
            summary.push(format!("  {:<8} not run", step.name));
            continue;
        }
        println!("\n==> {}/{} {}", index + 1, steps.len(), step.name);
        let step_begin = now();
        let result = (step.run)(project);
        let elapsed = seconds(step_begin.elapsed());
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        println!("<== {}: {outcome} after {elapsed}", step.name);
        summary.push(format!("  {:<8} {outcome:<8} {elapsed:>8}", step.name));
        failure = result.err().map(|error| (step.name, error));
    }

    println!("\nsummary");
    for line in summary {
        println!("{line}");
    }
    let elapsed = seconds(begin.elapsed());
    match failure {
        None => println!("PASSED: all {} steps in {elapsed}", steps.len()),
        Some((name, error)) => return Err(anyhow!("FAILED at step `{name}` after {elapsed}: {error:#}")),
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "measures how long a person waited; nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn pass(_: &Project) -> Result<()> {
        Ok(())
    }

    fn fail(_: &Project) -> Result<()> {
        Err(anyhow!("inner").context("outer"))
    }

    fn must_not_run(_: &Project) -> Result<()> {
        panic!("a step ran after a failure")
    }

    #[test]
    fn the_first_failure_stops_and_is_named() {
        let project = Project::at(Path::new("/nowhere"), &|_| None);
        let steps = [
            Step { name: "first", run: pass },
            Step { name: "second", run: fail },
            Step { name: "third", run: must_not_run },
        ];
        assert!(run_all(&project, &steps[..1]).is_ok());
        let error = run_all(&project, &steps).unwrap_err().to_string();
        assert!(error.starts_with("FAILED at step `second` after "), "{error}");
        assert!(error.ends_with(": outer: inner"), "{error}");
    }
}
