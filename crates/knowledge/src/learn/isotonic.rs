//! Confidence brought to what it turned out to be worth.

use serde::{Deserialize, Serialize};

/// Fewer answers say too little about a confidence.
const ENOUGH: usize = 500;
/// Answers of one step.
const PER_STEP: usize = 50;
/// Most steps.
const MOST_STEPS: usize = 24;
/// What is kept of the confidence as it was, so that the surer answer stays the surer one within a step.
const KEPT: f32 = 0.02;

/// A rising line from confidence to accuracy: isotonic regression (Zadrozny and Elkan, 2002) over steps of equal size,
/// straight between their middles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// (confidence, accuracy), rising in both; empty for a line that changes nothing.
    points: Vec<(f32, f32)>,
}

impl Isotonic {
    /// Learns from held-back answers: confidence, and whether it was right. Too few teach nothing.
    pub fn fit(answers: &[(f32, bool)]) -> Self {
        if answers.len() < ENOUGH {
            return Self::default();
        }
        let mut sorted = answers.to_vec();
        sorted.sort_by(|one, other| one.0.total_cmp(&other.0));
        let steps = (sorted.len() / PER_STEP).min(MOST_STEPS);
        // (sum of confidences, right answers, answers) of each step; neighbours in the wrong order become one.
        let mut merged: Vec<(f32, f32, f32)> = Vec::new();
        for step in sorted.chunks(sorted.len().div_ceil(steps)) {
            let right = step.iter().filter(|(_, right)| *right).count() as f32;
            merged.push((step.iter().map(|(confidence, _)| confidence).sum(), right, step.len() as f32));
            while let [.., one, other] = merged.as_slice()
                && one.1 / one.2 >= other.1 / other.2
            {
                let both = (one.0 + other.0, one.1 + other.1, one.2 + other.2);
                merged.truncate(merged.len() - 2);
                merged.push(both);
            }
        }
        Self { points: merged.into_iter().map(|(sum, right, n)| (sum / n, right / n)).collect() }
    }

    /// What `confidence` is worth.
    pub fn apply(&self, confidence: f32) -> f32 {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return confidence };
        let worth = if confidence <= first.0 {
            between((0.0, 0.0), *first, confidence)
        } else if confidence >= last.0 {
            between(*last, (1.0, last.1.max(1.0 - (1.0 - last.1) / 2.0)), confidence)
        } else {
            let pair = self.points.windows(2).find(|pair| pair.get(1).is_some_and(|point| point.0 >= confidence));
            match pair {
                Some([below, above]) => between(*below, *above, confidence),
                _ => confidence,
            }
        };
        ((1.0 - KEPT) * worth + KEPT * confidence).clamp(0.0, 1.0)
    }

    /// Brings the largest of `probabilities` to its worth and shares the rest in proportion; the largest stays the largest.
    pub fn adjust(&self, probabilities: &mut [f32]) {
        if self.points.is_empty() || probabilities.len() < 2 {
            return;
        }
        let (at, most) = probabilities
            .iter()
            .copied()
            .enumerate()
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .unwrap_or_default();
        let second =
            probabilities.iter().enumerate().filter(|(n, _)| *n != at).fold(0.0f32, |so_far, (_, p)| so_far.max(*p));
        let rest = 1.0 - most;
        if rest <= f32::EPSILON {
            return;
        }
        let worth = self.apply(most).max(second / (rest + second));
        for (n, probability) in probabilities.iter_mut().enumerate() {
            *probability = if n == at { worth } else { *probability * (1.0 - worth) / rest };
        }
    }
}

fn between(one: (f32, f32), other: (f32, f32), at: f32) -> f32 {
    let width = other.0 - one.0;
    if width <= 0.0 { one.1 } else { one.1 + (other.1 - one.1) * (at - one.0) / width }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overconfidence_is_taken_back_and_order_kept() {
        // Confidence c is right in c² of the cases.
        let answers: Vec<_> = (0..10_000u32)
            .map(|n| {
                let c = (n % 100) as f32 / 100.0;
                (c, ((n / 100) as f32 / 100.0) < c * c)
            })
            .collect();
        let line = Isotonic::fit(&answers);
        for c in [0.2f32, 0.5, 0.8, 0.95] {
            assert!((line.apply(c) - c * c).abs() < 0.04, "{c}: {}", line.apply(c));
        }
        let rising = (0..=100).map(|n| line.apply(n as f32 / 100.0)).collect::<Vec<_>>();
        assert!(rising.windows(2).all(|pair| pair[0] <= pair[1]), "{rising:?}");
    }

    #[test]
    fn probabilities_still_add_up_and_keep_their_first() {
        let line = Isotonic { points: vec![(0.4, 0.1), (0.9, 0.5)] };
        let mut said = [0.51, 0.45, 0.04];
        line.adjust(&mut said);
        assert!((said.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(said[0] >= said[1], "{said:?}");
        let mut sure = [1.0, 0.0];
        line.adjust(&mut sure);
        assert_eq!(sure, [1.0, 0.0]);
        assert_eq!(Isotonic::fit(&[(0.5, true); 10]), Isotonic::default());
        assert_eq!(Isotonic::default().apply(0.3), 0.3);
    }
}
