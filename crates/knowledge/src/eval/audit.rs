//! What to expect of automatic routing, from an export alone.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    Metrics,
    advice::advice,
    metrics::{measure, share},
    months::Months,
    run::{EvalError, EvalOptions, Mistake, TrainingFacts, study, surest_mistakes},
    split::{Conflicts, conflicts, deduplicate},
};
use crate::{dataset::Row, is_out_of_scope};

/// Rows that a label needs to be learned.
pub(super) const RARE: usize = 10;
/// Confused pairs that are told.
const PAIRS: usize = 10;

/// What to expect, as `switchboard audit --json` prints it. Each figure comes from models of five folds, each asked about the
/// texts that it has not learned from.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// How good the answers are.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The share of the most frequent label: the accuracy of somebody who always answers with it.
    pub most_frequent_share: f64,
    /// How many tickets come in a month, where there is a column of dates.
    pub months: Option<Months>,
    /// By precision: tickets of a month that can be routed automatically.
    pub routed_per_month: Option<BTreeMap<String, f64>>,
    /// What one answer costs in US dollars: nothing, it is computed here.
    pub cost_usd_per_item: f64,
    /// The labels that are confused most, whichever way.
    pub confused_pairs: Vec<ConfusedPair>,
    /// Labels with fewer than 10 rows, the rarest first.
    pub rare_labels: Vec<RareLabel>,
    /// Rows that repeat a text under the same label; they count once.
    pub repeated_rows: usize,
    /// The same text under several labels.
    pub conflicts: Conflicts,
    /// What was learned from.
    pub training: TrainingFacts,
    /// What to do.
    pub advice: Vec<String>,
}

/// Two labels that are taken for each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfusedPair {
    /// The labels, in the order of the alphabet.
    pub labels: [String; 2],
    /// Texts of one that were answered with the other.
    pub n: usize,
    /// Their share of all texts of both labels.
    pub share: f64,
}

/// A label that is too rare to be learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RareLabel {
    /// The label.
    pub label: String,
    /// Different texts that have it.
    pub n: usize,
}

/// An audit with texts for people to read.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The figures.
    pub audit: Audit,
    /// The wrong answers that were surest; many of them are wrong labels.
    pub mistakes: Vec<Mistake>,
}

/// Says what to expect of automatic routing for tickets such as `rows`.
pub fn audit(rows: Vec<Row>, months: Option<Months>, options: &EvalOptions<'_>) -> Result<Audited, EvalError> {
    let conflicts = conflicts(&rows);
    let (rows, repeated_rows) = deduplicate(rows);
    let studied = study(&rows, options)?;
    let names = studied.corpus.labels();
    let answers = studied.held_back();
    let metrics = measure(names, &answers);
    let mut counts = vec![0usize; names.len()];
    for (_, label) in studied.corpus.examples() {
        if let Some(count) = counts.get_mut(label as usize) {
            *count += 1;
        }
    }
    let mut rare_labels: Vec<RareLabel> = names
        .iter()
        .zip(&counts)
        .filter(|(_, n)| **n < RARE)
        .map(|(label, n)| RareLabel { label: label.clone(), n: *n })
        .collect();
    rare_labels.sort_by_key(|label| label.n);
    let routed_per_month = months.as_ref().map(|months| {
        let of = |(precision, coverage): (&String, &f64)| (precision.clone(), months.tickets_per_month * coverage);
        metrics.coverage_at_precision.iter().map(of).collect()
    });
    // Answers come in the order of the examples, which leaves the out-of-scope rows out.
    let examples: Vec<Row> = rows.into_iter().filter(|row| !is_out_of_scope(&row.label)).collect();
    let mistakes = surest_mistakes(&examples, &answers, names);
    let mut audit = Audit {
        confused_pairs: confused_pairs(&metrics),
        most_frequent_share: share(counts.iter().max().copied().unwrap_or_default(), counts.iter().sum()),
        metrics,
        months,
        routed_per_month,
        cost_usd_per_item: 0.0,
        rare_labels,
        repeated_rows,
        conflicts,
        training: studied.facts,
        advice: Vec::new(),
    };
    audit.advice = advice(&audit);
    Ok(Audited { audit, mistakes })
}

fn confused_pairs(metrics: &Metrics) -> Vec<ConfusedPair> {
    let mut counts: HashMap<[&str; 2], usize> = HashMap::new();
    for mistake in metrics.mistakes() {
        let mut labels = [mistake.label.as_str(), mistake.predicted.as_str()];
        labels.sort_unstable();
        *counts.entry(labels).or_default() += mistake.n;
    }
    let texts = |label: &str| metrics.per_class.get(label).map_or(0, |class| class.n);
    let mut pairs: Vec<ConfusedPair> = counts
        .into_iter()
        .map(|(labels, n)| ConfusedPair {
            share: share(n, labels.iter().map(|label| texts(label)).sum()),
            labels: labels.map(str::to_owned),
            n,
        })
        .collect();
    pairs.sort_by(|one, other| other.n.cmp(&one.n).then_with(|| one.labels.cmp(&other.labels)));
    pairs.truncate(PAIRS);
    pairs
}
