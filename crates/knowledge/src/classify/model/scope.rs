//! Whether a text is about any of the labels at all.

use serde::{Deserialize, Serialize};

use super::top;
use crate::learn::Logistic;

/// The share of rightly classified held-back texts that may be taken for out of scope.
const GIVEN_UP: f64 = 0.02;

/// What speaks for and against a text being in scope.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Signs(Vec<f64>);

/// Tells texts that are about none of the labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scope {
    model: Logistic,
    /// From this score on, a text is out of scope.
    threshold: f64,
}

impl Signs {
    pub(super) fn of_stage_one(scores: &[f32], probabilities: &[f32], known: f32) -> Self {
        let (at, probability) = top(probabilities);
        let score = scores.get(at).copied().unwrap_or_default();
        Self(vec![f64::from(score), f64::from(probability.max(1e-6).ln()), f64::from(known)])
    }

    /// `near` is the likeness of the text's embedding to the centre of its most probable label.
    pub(super) fn of_stage_two(scores: &[f32], probabilities: &[f32], known: f32, near: f32) -> Self {
        let Self(mut signs) = Self::of_stage_one(scores, probabilities, known);
        signs.push(f64::from(near));
        Self(signs)
    }
}

impl Scope {
    /// Learns from texts of the labels, with whether they were classified rightly, and from strangers. The threshold gives up
    /// [`GIVEN_UP`] of the right answers.
    pub(super) fn fit(own: &[(Signs, bool)], strangers: &[Signs]) -> Option<Self> {
        let rows: Vec<(Vec<f64>, bool)> = own
            .iter()
            .map(|(signs, _)| (signs.0.clone(), false))
            .chain(strangers.iter().map(|signs| (signs.0.clone(), true)))
            .collect();
        let model = Logistic::fit(&rows)?;
        let mut scores: Vec<f64> =
            own.iter().filter(|(_, right)| *right).map(|(signs, _)| model.probability(&signs.0)).collect();
        scores.sort_by(|one, other| other.total_cmp(one));
        let threshold = *scores.get((scores.len() as f64 * GIVEN_UP) as usize)?;
        Some(Self { model, threshold: threshold.next_up() })
    }

    pub(super) fn score(&self, signs: &Signs) -> f64 {
        self.model.probability(&signs.0)
    }

    pub(super) fn is_out(&self, score: f64) -> bool {
        score >= self.threshold
    }
}
