//! From a ticket to its decision: the tools side by side, then priority, team, and what a person should look at.

use std::time::Duration;

use serde_json::json;

use super::{
    CategoryProbability, Classification, DecidedBy, Decision, IssueClassification, TeamProbability, Ticket, ToolName,
    cascade::{self, Consulted},
    tools::{
        Journal, ask, attempt,
        entities::{self, Entities},
        millis,
        priority::{self, Priority, round},
        team::{self, Routing},
    },
};
use crate::{
    app::App,
    limits,
    ports::{Customer, PastDecision, StatusReport, TenantScope},
    tenants::{TeamConfig, Tenant},
    untrusted::Untrusted,
};

/// A second category is told when it is at least this probable.
const SECONDARY_PROBABILITY: f64 = 0.2;
/// So many categories are kept with their probabilities.
const PROBABILITIES_KEPT: usize = 5;

/// Decides where `ticket` goes and how urgent it is. A tool that fails leaves a finding; a decision always comes.
pub async fn route(app: &App, tenant: &Tenant, ticket: &Ticket) -> Decision {
    let started = app.clock.monotonic();
    let mut journal = Journal::default();
    let text = ticket.text();
    let entities = extract_entities(app, tenant, &text, &mut journal);
    let known = look_up(app, tenant, ticket, &entities, &mut journal).await;
    let local = classify(app, tenant, ticket, &mut journal);
    let said = choose_team(tenant, ticket, &text, &entities, &known, &local);
    let (classification, consulted) = if cascade::is_wanted(tenant, &local, said.confidence, said.decided_by) {
        cascade::consult(app, tenant, ticket, &text, local, &mut journal).await
    } else {
        (local, Consulted::default())
    };
    settle(app, tenant, ticket, &text, entities, &known, classification, consulted, journal, started)
}

/// Decides again, without a look at the outside: customer, service status and history are what `past` was decided from. What
/// was missing then is missing again.
pub fn route_again(app: &App, tenant: &Tenant, ticket: &Ticket, past: &Decision) -> Decision {
    let started = app.clock.monotonic();
    let mut journal = Journal::default();
    let text = ticket.text();
    let entities = extract_entities(app, tenant, &text, &mut journal);
    let known = Known::recorded(past, &mut journal);
    let local = classify(app, tenant, ticket, &mut journal);
    let said = choose_team(tenant, ticket, &text, &entities, &known, &local);
    let (classification, consulted) = if cascade::is_wanted(tenant, &local, said.confidence, said.decided_by) {
        cascade::recorded(tenant, local, past, &mut journal)
    } else {
        (local, Consulted::default())
    };
    settle(app, tenant, ticket, &text, entities, &known, classification, consulted, journal, started)
}

/// The team by the tenant's rules and what the classification says.
fn choose_team(
    tenant: &Tenant,
    ticket: &Ticket,
    text: &Untrusted<String>,
    entities: &Entities,
    known: &Known,
    classification: &Classification,
) -> Routing {
    let facts = team::Facts {
        ticket,
        text,
        classification,
        entities,
        customer: known.customer.as_ref(),
        status: known.status.as_ref(),
    };
    team::route(tenant, &facts)
}

#[expect(clippy::too_many_arguments, reason = "the facts of one decision, each from its own tool")]
fn settle(
    app: &App,
    tenant: &Tenant,
    ticket: &Ticket,
    text: &Untrusted<String>,
    entities: Entities,
    known: &Known,
    classification: Classification,
    consulted: Consulted,
    mut journal: Journal,
    started: Duration,
) -> Decision {
    let (priority, routing) = weigh(app, tenant, ticket, text, &entities, known, &classification, &mut journal);
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
        correlation_id: ticket.correlation_id.clone(),
        config_version: tenant.version.clone(),
        created_at: now,
        ttl: now.plus(limits::TICKET_RETENTION).as_millis() / 1_000,
    }
}

struct Known {
    customer: Option<Customer>,
    status: Option<StatusReport>,
    history: Vec<PastDecision>,
}

impl Known {
    /// What the tools answered when `past` was decided; their calls and findings are kept in the journal again.
    fn recorded(past: &Decision, journal: &mut Journal) -> Self {
        const LOOK_UPS: [ToolName; 3] =
            [ToolName::CheckVipStatus, ToolName::CheckServiceStatus, ToolName::GetHistoricalContext];
        let mut known = Self { customer: None, status: None, history: Vec::new() };
        for call in past.tool_calls.iter().filter(|call| LOOK_UPS.contains(&call.name)) {
            journal.calls.push(call.clone());
            if !call.ok {
                continue;
            }
            // A record of an earlier version may lack a field of today: then this fact is missing, as after a failure.
            match call.name {
                ToolName::CheckVipStatus => {
                    known.customer = serde_json::from_value(call.output.clone()).unwrap_or_default()
                }
                ToolName::CheckServiceStatus => known.status = serde_json::from_value(call.output.clone()).ok(),
                _ => {
                    let recent = call.output.get("recent_tickets").cloned().unwrap_or_default();
                    known.history = serde_json::from_value(recent).unwrap_or_default();
                }
            }
        }
        journal.findings.extend(past.findings.iter().filter(|finding| LOOK_UPS.contains(&finding.tool)).cloned());
        known
    }
}

fn extract_entities(app: &App, tenant: &Tenant, text: &Untrusted<String>, journal: &mut Journal) -> Entities {
    let chars = text.read_as(|text| text.chars().count());
    journal.compute(
        app,
        ToolName::ExtractEntities,
        json!({"characters": chars}),
        || entities::extract(tenant, text),
        |found| json!(found.0),
    )
}

async fn look_up(app: &App, tenant: &Tenant, ticket: &Ticket, entities: &Entities, journal: &mut Journal) -> Known {
    let services = entities.services();
    let scope = TenantScope::of_tenant(tenant);
    let (customer, status, history) = futures_util::join!(
        ask(
            app,
            ToolName::CheckVipStatus,
            json!({"customer_id": ticket.customer_id}),
            app.customers.customer(tenant, &ticket.customer_id),
            |customer| json!(customer),
        ),
        ask(
            app,
            ToolName::CheckServiceStatus,
            json!({"service_ids": services}),
            app.status.status(tenant, &services),
            |report| json!(report),
        ),
        ask(
            app,
            ToolName::GetHistoricalContext,
            json!({"customer_id": ticket.customer_id, "limit": limits::HISTORY_DECISIONS}),
            app.tickets.history(&scope, &ticket.customer_id, &ticket.id, limits::HISTORY_DECISIONS),
            |past| history_shown(past),
        ),
    );
    Known {
        customer: journal.keep(customer).flatten(),
        status: journal.keep(status),
        history: journal.keep(history).unwrap_or_default(),
    }
}

fn history_shown(past: &[PastDecision]) -> serde_json::Value {
    let mut common: Vec<_> = past.iter().map(|one| &one.category).collect();
    common.sort();
    common.dedup();
    json!({
        "recent_tickets": past,
        "common_issues": common,
        "escalation_history": past.iter().any(|one| one.requires_manual_review),
    })
}

fn classify(app: &App, tenant: &Tenant, ticket: &Ticket, journal: &mut Journal) -> Classification {
    let outcome = attempt(
        app,
        ToolName::ClassifyIssue,
        json!({"categories": tenant.config.categories.len()}),
        || app.classifier.classify(tenant, ticket),
        |answer| {
            let top = kept(answer);
            json!({
                "probabilities": top,
                "teams": teams_kept(answer),
                "certainty": answer.certainty,
                "severity": answer.severity,
                "severity_reason": answer.severity_reason,
                "sentiment": answer.sentiment,
                "language": answer.language,
                "model": answer.model,
            })
        },
    );
    journal.keep(outcome).unwrap_or_else(|| undecided(tenant))
}

/// What is left when the classifier fails: every category as probable as any other.
fn undecided(tenant: &Tenant) -> Classification {
    let categories = &tenant.config.categories;
    let probability = 1.0 / categories.len().max(1) as f64;
    let share =
        |team: &TeamConfig| probability * categories.iter().filter(|category| category.team == team.id).count() as f64;
    let teams = &tenant.config.teams;
    Classification {
        categories: categories
            .iter()
            .map(|category| CategoryProbability { category: category.id.clone(), probability })
            .collect(),
        teams: teams.iter().map(|team| TeamProbability { team: team.id.clone(), probability: share(team) }).collect(),
        confidence_needed: tenant.config.review.precision,
        is_out_of_scope: false,
        is_spam: false,
        severity: super::Severity::Medium,
        severity_reason: "the classifier gave no answer".to_owned(),
        sentiment: super::Sentiment::Neutral,
        language: None,
        certainty: None,
        decided_by: DecidedBy::Local,
        model: "none".to_owned(),
    }
}

#[expect(clippy::too_many_arguments, reason = "the facts of one decision, each from its own tool")]
fn weigh(
    app: &App,
    tenant: &Tenant,
    ticket: &Ticket,
    text: &Untrusted<String>,
    entities: &Entities,
    known: &Known,
    classification: &Classification,
    journal: &mut Journal,
) -> (Priority, Routing) {
    let services = entities.services();
    let facts = priority::Facts {
        severity: classification.severity,
        severity_reason: &classification.severity_reason,
        sentiment: classification.sentiment,
        customer: known.customer.as_ref(),
        status: known.status.as_ref(),
        services: &services,
        history: &known.history,
        amount: entities.largest_amount(),
    };
    let priority = journal.compute(
        app,
        ToolName::CalculatePriority,
        json!({"severity": facts.severity, "sentiment": facts.sentiment, "amount": facts.amount}),
        || priority::calculate(tenant, &facts),
        |priority| json!({"score": priority.score, "level": priority.level}),
    );
    let routing = journal.compute(
        app,
        ToolName::RouteToTeam,
        json!({"rules": tenant.config.routing_rules.len()}),
        || choose_team(tenant, ticket, text, entities, known, classification),
        |chosen| json!({"team": chosen.team, "confidence": round(chosen.confidence, 4), "reason": chosen.reason}),
    );
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
        probabilities: kept(classification),
        certainty: classification.certainty.clone(),
    }
}

/// The most probable categories, rounded.
fn kept(classification: &Classification) -> Vec<CategoryProbability> {
    let most = classification.categories.iter().take(PROBABILITIES_KEPT);
    most.map(|one| CategoryProbability { category: one.category.clone(), probability: round(one.probability, 4) })
        .collect()
}

fn teams_kept(classification: &Classification) -> Vec<TeamProbability> {
    let most = classification.teams.iter().take(PROBABILITIES_KEPT);
    most.map(|one| TeamProbability { team: one.team.clone(), probability: round(one.probability, 4) }).collect()
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
