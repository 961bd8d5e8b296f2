//! From a ticket to its decision: the tools side by side, then priority, team, and what a person should look at.

use std::time::Duration;

use serde_json::json;

use super::{
    Classification, DecidedBy, Decision, IssueClassification, Ticket, ToolName,
    consult::{self, Consulted},
    facts::Facts,
    tools::{
        Journal, millis,
        priority::{Priority, round},
        team::Routing,
        timed,
    },
};
use crate::{
    app::App,
    limits,
    tenants::{Tenant, TicketMode},
};

/// A second category is told when it is at least this probable.
const SECONDARY_PROBABILITY: f64 = 0.2;

/// Decides where `ticket` goes and how urgent it is. A tool that fails leaves a finding; a decision always comes.
pub async fn route(app: &App, tenant: &Tenant, ticket: &Ticket) -> Decision {
    let started = app.clock.monotonic();
    let mut facts = Facts::new(app, tenant, ticket);
    // An agent looks up what it wants to know, and the rest is looked up after it.
    if tenant.config.models.mode != TicketMode::Agent {
        facts.complete().await;
    }
    conclude(facts, started).await
}

/// The decision from what is known, and what is still to be looked up.
pub(super) async fn conclude(mut facts: Facts<'_>, started: Duration) -> Decision {
    let tenant = facts.tenant;
    let local = facts.classify();
    let said = facts.team(&local);
    let (classification, consulted) = if consult::is_wanted(tenant, &local, &said) {
        consult::consult(&mut facts, local).await
    } else {
        (local, Consulted::default())
    };
    facts.complete().await;
    settle(facts, classification, consulted, started)
}

/// Decides again, without a look at the outside: customer, service status and history are what `past` was decided from. What
/// was missing then is missing again.
pub fn route_again(app: &App, tenant: &Tenant, ticket: &Ticket, past: &Decision) -> Decision {
    let started = app.clock.monotonic();
    let mut facts = Facts::new(app, tenant, ticket).recorded(past);
    let local = facts.classify();
    let said = facts.team(&local);
    let (classification, consulted) = if consult::is_wanted(tenant, &local, &said) {
        consult::recorded(&mut facts, local, past)
    } else {
        (local, Consulted::default())
    };
    settle(facts, classification, consulted, started)
}

fn settle(mut facts: Facts<'_>, classification: Classification, consulted: Consulted, started: Duration) -> Decision {
    let (app, tenant, ticket) = (facts.app, facts.tenant, facts.ticket);
    let (priority, routing) = weigh(&mut facts, &classification);
    let (entities, journal) = facts.end();
    let review_reasons = review_reasons(tenant, &classification, &consulted, &routing, &journal);
    let reasoning = reasoning(tenant, &classification, &priority, &routing, &journal);
    let now = app.clock.now();
    let took = app.clock.monotonic().saturating_sub(started);
    Decision {
        decision_id: app.decision_id(),
        ticket_id: ticket.id.clone(),
        timestamp: now,
        customer_id: ticket.customer_id.clone(),
        assigned_team: routing.team,
        priority_level: priority.level,
        priority_score: priority.score,
        priority_terms: priority.terms,
        confidence_score: round(routing.confidence, 4),
        issue_classification: issue(ticket, &classification),
        entities: entities.0,
        reasoning,
        requires_manual_review: !review_reasons.is_empty(),
        review_reasons,
        findings: journal.findings,
        decided_by: routing.decided_by,
        model: classification.model,
        prompt: consulted.prompt,
        processing_time_ms: millis(took),
        tool_calls: journal.calls,
        tokens: consulted.tokens,
        cost_usd: consulted.cost.usd(),
        trial: None,
        correlation_id: ticket.correlation_id.clone(),
        config_version: tenant.version.clone(),
        created_at: now,
        ttl: now.plus(limits::TICKET_RETENTION).as_millis() / 1_000,
    }
}

/// Priority and team, with their calls in the journal.
fn weigh(facts: &mut Facts<'_>, classification: &Classification) -> (Priority, Routing) {
    let (app, tenant) = (facts.app, facts.tenant);
    let input = json!({
        "severity": classification.severity, "sentiment": classification.sentiment,
        "amount": facts.entities().largest_amount(),
    });
    let (priority, took) = timed(app, || facts.priority(classification));
    let output = json!({"score": priority.score, "level": priority.level});
    facts.journal.computed(ToolName::CalculatePriority, input, output, took);
    let (routing, took) = timed(app, || facts.team(classification));
    let input = json!({"rules": tenant.config.routing_rules.len()});
    let confidence = round(routing.confidence, 4);
    let output = json!({"team": routing.team, "confidence": confidence, "reason": routing.reason});
    facts.journal.computed(ToolName::RouteToTeam, input, output, took);
    (priority, routing)
}

fn issue(ticket: &Ticket, classification: &Classification) -> IssueClassification {
    let categories = &classification.categories;
    let secondary = categories.get(1).filter(|one| one.probability >= SECONDARY_PROBABILITY);
    // invariant: a checked tenant has categories, so a classifier and `undecided` name at least one
    let primary = categories.first().unwrap_or_else(|| unreachable!("a classification names at least one category"));
    IssueClassification {
        primary_category: primary.category.clone(),
        secondary_category: secondary.map(|one| one.category.clone()),
        severity: classification.severity,
        sentiment: classification.sentiment,
        language: ticket.language.clone().or_else(|| classification.language.clone()),
        probabilities: classification.kept(),
        certainty: classification.certainty.clone(),
    }
}

/// Why a person should look, for people. What a rule decides on other grounds than the classifier's is sure.
fn review_reasons(
    tenant: &Tenant,
    classification: &Classification,
    consulted: &Consulted,
    routing: &Routing,
    journal: &Journal,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let needed = classification.confidence_needed;
    if routing.confidence < needed {
        reasons.push(format!(
            "the routing is {:.0} % sure; to be right {:.0} % of the time, it must be {:.0} % sure",
            routing.confidence * 100.0,
            tenant.config.review.precision * 100.0,
            needed * 100.0
        ));
    }
    if classification.is_out_of_scope && routing.decided_by != DecidedBy::Rule {
        reasons.push("it looks like none of the tenant's categories".to_owned());
    }
    if classification.is_spam {
        reasons.push("it looks like spam".to_owned());
    }
    if consulted.gives_orders {
        reasons.push("it gives orders to whoever classifies it".to_owned());
    }
    for finding in &journal.findings {
        reasons.push(match finding.tool {
            ToolName::ClassifyIssue if consulted.prompt.is_some() => "a language model could not be asked".to_owned(),
            tool => format!("{tool} gave no answer"),
        });
    }
    reasons.dedup();
    reasons
}

fn reasoning(
    tenant: &Tenant,
    classification: &Classification,
    priority: &Priority,
    routing: &Routing,
    journal: &Journal,
) -> String {
    let team = tenant.team(&routing.team).map_or(routing.team.as_str(), |team| &team.name);
    let by = match routing.decided_by {
        DecidedBy::Rule => "by a rule of the tenant".to_owned(),
        DecidedBy::Small | DecidedBy::Large => format!("by the {} model {}", routing.decided_by, classification.model),
        DecidedBy::Local | DecidedBy::Person => "by the local classifier".to_owned(),
    };
    let mut text = format!(
        "Assigned to {team} {by}: {} ({:.0} % sure).\nPriority {} with {} of 100 points:",
        routing.reason,
        routing.confidence * 100.0,
        priority.level,
        priority.score
    );
    for term in priority.terms.iter().filter(|term| term.points > 0.0) {
        text.push_str(&format!("\n- {} +{}: {}", term.term, term.points, term.reason));
    }
    if routing.decided_by == DecidedBy::Rule
        && let Some(top) = classification.categories.first()
    {
        let sure = top.probability * 100.0;
        text.push_str(&format!("\nThe classifier reads it as {} ({sure:.0} % sure).", top.category));
    }
    for finding in &journal.findings {
        text.push_str(&format!("\nDecided without {}: {}", finding.tool, finding.detail));
    }
    text
}
