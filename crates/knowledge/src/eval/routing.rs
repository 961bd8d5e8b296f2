//! How much can be routed without a person, and how precisely.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Answer, metrics::share};
use crate::learn::PrecisionCurve;

/// The precisions that people ask for.
pub const PRECISIONS: [f64; 4] = [0.9, 0.95, 0.97, 0.98];
/// Points of a curve that is shown.
const POINTS: usize = 100;

/// One threshold.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CurvePoint {
    /// The confidence from which on texts are routed.
    pub threshold: f64,
    /// The share of all texts that is routed.
    pub coverage: f64,
    /// The share of the routed texts that goes to the right label.
    pub precision: f64,
}

/// A threshold that was learned from held-back training texts, and what it gives on the test: what somebody gets who
/// switches automatic routing on.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LearnedThreshold {
    /// The threshold of confidence; `None` when none reached the precision in training, so that nothing is routed.
    pub threshold: Option<f64>,
    /// The share of all test texts that is routed.
    pub coverage: f64,
    /// The share of them that goes to the right label; `None` when nothing is routed.
    pub precision: Option<f64>,
}

/// Coverage and precision over the texts that are not rejected.
pub(super) struct Curve {
    of_routable: PrecisionCurve,
    /// The share of all texts that is not rejected.
    routable: f64,
}

impl Curve {
    pub(super) fn of(answers: &[Answer]) -> Self {
        let pairs: Vec<(f64, bool)> = answers
            .iter()
            .filter(|answer| !answer.rejected)
            .map(|answer| (answer.confidence, answer.is_right()))
            .collect();
        Self { routable: share(pairs.len(), answers.len()), of_routable: PrecisionCurve::of(&pairs) }
    }

    pub(super) fn coverage(&self, precision: f64) -> f64 {
        self.of_routable.coverage(precision) * self.routable
    }

    pub(super) fn threshold(&self, precision: f64) -> Option<f64> {
        self.of_routable.threshold(precision)
    }

    pub(super) fn points(&self) -> Vec<CurvePoint> {
        let all = &self.of_routable.points;
        let every = all.len().div_ceil(POINTS).max(1);
        let kept = all.iter().enumerate().filter(|(n, _)| n % every == 0 || n + 1 == all.len());
        kept.map(|(_, (threshold, coverage, precision))| CurvePoint {
            threshold: *threshold,
            coverage: coverage * self.routable,
            precision: *precision,
        })
        .collect()
    }
}

/// A figure for each of [`PRECISIONS`], by its name in JSON.
pub(super) fn by_precision<T>(figure: impl Fn(f64) -> T) -> BTreeMap<String, T> {
    PRECISIONS.iter().map(|precision| (precision.to_string(), figure(*precision))).collect()
}

/// What the thresholds of `held_back` give on `test`.
pub(super) fn learned(held_back: &Curve, test: &[Answer]) -> BTreeMap<String, LearnedThreshold> {
    by_precision(|precision| {
        let Some(threshold) = held_back.threshold(precision) else { return LearnedThreshold::default() };
        let routed = test.iter().filter(|answer| !answer.rejected && answer.confidence >= threshold);
        let (n, right) = routed.fold((0, 0), |(n, right), answer| (n + 1, right + usize::from(answer.is_right())));
        LearnedThreshold {
            threshold: Some(threshold),
            coverage: share(n, test.len()),
            precision: (n > 0).then(|| share(right, n)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    fn answers(n: u32, right: impl Fn(u32) -> bool) -> Vec<Answer> {
        let one = |n| Answer {
            truth: Some(u32::from(!right(n))),
            label: 0,
            confidence: 1.0 - f64::from(n) / 1_000.0,
            rejected: false,
            stage: Stage::One,
        };
        (0..n).map(one).collect()
    }

    #[test]
    fn what_is_rejected_is_never_routed() {
        let mut all = answers(100, |_| true);
        assert_eq!(Curve::of(&all).coverage(0.9), 1.0);
        all.iter_mut().take(40).for_each(|answer| answer.rejected = true);
        assert_eq!(Curve::of(&all).coverage(0.9), 0.6);
        all.iter_mut().for_each(|answer| answer.rejected = true);
        assert_eq!(Curve::of(&all).coverage(0.9), 0.0);
    }

    #[test]
    fn a_learned_threshold_is_applied_as_it_is() {
        // In training the surest 60 of 100 are right; in the test only the surest 30.
        let curve = Curve::of(&answers(100, |n| n < 60));
        let found = learned(&curve, &answers(100, |n| n < 30));
        let at = found["0.95"];
        assert!((at.coverage - 0.63).abs() < 0.011, "{at:?}");
        assert!((at.precision.unwrap() - 30.0 / 63.0).abs() < 0.02, "{at:?}");
        let never = learned(&Curve::of(&answers(100, |_| false)), &answers(100, |_| true));
        assert_eq!((never["0.98"].threshold, never["0.98"].coverage, never["0.98"].precision), (None, 0.0, None));
    }
}
