//! A report in one HTML file: plots, tables, mistakes. It loads nothing, so that it can be sent around and read anywhere.

mod plots;

use std::{fs, path::Path};

use anyhow::{Context, Result};
use minijinja::Environment;
use serde::Serialize;
use switchboard_knowledge::eval::{Audit, Evaluation, Metrics, Mistake};

use crate::output::percent;

/// The ending of the name switches the escaping on: labels and texts come from strangers.
const TEMPLATE: &str = "report.html";
/// Confusions in the table.
const CONFUSIONS: usize = 30;

/// What the template shows.
#[derive(Default, Serialize)]
pub(crate) struct Page {
    title: &'static str,
    name: String,
    tiles: Vec<Tile>,
    advice: Vec<String>,
    notes: Vec<String>,
    plots: Option<plots::Plots>,
    tables: Vec<Sheet>,
    mistakes: Vec<Mistake>,
}

#[derive(Serialize)]
struct Tile {
    name: &'static str,
    value: String,
    explained: String,
}

#[derive(Serialize)]
struct Sheet {
    title: &'static str,
    explained: &'static str,
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Writes a report.
pub(crate) fn write(path: &Path, page: &Page) -> Result<()> {
    let html = render(page)?;
    fs::write(path, html).with_context(|| format!("the report {} cannot be written", path.display()))
}

fn render(page: &Page) -> Result<String> {
    let mut environment = Environment::new();
    environment.add_template(TEMPLATE, include_str!("report.html")).context("the template of the report is broken")?;
    environment.get_template(TEMPLATE)?.render(page).context("the report cannot be made")
}

/// The report of `eval`.
pub(crate) fn of_evaluation(
    name: &str,
    evaluation: &Evaluation,
    mistakes: &[Mistake],
    notes: &[String],
    stages: String,
) -> Page {
    let metrics = &evaluation.metrics;
    let mut tiles = tiles(metrics);
    let latency = &evaluation.latency_ms;
    tiles.push(tile(
        "Time of an answer",
        format!("{:.3} ms", latency.p50),
        format!("p99 {:.3} ms, on one core", latency.p99),
    ));
    tiles.push(tile("Cost of an answer", "$0".to_owned(), "computed on this machine".to_owned()));
    let training = &evaluation.training;
    let learned = format!("{} texts", training.examples + training.out_of_scope);
    tiles.push(tile("Learned from", learned, format!("{} labels, {:.1} s", training.labels, training.seconds)));
    tiles.push(tile("Asked for meaning", percent(metrics.stages.two), format!("stages: {stages}")));
    let routing = evaluation.thresholds.iter().map(|(wanted, found)| {
        vec![
            percent(wanted.parse().unwrap_or_default()),
            found.threshold.map_or("none".to_owned(), |at| format!("{at:.3}")),
            percent(found.coverage),
            found.precision.map_or("–".to_owned(), percent),
            metrics.coverage_at_precision.get(wanted).map_or("–".to_owned(), |best| percent(*best)),
        ]
    });
    let routing = Sheet {
        title: "Automatic routing",
        explained: "Thresholds were learned from training alone; “at best” chooses them on the test itself.",
        headers: vec!["Precision wanted", "Threshold", "Routed", "Precision found", "Routed at best"],
        rows: routing.collect(),
    };
    Page {
        title: "Evaluation",
        name: name.to_owned(),
        tiles,
        notes: notes.to_vec(),
        plots: Some(plots::of(metrics)),
        tables: vec![routing, confusions(metrics), classes(metrics)],
        mistakes: mistakes.to_vec(),
        ..Page::default()
    }
}

/// The report of `audit`.
pub(crate) fn of_audit(name: &str, audit: &Audit, mistakes: &[Mistake], notes: &[String]) -> Page {
    let metrics = &audit.metrics;
    let mut tiles = tiles(metrics);
    tiles.push(tile(
        "Labels",
        audit.training.labels.to_string(),
        format!("the most frequent one has {}", percent(audit.most_frequent_share)),
    ));
    if audit.conflicts.texts > 0 {
        let several = format!("texts with several labels: {}", audit.conflicts.texts);
        tiles.push(tile("Best possible", percent(audit.conflicts.ceiling), several));
    }
    if let Some(months) = &audit.months {
        let between = format!("{} to {}", months.first, months.last);
        tiles.push(tile("Tickets of a month", format!("{:.0}", months.tickets_per_month), between));
    }
    tiles.push(tile("Cost of an answer", "$0".to_owned(), "computed on this machine".to_owned()));
    let mut headers = vec!["Precision", "Routed"];
    if audit.routed_per_month.is_some() {
        headers.push("Tickets of a month");
    }
    let routing = metrics.coverage_at_precision.iter().map(|(precision, coverage)| {
        let mut cells = vec![percent(precision.parse().unwrap_or_default()), percent(*coverage)];
        let of_month = audit.routed_per_month.as_ref().and_then(|months| months.get(precision));
        cells.extend(of_month.map(|n| format!("{n:.0}")));
        cells
    });
    let routing = Sheet {
        title: "Automatic routing",
        explained: "The share of the tickets that can go to their team without a person, by the precision that is asked for.",
        headers,
        rows: routing.collect(),
    };
    let pairs = audit.confused_pairs.iter().map(|pair| {
        let [one, other] = &pair.labels;
        vec![one.clone(), other.clone(), pair.n.to_string(), percent(pair.share)]
    });
    let pairs = Sheet {
        title: "Most confused labels",
        explained: "Texts of one label that were answered with the other, either way, and their share of both.",
        headers: vec!["Label", "And", "Texts", "Of both"],
        rows: pairs.collect(),
    };
    let rare = Sheet {
        title: "Too rare to learn",
        explained: "Labels with fewer than ten different texts.",
        headers: vec!["Label", "Texts"],
        rows: audit.rare_labels.iter().map(|rare| vec![rare.label.clone(), rare.n.to_string()]).collect(),
    };
    Page {
        title: "Audit",
        name: name.to_owned(),
        tiles,
        advice: audit.advice.clone(),
        notes: notes.to_vec(),
        plots: Some(plots::of(metrics)),
        tables: vec![routing, pairs, rare, classes(metrics)],
        mistakes: mistakes.to_vec(),
    }
}

fn tile(name: &'static str, value: String, explained: String) -> Tile {
    Tile { name, value, explained }
}

fn tiles(metrics: &Metrics) -> Vec<Tile> {
    let [low, high] = metrics.accuracy_ci95;
    let coverage = metrics.coverage_at_precision.get("0.97").copied().unwrap_or_default();
    let mut tiles = vec![
        tile("Accuracy", percent(metrics.accuracy), format!("95 %: {} to {}", percent(low), percent(high))),
        tile("Routed at 97 % precision", percent(coverage), "of all texts".to_owned()),
        tile("Macro F1", format!("{:.3}", metrics.macro_f1), "each label weighs the same".to_owned()),
        tile("Calibration error", format!("{:.3}", metrics.ece), "between confidence and accuracy".to_owned()),
    ];
    let scope = &metrics.out_of_scope;
    if let Some(recall) = scope.recall {
        tiles.push(tile(
            "Out of scope found",
            percent(recall),
            format!("of {}; {} of the others right and kept", scope.n, percent(scope.in_scope_accuracy)),
        ));
    }
    tiles
}

fn confusions(metrics: &Metrics) -> Sheet {
    let rows = metrics.mistakes().into_iter().take(CONFUSIONS);
    Sheet {
        title: "Most frequent mistakes",
        explained: "",
        headers: vec!["Label", "Answered", "Texts"],
        rows: rows.map(|pair| vec![pair.label.clone(), pair.predicted.clone(), pair.n.to_string()]).collect(),
    }
}

fn classes(metrics: &Metrics) -> Sheet {
    let mut classes: Vec<_> = metrics.per_class.iter().collect();
    classes.sort_by(|one, other| one.1.f1.total_cmp(&other.1.f1));
    let rows = classes.into_iter().map(|(label, class)| {
        vec![
            label.clone(),
            class.n.to_string(),
            percent(class.precision),
            percent(class.recall),
            format!("{:.3}", class.f1),
        ]
    });
    Sheet {
        title: "Labels",
        explained: "The weakest first.",
        headers: vec!["Label", "Texts", "Precision", "Recall", "F1"],
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use switchboard_knowledge::{
        Stage,
        eval::{Answer, measure},
    };

    use super::*;

    fn page(labels: usize) -> String {
        let names: Vec<String> = (0..labels).map(|n| format!("<script>alert({n})</script>\"'&")).collect();
        let answer = |n: usize| Answer {
            truth: Some((n % labels) as u32),
            label: ((n * 7 + n / 3) % labels) as u32,
            confidence: n as f64 / 500.0,
            rejected: false,
            stage: Stage::One,
        };
        let metrics = measure(&names, &(0..500).map(answer).collect::<Vec<_>>());
        let mistake = Mistake {
            line: 1,
            text: "<img src=x onerror=alert(1)> {{ 7 * 7 }}".to_owned(),
            label: "</table><script>".to_owned(),
            predicted: "b".to_owned(),
            confidence: 0.5,
        };
        render(&Page {
            title: "Evaluation",
            name: "</title><script>".to_owned(),
            tiles: tiles(&metrics),
            plots: Some(plots::of(&metrics)),
            tables: vec![confusions(&metrics), classes(&metrics)],
            mistakes: vec![mistake],
            notes: vec!["<u>".to_owned()],
            advice: vec!["<i>".to_owned()],
        })
        .unwrap()
    }

    #[test]
    fn nothing_is_injected_and_nothing_is_loaded() {
        for labels in [2, 12, 40] {
            let html = page(labels);
            for part in ["<script", "<img", "<u>", "<i>", "http:", "https:", "url(", "@import", "src=\"", "href="] {
                assert!(!html.contains(part), "{part} is in the report of {labels} labels");
            }
            assert!(html.contains("&lt;script&gt;alert(0)"), "the label is shown as it is");
            assert!(html.contains("{{ 7 * 7 }}"), "a text is no template");
            assert_eq!(html.contains("Confusion matrix"), labels <= 30);
        }
    }
}
