use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CategoryProbability, Certainty, DecidedBy, Sentiment, Severity};
use crate::{
    ids::{Language, TeamId},
    untrusted::Closed,
};

/// What a classifier says of a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// The categories with their calibrated probabilities, most probable first; never empty.
    pub categories: Vec<CategoryProbability>,
    /// The teams with their calibrated probabilities, most probable first; never empty.
    pub teams: Vec<TeamProbability>,
    /// How sure the team must be for the precision that the tenant wants, as held-back examples showed it; 0 to 1.
    pub confidence_needed: f64,
    /// Whether it looks so little like any of the categories that they should not be believed.
    pub is_out_of_scope: bool,
    /// Whether nobody asks for help.
    pub is_spam: bool,
    /// How bad it is.
    pub severity: Severity,
    /// Why, in the classifier's own words: never the customer's.
    pub severity_reason: String,
    /// How the customer feels.
    pub sentiment: Sentiment,
    /// The language, when it can be told.
    pub language: Option<Language>,
    /// How sure all this is; `None` when the classifier failed.
    pub certainty: Option<Certainty>,
    /// Who says so: the local classifier, or a model.
    pub decided_by: DecidedBy,
    /// The classifier and its version, or the provider and its model.
    pub model: String,
}

impl Closed for Classification {}

/// A team with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TeamProbability {
    /// The team.
    pub team: TeamId,
    /// 0 to 1.
    pub probability: f64,
}
