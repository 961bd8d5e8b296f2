//! What each stage of the cascade says of a text, whether or not the one before it was sure: what its thresholds are chosen from.

use super::{
    Ticket,
    consult::{self, cascade},
    facts::Facts,
    tools::team::Routing,
};
use crate::{
    app::App,
    guard::Pseudonyms,
    ids::TeamId,
    models::{Bill, ModelError, Role},
    tenants::Tenant,
};

/// What a stage says of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct StageAnswer {
    /// The team.
    pub team: TeamId,
    /// How sure it is of the team, 0 to 1.
    pub confidence: f64,
    /// What it cost, in US dollars.
    pub cost_usd: f64,
}

/// All stages about one text.
#[derive(Debug)]
pub struct StageAnswers {
    /// The local classifier, or a rule of the tenant.
    pub local: StageAnswer,
    /// Whether a cascade would ask a model after it.
    pub is_unsure: bool,
    /// The small model, when there is one and it was asked.
    pub small: Option<Result<StageAnswer, ModelError>>,
    /// The large one, likewise.
    pub large: Option<Result<StageAnswer, ModelError>>,
}

/// Asks all stages about a ticket that the cascade would not leave to the local classifier; about others nobody is asked.
/// Nothing outside is looked up: rules that go by customers or outages do not fit.
///
/// # Errors
/// `Internal` when the prompt is broken.
pub async fn answers(app: &App, tenant: &Tenant, ticket: &Ticket) -> crate::error::Result<StageAnswers> {
    let mut facts = Facts::new(app, tenant, ticket);
    let local = facts.classify();
    let said = facts.team(&local);
    let is_unsure = consult::is_unsure(&local, &said);
    let mut answers = StageAnswers { local: answer(said, 0.0), is_unsure, small: None, large: None };
    if !is_unsure {
        return Ok(answers);
    }
    let question = cascade::Question::of_category(tenant, &local);
    let prompt = question.prompt(tenant, &facts.covered(&mut Pseudonyms::default()), None)?;
    for role in consult::roles(tenant) {
        let asked = cascade::ask(&facts, role, &question, &prompt, &Bill::default()).await;
        let said = asked.map(|answered| {
            let known = answered.value.into_classification(tenant, local.clone(), role, answered.model);
            answer(facts.team(&known), answered.cost.usd())
        });
        match role {
            Role::Small => answers.small = Some(said),
            Role::Large => answers.large = Some(said),
        }
    }
    Ok(answers)
}

fn answer(said: Routing, cost_usd: f64) -> StageAnswer {
    StageAnswer { team: said.team, confidence: said.confidence, cost_usd }
}
