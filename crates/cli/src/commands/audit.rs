//! `switchboard audit`: what to expect of automatic routing, from an export alone.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use switchboard_knowledge::eval::{self, Audited};

use super::{
    Session,
    eval::show::{figures, notes, row, stages, weakest},
};
use crate::{
    args::{self, Stages},
    measuring::{Loaded, Measuring, ReadFile},
    output::{self, percent},
    report,
};

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    audit: &'a eval::Audit,
    stage: &'static str,
    data: &'a ReadFile,
    notes: &'a [String],
}

pub(super) fn audit(session: &Session, args: &args::Audit) -> Result<ExitCode> {
    let measuring = Measuring::new(session, &args.measuring)?;
    let Loaded { rows, file, months, mut notes } = measuring.load(&args.file, args.date_column.as_deref())?;
    let all_usable = file.report.usable;
    let Audited { audit, mistakes } = measuring.run(|options| eval::audit(rows, months, options))?;
    if audit.repeated_rows > 0 {
        notes.push(format!("rows that repeat a text under the same label and count once: {}", audit.repeated_rows));
    }
    if audit.months.is_none() {
        notes.push("no dates were found, so nothing is said about months; name them by --date-column".to_owned());
    }
    let stage = if measuring.stages() == Stages::One { "one" } else { "both" };
    if let Some(path) = &args.measuring.html {
        let name = args.file.file_name().unwrap_or(args.file.as_os_str()).to_string_lossy();
        report::write(path, &report::of_audit(&name, &audit, &mistakes, &notes))?;
    }
    if session.global.json {
        output::json(&Printed { audit: &audit, stage, data: &file, notes: &notes })?;
    } else {
        show(&audit, all_usable, stages(&audit.training, &audit.metrics, stage));
        self::notes(&notes);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(audit: &eval::Audit, usable: u64, stages: String) {
    let metrics = &audit.metrics;
    let mut rows = vec![
        row("tickets", format!("{usable}, of which {} different ones in scope were asked about", metrics.n)),
        row(
            "labels",
            format!("{}; the most frequent one has {}", audit.training.labels, percent(audit.most_frequent_share)),
        ),
    ];
    rows.push(row("stages", stages));
    if let Some(months) = &audit.months {
        rows.push(row(
            "tickets of a month",
            format!("{:.0} ({} to {})", months.tickets_per_month, months.first, months.last),
        ));
    }
    rows.extend(figures(metrics));
    if audit.conflicts.texts > 0 {
        rows.push(row(
            "same text, several labels",
            format!(
                "{} texts; nobody is right on more than {}",
                audit.conflicts.texts,
                percent(audit.conflicts.ceiling)
            ),
        ));
    }
    rows.push(row("cost of an answer", "$0 (computed here)".to_owned()));
    println!("What to expect, from five folds that were each held back:");
    output::table(&["measure", "value"], rows, "");
    println!("\nAutomatic routing:");
    let mut headers = vec!["precision", "routed"];
    if audit.routed_per_month.is_some() {
        headers.push("tickets of a month");
    }
    let routing = metrics.coverage_at_precision.iter().map(|(precision, coverage)| {
        let mut cells = vec![percent(precision.parse().unwrap_or_default()), percent(*coverage)];
        let of_month = audit.routed_per_month.as_ref().and_then(|months| months.get(precision));
        cells.extend(of_month.map(|n| format!("{n:.0}")));
        cells
    });
    output::table(&headers, routing.collect(), "");
    println!("\nMost confused labels:");
    let pairs = audit.confused_pairs.iter().map(|pair| {
        let [one, other] = &pair.labels;
        vec![one.clone(), other.clone(), pair.n.to_string(), percent(pair.share)]
    });
    output::table(&["label", "and", "texts", "of both"], pairs.collect(), "none");
    if !audit.rare_labels.is_empty() {
        println!("\nToo rare to learn:");
        let rare = audit.rare_labels.iter().map(|rare| vec![rare.label.clone(), rare.n.to_string()]);
        output::table(&["label", "texts"], rare.collect(), "");
    }
    weakest(metrics);
    println!();
    for line in &audit.advice {
        println!("- {}", output::printable(line));
    }
}
