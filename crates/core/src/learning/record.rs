use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ids::ModelVersion, ports::Example, time::Timestamp};

/// What a model is trained from, beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Lesson {
    /// Examples to learn from; none of those that are held back.
    pub examples: Vec<Example>,
}

/// A freshly trained model.
#[derive(Clone, Debug)]
pub struct TrainedModel {
    /// The model, as it is kept: with its own hash.
    pub artifact: Vec<u8>,
    /// Examples that it was learned from, those of the configuration included.
    pub learned_from: u64,
    /// Examples that were left out, because their category or team is not the tenant's.
    pub left_out: u64,
    /// How it did on its own examples, each predicted by a model that had not seen it.
    pub cross_validated: Scores,
    /// Whether sentence embeddings came into it.
    pub has_embeddings: bool,
    /// The part of the configuration that it was made from.
    pub fingerprint: String,
}

/// How well a model does on labelled examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Scores {
    /// Examples with a team, given or by their category.
    pub teams: u64,
    /// Those whose team was right.
    pub teams_right: u64,
    /// Examples with a category.
    pub categories: u64,
    /// Those whose category was right.
    pub categories_right: u64,
    /// The expected calibration error of the team's confidence, 0 to 1.
    pub calibration_error: f64,
    /// The share that would be routed without a person at the precision that the tenant wants, 0 to 1.
    pub automatic: f64,
}

impl Scores {
    /// The share of right teams; `None` without examples.
    pub fn team_accuracy(&self) -> Option<f64> {
        (self.teams > 0).then(|| self.teams_right as f64 / self.teams as f64)
    }

    /// The share of right categories; `None` without examples.
    pub fn category_accuracy(&self) -> Option<f64> {
        (self.categories > 0).then(|| self.categories_right as f64 / self.categories as f64)
    }
}

/// The scores of a model, with the single answers behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The scores.
    pub scores: Scores,
    /// Whether the team of each example was right, in their order; an example without a team is left out.
    pub right: Vec<bool>,
}

impl Measured {
    /// Whether these answers are worse than `other` ones to the same examples by more than chance explains: of the examples
    /// that just one of them has right, too many are the other's (a one-sided sign test at 5 %, McNemar 1947).
    pub fn is_worse_than(&self, other: &Self) -> bool {
        const Z: f64 = 1.645;
        let pairs = || self.right.iter().zip(&other.right);
        let lost = pairs().filter(|(own, other)| !**own && **other).count() as f64;
        let won = pairs().filter(|(own, other)| **own && !**other).count() as f64;
        lost - won > Z * (lost + won).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_more_than_chance() {
        let of = |right: usize, wrong: usize| Measured {
            right: std::iter::repeat_n(true, right).chain(std::iter::repeat_n(false, wrong)).collect(),
            ..Measured::default()
        };
        assert!(!of(50, 0).is_worse_than(&of(50, 0)));
        assert!(!of(48, 2).is_worse_than(&of(50, 0)), "two of fifty may be chance");
        assert!(of(40, 10).is_worse_than(&of(50, 0)));
        assert!(!of(50, 0).is_worse_than(&of(40, 10)));
        assert!(!Measured::default().is_worse_than(&Measured::default()));
    }
}

/// A version of a tenant's model, with its evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelRecord {
    /// The version; versions sort by time.
    pub version: ModelVersion,
    /// When it was trained.
    pub created_at: Timestamp,
    /// Examples that it was learned from.
    pub learned_from: u64,
    /// Reviews among all examples of the tenant at that time.
    pub reviews: u64,
    /// Imported examples of the tenant at that time.
    pub imported: u64,
    /// On its own examples, each predicted by a model that had not seen it.
    pub cross_validated: Scores,
    /// On the held-back examples, which no model learns from.
    pub held_back: Scores,
    /// What was in force then, on the same held-back examples.
    pub before: Scores,
    /// Whether sentence embeddings came into it.
    pub has_embeddings: bool,
    /// Bytes of the artifact.
    pub bytes: u64,
    /// The part of the configuration that it was made from.
    pub fingerprint: String,
}
