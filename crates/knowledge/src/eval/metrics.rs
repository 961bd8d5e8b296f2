//! The figures of answers beside true labels.

use std::collections::BTreeMap;

use serde::Serialize;

use super::routing::{self, CurvePoint};
use crate::{
    Prediction, Stage,
    learn::{ReliabilityBin, calibration_error, reliability},
};

/// The share of the surest answers whose accuracy is told.
const SUREST: [f64; 1] = [0.9];
/// The quantile of the normal distribution that 95 % lie within, on both sides.
const Z95: f64 = 1.959_963_985;

/// What was said of one text, beside its true label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The true label by its place; `None` when the text is out of scope.
    pub truth: Option<u32>,
    /// The most probable label.
    pub label: u32,
    /// Its probability.
    pub confidence: f64,
    /// Whether the text was taken for out of scope.
    pub rejected: bool,
    /// The stage that answered.
    pub stage: Stage,
}

impl Answer {
    /// `prediction` beside the truth.
    pub fn new(truth: Option<u32>, prediction: &Prediction) -> Self {
        let (label, confidence) = prediction.top();
        Self {
            truth,
            label: label as u32,
            confidence: f64::from(confidence),
            rejected: prediction.is_out_of_scope,
            stage: prediction.stage,
        }
    }

    /// Whether the most probable label is the true one.
    pub fn is_right(&self) -> bool {
        self.truth == Some(self.label)
    }
}

/// How good answers are. Shares lie between 0 and 1. "In scope" are the texts whose true label is not out of scope.
#[derive(Clone, Debug, Serialize)]
pub struct Metrics {
    /// Texts in scope: what `accuracy`, `macro_f1`, `ece` and `accuracy_at_coverage` are taken over.
    pub n: usize,
    /// The share of them whose most probable label is the true one, whether or not the text was rejected.
    pub accuracy: f64,
    /// Where the accuracy lies with a probability of 95 % (Wilson score interval), low and high.
    pub accuracy_ci95: [f64; 2],
    /// The mean of the F1 of all labels that are true or answered at least once, each weighing the same.
    pub macro_f1: f64,
    /// The expected calibration error over 15 bins of equal width: how far confidence and accuracy lie apart.
    pub ece: f64,
    /// By precision: the largest share of all texts, out-of-scope ones included, that can be routed by a threshold of
    /// confidence so that this share of them is right. Rejected texts are not routed; out-of-scope texts that are routed are
    /// wrong. The threshold is chosen on these same answers, so this is the best case; see [`super::LearnedThreshold`].
    pub coverage_at_precision: BTreeMap<String, f64>,
    /// By coverage: the accuracy on this share of the texts in scope, the surest first.
    pub accuracy_at_coverage: BTreeMap<String, f64>,
    /// Texts about none of the labels.
    pub out_of_scope: OutOfScope,
    /// Which stage answered.
    pub stages: StageShares,
    /// By label, of the texts in scope.
    pub per_class: BTreeMap<String, ClassMetrics>,
    /// Bins of confidence, of equal width from 0 to 1, of the texts in scope.
    pub reliability: Vec<ReliabilityBin>,
    /// Coverage and precision at about 100 thresholds, the highest first, counted as `coverage_at_precision` is.
    pub coverage_precision_curve: Vec<CurvePoint>,
    /// Pairs of true and answered label that occur, the right ones included, of the texts in scope.
    pub confusion: Vec<Confusion>,
}

/// Texts about none of the labels.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OutOfScope {
    /// Texts that are out of scope.
    pub n: usize,
    /// The share of them that was rejected; `None` without such texts.
    pub recall: Option<f64>,
    /// The share of the rejected texts that is out of scope; `None` when nothing was rejected.
    pub precision: Option<f64>,
    /// The share of the texts in scope that was answered rightly and not rejected.
    pub in_scope_accuracy: f64,
}

/// The shares of the texts that each stage answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StageShares {
    /// Words alone.
    pub one: f64,
    /// Words and meaning.
    pub two: f64,
}

/// One label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Texts that have the label.
    pub n: usize,
    /// The share of the answers with this label that is right; 0 when it was never answered.
    pub precision: f64,
    /// The share of the texts of this label that was answered with it; 0 when there is none.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

/// How often texts of one label were answered with one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The true label.
    pub label: String,
    /// The answered one.
    pub predicted: String,
    /// Texts.
    pub n: usize,
}

impl Metrics {
    /// The pairs of different labels, the most frequent first.
    pub fn mistakes(&self) -> Vec<&Confusion> {
        let mut mistakes: Vec<_> = self.confusion.iter().filter(|pair| pair.label != pair.predicted).collect();
        mistakes.sort_by_key(|pair| std::cmp::Reverse(pair.n));
        mistakes
    }
}

/// Measures `answers`, whose labels are places in `names`.
pub fn measure(names: &[String], answers: &[Answer]) -> Metrics {
    let in_scope: Vec<&Answer> = answers.iter().filter(|answer| answer.truth.is_some()).collect();
    let right = in_scope.iter().filter(|answer| answer.is_right()).count();
    let pairs: Vec<(f64, bool)> = in_scope.iter().map(|answer| (answer.confidence, answer.is_right())).collect();
    let (per_class, confusion) = by_label(names, &in_scope);
    let curve = routing::Curve::of(answers);
    let two = answers.iter().filter(|answer| answer.stage == Stage::Two).count();
    Metrics {
        n: in_scope.len(),
        accuracy: share(right, in_scope.len()),
        accuracy_ci95: wilson(right, in_scope.len()),
        macro_f1: per_class.values().map(|class| class.f1).sum::<f64>() / per_class.len().max(1) as f64,
        ece: calibration_error(&pairs),
        coverage_at_precision: routing::by_precision(|precision| curve.coverage(precision)),
        accuracy_at_coverage: SUREST
            .iter()
            .map(|coverage| (coverage.to_string(), accuracy_of_surest(&pairs, *coverage)))
            .collect(),
        out_of_scope: out_of_scope(answers),
        stages: StageShares { one: share(answers.len() - two, answers.len()), two: share(two, answers.len()) },
        per_class,
        reliability: reliability(&pairs),
        coverage_precision_curve: curve.points(),
        confusion,
    }
}

/// The Wilson score interval of `right` of `n` at 95 %, low and high.
pub fn wilson(right: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (count, share) = (n as f64, right as f64 / n as f64);
    let z2 = Z95 * Z95;
    let middle = (share + z2 / (2.0 * count)) / (1.0 + z2 / count);
    let half = Z95 / (1.0 + z2 / count) * (share * (1.0 - share) / count + z2 / (4.0 * count * count)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

pub(super) fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

fn accuracy_of_surest(pairs: &[(f64, bool)], coverage: f64) -> f64 {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|one, other| other.0.total_cmp(&one.0));
    sorted.truncate((pairs.len() as f64 * coverage).ceil() as usize);
    share(sorted.iter().filter(|(_, right)| *right).count(), sorted.len())
}

fn out_of_scope(answers: &[Answer]) -> OutOfScope {
    let count = |wanted: &dyn Fn(&Answer) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    let n = count(&|answer| answer.truth.is_none());
    let rejected = count(&|answer| answer.rejected);
    let both = count(&|answer| answer.rejected && answer.truth.is_none());
    OutOfScope {
        n,
        recall: (n > 0).then(|| share(both, n)),
        precision: (rejected > 0).then(|| share(both, rejected)),
        in_scope_accuracy: share(count(&|answer| answer.is_right() && !answer.rejected), answers.len() - n),
    }
}

fn by_label(names: &[String], in_scope: &[&Answer]) -> (BTreeMap<String, ClassMetrics>, Vec<Confusion>) {
    let mut pairs: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut counts: BTreeMap<u32, [usize; 3]> = BTreeMap::new();
    for answer in in_scope {
        let truth = answer.truth.unwrap_or_default();
        *pairs.entry((truth, answer.label)).or_default() += 1;
        let [of_label, ..] = counts.entry(truth).or_default();
        *of_label += 1;
        let [_, answered, right] = counts.entry(answer.label).or_default();
        *answered += 1;
        *right += usize::from(answer.is_right());
    }
    let name = |label: u32| names.get(label as usize).cloned().unwrap_or_else(|| format!("label {label}"));
    let classes = counts.into_iter().map(|(label, [n, answered, right])| {
        let (precision, recall) = (share(right, answered), share(right, n));
        let f1 = 2.0 * right as f64 / (n + answered).max(1) as f64;
        (name(label), ClassMetrics { n, precision, recall, f1 })
    });
    let confusion = pairs.into_iter().map(|((truth, predicted), n)| Confusion {
        label: name(truth),
        predicted: name(predicted),
        n,
    });
    (classes.collect(), confusion.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(truth: Option<u32>, label: u32, confidence: f64, rejected: bool) -> Answer {
        Answer { truth, label, confidence, rejected, stage: Stage::One }
    }

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-4
    }

    #[test]
    fn figures_are_those_of_the_hand() {
        // Truth a: answered a, a, b. Truth b: b (rejected). Truth c: a. Out of scope: one rejected, one not.
        let answers = [
            answer(Some(0), 0, 0.95, false),
            answer(Some(0), 0, 0.85, false),
            answer(Some(0), 1, 0.55, false),
            answer(Some(1), 1, 0.75, true),
            answer(Some(2), 0, 0.65, false),
            answer(None, 0, 0.45, true),
            answer(None, 1, 0.9, false),
        ];
        let found = measure(&names(), &answers);
        assert_eq!((found.n, found.accuracy), (5, 0.6));
        let a = found.per_class["a"];
        assert_eq!(a.n, 3);
        assert!(near(a.precision, 2.0 / 3.0) && near(a.recall, 2.0 / 3.0) && near(a.f1, 2.0 / 3.0), "{a:?}");
        assert_eq!(found.per_class["b"], ClassMetrics { n: 1, precision: 0.5, recall: 1.0, f1: 2.0 / 3.0 });
        assert_eq!(found.per_class["c"], ClassMetrics { n: 1, precision: 0.0, recall: 0.0, f1: 0.0 });
        assert!(near(found.macro_f1, (2.0 / 3.0 + 2.0 / 3.0) / 3.0));
        // Each answer has its own bin: |.95-1| + |.85-1| + .55 + |.75-1| + .65, over 5.
        assert!(near(found.ece, (0.05 + 0.15 + 0.55 + 0.25 + 0.65) / 5.0), "{}", found.ece);
        assert_eq!(found.accuracy_at_coverage["0.9"], 0.6, "the surest 90 % of five are all five");
        let scope = found.out_of_scope;
        assert_eq!((scope.n, scope.recall, scope.precision), (2, Some(0.5), Some(0.5)));
        assert_eq!(scope.in_scope_accuracy, 0.4);
        assert_eq!(found.mistakes().len(), 2);
        assert_eq!(found.confusion.iter().map(|pair| pair.n).sum::<usize>(), 5);
    }

    #[test]
    fn wilson_intervals_are_those_of_the_book() {
        let [low, high] = wilson(81, 263);
        assert!(near(low, 0.2553) && near(high, 0.3662), "{low} {high}");
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        let [low, high] = wilson(10, 10);
        assert!(near(low, 0.7225) && high == 1.0, "{low} {high}");
        assert_eq!(wilson(0, 10)[0], 0.0);
    }

    #[test]
    fn nothing_gives_figures_too() {
        let none = measure(&[], &[]);
        assert_eq!((none.n, none.accuracy, none.ece), (0, 0.0, 0.0));
        assert_eq!(none.out_of_scope.recall, None);
        assert_eq!(none.coverage_at_precision["0.97"], 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..Default::default() })]

        #[test]
        fn figures_keep_their_bounds(rows in proptest::collection::vec(
            (proptest::option::of(0..3u32), 0..3u32, 0.0..=1.0f64, proptest::bool::weighted(0.1)), 0..300,
        )) {
            let answers: Vec<Answer> = rows.into_iter().map(|(t, l, c, r)| answer(t, l, c, r)).collect();
            let found = measure(&names(), &answers);
            for share in [found.accuracy, found.macro_f1, found.ece, found.out_of_scope.in_scope_accuracy] {
                prop_assert!((0.0..=1.0).contains(&share));
            }
            prop_assert!(found.out_of_scope.in_scope_accuracy <= found.accuracy);
            let [low, high] = found.accuracy_ci95;
            prop_assert!(low <= found.accuracy + 1e-12 && found.accuracy <= high + 1e-12);
            let coverage: Vec<f64> = found.coverage_at_precision.values().copied().collect();
            prop_assert!(coverage.windows(2).all(|pair| pair[0] >= pair[1]), "more precision, less coverage");
            let curve = &found.coverage_precision_curve;
            prop_assert!(curve.windows(2).all(|pair| pair[0].coverage < pair[1].coverage));
            prop_assert!(curve.windows(2).all(|pair| pair[0].threshold > pair[1].threshold));
            prop_assert!(curve.len() <= 102);
            prop_assert_eq!(found.reliability.iter().map(|bin| bin.n).sum::<u64>() as usize, found.n);
        }
    }
}
