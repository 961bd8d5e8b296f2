//! From a wanted precision to a threshold.

use serde::{Deserialize, Serialize};

/// Answers that a threshold must rest on.
const ENOUGH: usize = 30;
/// Points that are kept.
const POINTS: usize = 400;

/// How precise the answers from each confidence on were on data that was not learned from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PrecisionCurve {
    /// (confidence, share of all answers that are at least as sure, share of those that are right), surest first.
    pub points: Vec<(f64, f64, f64)>,
}

impl PrecisionCurve {
    /// The curve of (confidence, right) pairs.
    pub fn of(answers: &[(f64, bool)]) -> Self {
        let mut sorted = answers.to_vec();
        sorted.sort_by(|one, other| other.0.total_cmp(&one.0));
        let every = sorted.len().div_ceil(POINTS).max(1);
        let mut points = Vec::new();
        let (mut seen, mut right) = (0usize, 0usize);
        for (n, (confidence, is_right)) in sorted.iter().enumerate() {
            seen += 1;
            right += usize::from(*is_right);
            // A threshold takes all of the same confidence or none.
            let last_of_its_kind = sorted.get(n + 1).is_none_or(|next| next.0 < *confidence);
            if last_of_its_kind
                && (seen >= ENOUGH.min(sorted.len()))
                && (n % every == 0 || n + 1 == sorted.len() || every == 1)
            {
                points.push((*confidence, seen as f64 / sorted.len() as f64, right as f64 / seen as f64));
            }
        }
        Self { points }
    }

    /// The lowest confidence from which on the answers were right as often as `wanted`; `None` when no threshold reached it.
    pub fn threshold(&self, wanted: f64) -> Option<f64> {
        self.points.iter().rev().find(|(_, _, precision)| *precision >= wanted).map(|(confidence, ..)| *confidence)
    }

    /// The largest share of the answers that is right as often as `wanted`; 0 when none is.
    pub fn coverage(&self, wanted: f64) -> f64 {
        self.points
            .iter()
            .rev()
            .find(|(_, _, precision)| *precision >= wanted)
            .map_or(0.0, |(_, coverage, _)| *coverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_lowest_that_holds() {
        // 100 answers, the surer half always right, the other half every second time.
        let answers: Vec<_> = (0..100).map(|n| (1.0 - f64::from(n) / 100.0, n < 50 || n % 2 == 0)).collect();
        let curve = PrecisionCurve::of(&answers);
        assert!((curve.coverage(1.0) - 0.51).abs() < 0.011, "{}", curve.coverage(1.0));
        assert_eq!(curve.coverage(0.5), 1.0);
        assert!(curve.threshold(0.9).is_some_and(|at| (0.3..0.5).contains(&at)));
        assert_eq!(PrecisionCurve::default().threshold(0.5), None);
    }

    #[test]
    fn a_lucky_few_are_no_threshold() {
        let answers: Vec<_> = (0..200).map(|n| (1.0 - f64::from(n) / 200.0, n < 3)).collect();
        assert_eq!(PrecisionCurve::of(&answers).threshold(0.9), None);
    }
}
