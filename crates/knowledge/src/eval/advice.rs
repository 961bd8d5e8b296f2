//! What to do about what an audit found.

use super::audit::{Audit, RARE};

/// Fewer texts than this say little about all the others.
const FEW: usize = 300;
/// Labels that are taken for each other this often may be one.
const CONFUSED: f64 = 0.15;
/// A ceiling below this is worth more work on the labels than on the classifier.
const LOW_CEILING: f64 = 0.99;
/// A coverage at 95 % precision from which on automatic routing pays.
const WORTHWHILE: f64 = 0.3;
/// Names in one line.
const NAMES: usize = 5;

pub(super) fn advice(audit: &Audit) -> Vec<String> {
    let metrics = &audit.metrics;
    let mut lines = Vec::new();
    let coverage = metrics.coverage_at_precision.get("0.95").copied().unwrap_or_default();
    if metrics.accuracy <= audit.most_frequent_share {
        lines.push(format!(
            "Nothing was learned beyond the most frequent label ({}): check that the text and label columns are the right \
             ones.",
            percent(audit.most_frequent_share)
        ));
    } else if coverage >= WORTHWHILE {
        lines.push(format!(
            "Begin with automatic routing at 95 % precision: {} of the tickets go without a person, the others to review.",
            percent(coverage)
        ));
    } else {
        lines.push(format!(
            "Begin with suggestions: at 95 % precision only {} of the tickets can be routed automatically.",
            percent(coverage)
        ));
    }
    if metrics.n < FEW {
        lines.push(format!("{} texts are few: with more, the figures become surer and better.", metrics.n));
    }
    if !audit.rare_labels.is_empty() {
        let names = audit.rare_labels.iter().map(|label| label.label.as_str());
        lines.push(format!(
            "Labels with fewer than {RARE} texts cannot be learned: collect more, or merge them ({}).",
            listed(names, audit.rare_labels.len())
        ));
    }
    if audit.conflicts.texts > 0 && audit.conflicts.ceiling < LOW_CEILING {
        lines.push(format!(
            "The same text has several labels here and there ({} texts), so that no classifier can be right on more than {} \
             of the rows: agree on one label for each.",
            audit.conflicts.texts,
            percent(audit.conflicts.ceiling)
        ));
    }
    let pairs: Vec<_> = audit.confused_pairs.iter().filter(|pair| pair.share >= CONFUSED).collect();
    if !pairs.is_empty() {
        let names: Vec<String> = pairs.iter().map(|pair| pair.labels.join(" and ")).collect();
        lines.push(format!(
            "Labels that are often taken for each other: say what tells them apart, or merge them ({}).",
            listed(names.iter().map(String::as_str), names.len())
        ));
    }
    lines.push("Read the surest mistakes (--html): many of them are wrong labels.".to_owned());
    lines
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>, all: usize) -> String {
    let shown = names.take(NAMES).collect::<Vec<_>>().join("; ");
    if all > NAMES { format!("{shown}; and {} more", all - NAMES) } else { shown }
}
