use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use switchboard_core::{
    app::App,
    learning::{self, Options, Outcome, Scores, Verdict, audit},
    limits,
    ports::Example,
    tenants::Tenant,
    time::Timestamp,
};

use super::{IN_PART, Session};
use crate::{
    args::{HistoryColumns, HistoryFormat},
    history::{self, Labels},
    operator, output,
};

pub(super) async fn train(
    session: Session,
    tickets: Option<PathBuf>,
    columns: HistoryColumns,
    force: bool,
) -> Result<ExitCode> {
    let wired = session.open().await?;
    let id = session.tenant(wired.app.tenants.as_ref()).await?;
    let tenant = wired.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    if let Some(embedder) = wired.embedding.open()? {
        wired.classifier.with_embeddings(embedder);
    }
    let more = match tickets {
        Some(file) => examples_of(&tenant, &file, &columns, session.global.quiet, wired.app.clock.now())?,
        None => Vec::new(),
    };
    let outcome = run(&session, &wired.app, tenant, Options { force, more }).await?;
    audit::trained(&wired.app, &operator::by(), &id, &outcome)
        .await
        .map_err(|error| anyhow::anyhow!(error.report()))?;
    if session.global.json {
        output::json(&json!({
            "tenant": id, "model": outcome.record, "verdict": word(outcome.verdict), "left_out": outcome.left_out,
        }))?;
    } else {
        show(&outcome);
    }
    Ok(if outcome.verdict == Verdict::Worse { ExitCode::from(IN_PART) } else { ExitCode::SUCCESS })
}

fn examples_of(
    tenant: &Tenant,
    file: &Path,
    columns: &HistoryColumns,
    quiet: bool,
    now: Timestamp,
) -> Result<Vec<Example>> {
    let mut labels = Labels::new(tenant, &columns.map)?;
    let mut examples = Vec::new();
    let report = history::read(file, HistoryFormat::Jsonl, columns, quiet, &mut |row| {
        // More than this is not learned from, and need not be held.
        if examples.len() < limits::EXAMPLES_TO_LEARN {
            examples.extend(labels.example(row, now));
        }
    })?;
    history::tell_left_out(&report, &labels);
    Ok(examples)
}

/// Trains on a thread of its own, with a progress bar on a terminal.
pub(super) async fn run(session: &Session, app: &App, tenant: Arc<Tenant>, options: Options) -> Result<Outcome> {
    let bar = if session.global.quiet { ProgressBar::hidden() } else { ProgressBar::new(1_000) };
    let style = ProgressStyle::with_template("{bar:40} {msg} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (app, runtime, shown) = (app.clone(), tokio::runtime::Handle::current(), bar.clone());
    let trained = tokio::task::spawn_blocking(move || {
        let progress = move |what: &str, share: f64| {
            shown.set_message(what.to_owned());
            shown.set_position((share * 1_000.0) as u64);
        };
        runtime.block_on(learning::train(&app, &tenant, options, &progress))
    });
    let trained = trained.await.context("the training died")?;
    bar.finish_and_clear();
    trained.map_err(|error| anyhow::anyhow!(error.report()))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "in_force",
        Verdict::NothingToCompare => "in_force_not_compared",
        Verdict::Forced => "in_force_by_force",
        Verdict::Worse => "not_in_force",
    }
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn show(outcome: &Outcome) {
    let record = &outcome.record;
    println!("Model {} learned from {} examples.", record.version, record.learned_from);
    if outcome.left_out > 0 {
        println!("{} examples were left out: neither their category nor their team is the tenant's.", outcome.left_out);
    }
    let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), percent);
    let row = |what: &str, scores: &Scores| {
        vec![
            what.to_owned(),
            scores.teams.to_string(),
            share(scores.team_accuracy()),
            share(scores.category_accuracy()),
            format!("{:.3}", scores.calibration_error),
            percent(scores.automatic),
        ]
    };
    let rows = vec![
        row("cross-validated", &record.cross_validated),
        row("held back, this model", &record.held_back),
        row("held back, before", &record.before),
    ];
    output::table(
        &["measured", "examples", "team right", "category right", "ECE", "routed without a person"],
        rows,
        "",
    );
    println!(
        "{}",
        match outcome.verdict {
            Verdict::Better => "It is in force: on the held-back examples it is not worse than what was there.",
            Verdict::NothingToCompare =>
                "It is in force; too few examples are held back to compare it with what was there.",
            Verdict::Forced => "It is worse than what was there, and in force because of --force.",
            Verdict::Worse =>
                "It is NOT in force: it is worse than what is there. `switchboard train --force` overrules this.",
        }
    );
}
