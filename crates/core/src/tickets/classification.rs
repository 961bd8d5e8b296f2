use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use serde_json::{Value, json};

use super::{CategoryProbability, Certainty, DecidedBy, Sentiment, Severity, tools::priority::round};
use crate::{
    ids::{Language, TeamId},
    tenants::{TeamConfig, Tenant},
    untrusted::Closed,
};

/// So many categories are kept with their probabilities.
const PROBABILITIES_KEPT: usize = 5;

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

impl Classification {
    /// What is left when the classifier fails: every category as probable as any other.
    pub(super) fn undecided(tenant: &Tenant) -> Self {
        let categories = &tenant.config.categories;
        let probability = 1.0 / categories.len().max(1) as f64;
        let share = |team: &TeamConfig| {
            probability * categories.iter().filter(|category| category.team == team.id).count() as f64
        };
        let teams = &tenant.config.teams;
        Self {
            categories: categories
                .iter()
                .map(|category| CategoryProbability { category: category.id.clone(), probability })
                .collect(),
            teams: teams
                .iter()
                .map(|team| TeamProbability { team: team.id.clone(), probability: share(team) })
                .collect(),
            confidence_needed: tenant.config.review.precision,
            is_out_of_scope: false,
            is_spam: false,
            severity: Severity::Medium,
            severity_reason: "the classifier gave no answer".to_owned(),
            sentiment: Sentiment::Neutral,
            language: None,
            certainty: None,
            decided_by: DecidedBy::Local,
            model: "none".to_owned(),
        }
    }

    /// The most probable categories, rounded.
    pub(super) fn kept(&self) -> Vec<CategoryProbability> {
        let most = self.categories.iter().take(PROBABILITIES_KEPT);
        most.map(|one| CategoryProbability { category: one.category.clone(), probability: round(one.probability, 4) })
            .collect()
    }

    /// As it stands in the record of the tool's call, and as a model sees it.
    pub(super) fn shown(&self) -> Value {
        let teams = self.teams.iter().take(PROBABILITIES_KEPT);
        let teams: Vec<_> = teams
            .map(|one| TeamProbability { team: one.team.clone(), probability: round(one.probability, 4) })
            .collect();
        json!({
            "probabilities": self.kept(),
            "teams": teams,
            "certainty": self.certainty,
            "severity": self.severity,
            "severity_reason": self.severity_reason,
            "sentiment": self.sentiment,
            "language": self.language,
            "model": self.model,
        })
    }
}

/// A team with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TeamProbability {
    /// The team.
    pub team: TeamId,
    /// 0 to 1.
    pub probability: f64,
}
