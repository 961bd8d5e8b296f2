//! The figures in tables.

use switchboard_knowledge::eval::{Evaluation, Metrics, TrainingFacts};

use super::Data;
use crate::output::{self, percent};

/// Confusions and labels that people are shown.
const MOST_CONFUSIONS: usize = 15;
const MOST_LABELS: usize = 15;

pub(super) fn show(evaluation: &Evaluation, data: &Data, stage: &str, notes: &[String]) {
    let metrics = &evaluation.metrics;
    let training = &evaluation.training;
    let mut rows = vec![
        row(
            "learned from",
            format!(
                "{} texts, {} labels, {:.1} s",
                training.examples + training.out_of_scope,
                training.labels,
                training.seconds
            ),
        ),
        row("tested with", format!("{} texts, {} of them out of scope", data.test_rows, metrics.out_of_scope.n)),
        row("stages", stages(training, metrics, stage)),
    ];
    rows.extend(figures(metrics));
    let latency = &evaluation.latency_ms;
    rows.push(row("time of an answer", format!("p50 {:.3} ms, p99 {:.3} ms on one core", latency.p50, latency.p99)));
    if latency.stages.len() > 1 {
        for (stage, time) in &latency.stages {
            rows.push(row(&format!("  stage {stage}"), format!("p50 {:.3} ms, p99 {:.3} ms", time.p50, time.p99)));
        }
    }
    rows.push(row("cost of an answer", "$0 (computed here)".to_owned()));
    output::table(&["measure", "value"], rows, "");
    println!("\nAutomatic routing, with thresholds from training alone:");
    let routing = evaluation.thresholds.iter().map(|(wanted, found)| {
        vec![
            percent(wanted.parse().unwrap_or_default()),
            found.threshold.map_or("none".to_owned(), |at| format!("{at:.3}")),
            percent(found.coverage),
            found.precision.map_or("-".to_owned(), percent),
            metrics.coverage_at_precision.get(wanted).map_or("-".to_owned(), |best| percent(*best)),
        ]
    });
    let headers = ["precision wanted", "threshold", "routed", "precision found", "routed at best"];
    output::table(&headers, routing.collect(), "");
    weakest(metrics);
    let confusions: Vec<Vec<String>> = metrics
        .mistakes()
        .into_iter()
        .take(MOST_CONFUSIONS)
        .map(|pair| vec![pair.label.clone(), pair.predicted.clone(), pair.n.to_string()])
        .collect();
    println!("\nMost frequent mistakes:");
    output::table(&["label", "answered", "texts"], confusions, "none");
    self::notes(notes);
}

/// The figures that `eval` and `audit` share.
pub(crate) fn figures(metrics: &Metrics) -> Vec<Vec<String>> {
    let [low, high] = metrics.accuracy_ci95;
    let mut rows = vec![
        row("accuracy", format!("{} (95 %: {} to {})", percent(metrics.accuracy), percent(low), percent(high))),
        row("macro F1", format!("{:.3}", metrics.macro_f1)),
        row("calibration error", format!("{:.3}", metrics.ece)),
    ];
    if let Some(surest) = metrics.accuracy_at_coverage.get("0.9") {
        rows.push(row("accuracy on the surest 90 %", percent(*surest)));
    }
    let scope = &metrics.out_of_scope;
    if scope.n > 0 {
        let some = |share: Option<f64>| share.map_or("-".to_owned(), percent);
        rows.push(row("out of scope", format!("recall {}, precision {}", some(scope.recall), some(scope.precision))));
        rows.push(row("right and not rejected, in scope", percent(scope.in_scope_accuracy)));
    }
    rows
}

/// What became of the stages.
pub(crate) fn stages(training: &TrainingFacts, metrics: &Metrics, stage: &str) -> String {
    match (stage, training.meaning) {
        ("one", _) => "one: words alone".to_owned(),
        (_, "not_worth_it") => "one: meaning added nothing on held-back texts".to_owned(),
        _ => format!("both; meaning was asked for {}", percent(metrics.stages.two)),
    }
}

pub(crate) fn weakest(metrics: &Metrics) {
    let mut classes: Vec<_> = metrics.per_class.iter().collect();
    classes.sort_by(|one, other| one.1.f1.total_cmp(&other.1.f1));
    let all = classes.len();
    classes.truncate(MOST_LABELS);
    match all {
        0..=MOST_LABELS => println!("\nLabels:"),
        _ => println!("\nThe weakest {MOST_LABELS} of {all} labels:"),
    }
    let rows = classes.into_iter().map(|(label, class)| {
        vec![
            label.clone(),
            class.n.to_string(),
            percent(class.precision),
            percent(class.recall),
            format!("{:.3}", class.f1),
        ]
    });
    output::table(&["label", "texts", "precision", "recall", "F1"], rows.collect(), "none");
}

pub(crate) fn notes(notes: &[String]) {
    for note in notes {
        println!("note: {}", output::printable(note));
    }
}

pub(crate) fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}
