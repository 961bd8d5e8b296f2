//! Language models about a ticket: in a [`cascade`] where the local classifier is not sure, or as an [`agent`] that looks things
//! up by itself. Both end in an [`opinion`].
//!
//! The ticket's words go to a model covered and quoted, and the answer is read into closed types: whatever the ticket says, and
//! whatever the model answers, it can at worst choose among the tenant's own categories, teams and levels.

mod agent;
pub(super) mod cascade;
mod opinion;

use serde_json::Value;

use super::{
    Classification, DecidedBy, Decision, Finding, Tokens, ToolCall, ToolName, facts::Facts, tools::team::Routing,
};
use crate::{
    models::{Bill, NanoUsd, Role},
    tenants::{Tenant, TicketMode},
};
use opinion::Opinion;

/// What the models came to beside the classification.
#[derive(Debug, Default)]
pub(super) struct Consulted {
    pub(super) tokens: Tokens,
    pub(super) cost: NanoUsd,
    /// The prompt by which a model was asked.
    pub(super) prompt: Option<String>,
    /// A model has seen the ticket give orders to whoever classifies it.
    pub(super) gives_orders: bool,
}

/// Whether the models are to be asked after what the local classifier says. What nobody asks help for is looked at by a person,
/// and costs nothing.
pub(super) fn is_wanted(tenant: &Tenant, local: &Classification, said: &Routing) -> bool {
    match tenant.config.models.mode {
        TicketMode::Local => false,
        TicketMode::Cascade => is_unsure(local, said),
        TicketMode::Agent => !local.is_spam,
    }
}

/// Whether a model is to be asked after the local classifier in a cascade.
pub(super) fn is_unsure(local: &Classification, said: &Routing) -> bool {
    let strange = local.is_out_of_scope && said.decided_by != DecidedBy::Rule;
    !local.is_spam && (said.confidence < local.confidence_needed || strange)
}

/// Asks the tenant's models in its mode, and gives what is known then. A model that cannot be asked leaves a finding, and what
/// was known before stays.
pub(super) async fn consult(facts: &mut Facts<'_>, local: Classification) -> (Classification, Consulted) {
    let bill = Bill::default();
    let (known, consulted) = match facts.tenant.config.models.mode {
        TicketMode::Agent => agent::consult(facts, local, &bill).await,
        TicketMode::Local | TicketMode::Cascade => cascade::consult(facts, local, &bill).await,
    };
    let (usage, cost) = bill.sum();
    let tokens = Tokens { input: usage.input_tokens, output: usage.output_tokens };
    (known, Consulted { tokens, cost, ..consulted })
}

/// What `consult` came to when `past` was decided: nobody is asked again.
pub(super) fn recorded(facts: &mut Facts<'_>, local: Classification, past: &Decision) -> (Classification, Consulted) {
    let mut consulted = Consulted::default();
    let mut known = local;
    for call in past.tool_calls.iter().filter(|call| call.name == ToolName::ClassifyIssue && call.ok) {
        let role: Option<Role> = call.input.get("role").cloned().and_then(|role| serde_json::from_value(role).ok());
        let opinion: Option<Opinion> =
            call.output.get("opinion").cloned().and_then(|opinion| serde_json::from_value(opinion).ok());
        let (Some(role), Some(opinion)) = (role, opinion) else { continue };
        if !opinion.is_known(facts.tenant) {
            continue;
        }
        consulted.prompt = past.prompt.clone();
        consulted.tokens = past.tokens;
        consulted.cost = NanoUsd::from_usd(past.cost_usd);
        consulted.gives_orders |= opinion.gives_orders;
        let model = call.output.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        facts.journal.calls.push(call.clone());
        known = opinion.into_classification(facts.tenant, known, role, model);
    }
    (known, consulted)
}

/// The record of a question to a model.
fn asked(input: Value, output: Value, duration_ms: f64, ok: bool) -> ToolCall {
    ToolCall { name: ToolName::ClassifyIssue, input, output, duration_ms, ok }
}

fn missing(detail: String) -> Finding {
    Finding { tool: ToolName::ClassifyIssue, detail }
}

/// Which of the two chains a tenant has, the small one first.
pub(super) fn roles(tenant: &Tenant) -> Vec<Role> {
    let models = &tenant.config.models;
    let has = [(Role::Small, !models.small.is_empty()), (Role::Large, !models.large.is_empty())];
    has.into_iter().filter(|(_, has)| *has).map(|(role, _)| role).collect()
}
