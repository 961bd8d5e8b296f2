//! What a decision is made from, looked up when it is first asked for.

use serde_json::json;

use super::{
    Classification, Decision, Ticket, ToolName,
    tools::{
        Journal, ask, attempt,
        entities::{self, Entities},
        priority::{self, Priority},
        team::{self, Routing},
    },
};
use crate::{
    app::App,
    guard::{Pseudonyms, Redaction},
    limits,
    ports::{Customer, PastDecision, StatusReport, TenantScope},
    tenants::Tenant,
    untrusted::Untrusted,
};

/// The facts of one ticket. Each tool runs once; what it could not give is a finding in the journal.
pub(super) struct Facts<'a> {
    pub(super) app: &'a App,
    pub(super) tenant: &'a Tenant,
    pub(super) ticket: &'a Ticket,
    pub(super) journal: Journal,
    text: Untrusted<String>,
    entities: Option<Entities>,
    customer: Option<Option<Customer>>,
    status: Option<Option<StatusReport>>,
    history: Option<Vec<PastDecision>>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(app: &'a App, tenant: &'a Tenant, ticket: &'a Ticket) -> Self {
        Self {
            app,
            tenant,
            ticket,
            journal: Journal::default(),
            text: ticket.text(),
            entities: None,
            customer: None,
            status: None,
            history: None,
        }
    }

    /// The same facts for another configuration of the same tenant, as far as they are known.
    pub(super) fn beside<'b>(&self, tenant: &'b Tenant) -> Facts<'b>
    where
        'a: 'b,
    {
        Facts {
            app: self.app,
            tenant,
            ticket: self.ticket,
            journal: Journal { calls: self.journal.calls.clone(), findings: self.journal.findings.clone() },
            text: self.text.clone(),
            entities: self.entities.clone(),
            customer: self.customer.clone(),
            status: self.status.clone(),
            history: self.history.clone(),
        }
    }

    /// Takes over what the tools answered when `past` was decided, with their calls and findings: nobody outside is asked.
    /// What was missing then is missing again.
    pub(super) fn recorded(mut self, past: &Decision) -> Self {
        const LOOK_UPS: [ToolName; 3] =
            [ToolName::CheckVipStatus, ToolName::CheckServiceStatus, ToolName::GetHistoricalContext];
        (self.customer, self.status, self.history) = (Some(None), Some(None), Some(Vec::new()));
        for call in past.tool_calls.iter().filter(|call| LOOK_UPS.contains(&call.name)) {
            self.journal.calls.push(call.clone());
            if !call.ok {
                continue;
            }
            // A record of an earlier version may lack a field of today: then this fact is missing, as after a failure.
            match call.name {
                ToolName::CheckVipStatus => {
                    self.customer = Some(serde_json::from_value(call.output.clone()).unwrap_or_default());
                }
                ToolName::CheckServiceStatus => self.status = Some(serde_json::from_value(call.output.clone()).ok()),
                _ => {
                    let recent = call.output.get("recent_tickets").cloned().unwrap_or_default();
                    self.history = Some(serde_json::from_value(recent).unwrap_or_default());
                }
            }
        }
        let findings = past.findings.iter().filter(|finding| LOOK_UPS.contains(&finding.tool));
        self.journal.findings.extend(findings.cloned());
        self
    }

    /// The ticket's text for a model: its beginning, with stand-ins for personal data.
    pub(super) fn covered(&self, pseudonyms: &mut Pseudonyms) -> Untrusted<String> {
        pseudonyms.cover(&self.text.begin(limits::MODEL_TICKET_CHARS), &Redaction::of(self.tenant))
    }

    pub(super) fn entities(&mut self) -> &Entities {
        if self.entities.is_none() {
            let (tenant, text) = (self.tenant, &self.text);
            let chars = text.read_as(|text| text.chars().count());
            let found = self.journal.compute(
                self.app,
                ToolName::ExtractEntities,
                json!({"characters": chars}),
                || entities::extract(tenant, text),
                |found| json!(found.0),
            );
            self.entities = Some(found);
        }
        self.entities.get_or_insert_default()
    }

    /// Looks up what is not known yet of these, side by side.
    pub(super) async fn look_up(&mut self, wanted: &[ToolName]) {
        let services = self.entities().services();
        let (app, tenant, ticket) = (self.app, self.tenant, self.ticket);
        let scope = TenantScope::of_tenant(tenant);
        let customer = async {
            let is_wanted = wanted.contains(&ToolName::CheckVipStatus) && self.customer.is_none();
            let input = json!({"customer_id": ticket.customer_id});
            let work = app.customers.customer(tenant, &ticket.customer_id);
            let show = |customer: &Option<Customer>| json!(customer);
            if is_wanted { Some(ask(app, ToolName::CheckVipStatus, input, work, show).await) } else { None }
        };
        let status = async {
            let is_wanted = wanted.contains(&ToolName::CheckServiceStatus) && self.status.is_none();
            let input = json!({"service_ids": services});
            let work = app.status.status(tenant, &services);
            let show = |report: &StatusReport| json!(report);
            if is_wanted { Some(ask(app, ToolName::CheckServiceStatus, input, work, show).await) } else { None }
        };
        let history = async {
            let is_wanted = wanted.contains(&ToolName::GetHistoricalContext) && self.history.is_none();
            let input = json!({"customer_id": ticket.customer_id, "limit": limits::HISTORY_DECISIONS});
            let work = app.tickets.history(&scope, &ticket.customer_id, &ticket.id, limits::HISTORY_DECISIONS);
            let show = |past: &Vec<PastDecision>| history_shown(past);
            if is_wanted { Some(ask(app, ToolName::GetHistoricalContext, input, work, show).await) } else { None }
        };
        let (customer, status, history) = futures_util::join!(customer, status, history);
        if let Some(outcome) = customer {
            self.customer = Some(self.journal.keep(outcome).flatten());
        }
        if let Some(outcome) = status {
            self.status = Some(self.journal.keep(outcome));
        }
        if let Some(outcome) = history {
            self.history = Some(self.journal.keep(outcome).unwrap_or_default());
        }
    }

    /// Looks up all that is not known yet: every decision rests on the same.
    pub(super) async fn complete(&mut self) {
        let all = [ToolName::CheckVipStatus, ToolName::CheckServiceStatus, ToolName::GetHistoricalContext];
        self.look_up(&all).await;
    }

    pub(super) fn classify(&mut self) -> Classification {
        let (app, tenant, ticket) = (self.app, self.tenant, self.ticket);
        let outcome = attempt(
            app,
            ToolName::ClassifyIssue,
            json!({"categories": tenant.config.categories.len()}),
            || app.classifier.classify(tenant, ticket),
            Classification::shown,
        );
        self.journal.keep(outcome).unwrap_or_else(|| Classification::undecided(tenant))
    }

    /// The team by the tenant's rules and what the classification says, from what is known so far.
    pub(super) fn team(&mut self, classification: &Classification) -> Routing {
        self.entities();
        let entities = self.entities.get_or_insert_default();
        let facts = team::Facts {
            ticket: self.ticket,
            text: &self.text,
            classification,
            entities,
            customer: self.customer.as_ref().and_then(Option::as_ref),
            status: self.status.as_ref().and_then(Option::as_ref),
        };
        team::route(self.tenant, &facts)
    }

    /// How urgent it is, from what is known so far.
    pub(super) fn priority(&mut self, classification: &Classification) -> Priority {
        let services = self.entities().services();
        let amount = self.entities().largest_amount();
        let facts = priority::Facts {
            severity: classification.severity,
            severity_reason: &classification.severity_reason,
            sentiment: classification.sentiment,
            customer: self.customer.as_ref().and_then(Option::as_ref),
            status: self.status.as_ref().and_then(Option::as_ref),
            services: &services,
            history: self.history.as_deref().unwrap_or_default(),
            amount,
        };
        priority::calculate(self.tenant, &facts)
    }

    /// What the recognisers found, and what the tools were asked.
    pub(super) fn end(mut self) -> (Entities, Journal) {
        self.entities();
        (self.entities.unwrap_or_default(), self.journal)
    }

    /// What a look-up has given: nothing when it was not made, or failed.
    pub(super) fn shown(&mut self, tool: ToolName) -> serde_json::Value {
        match tool {
            ToolName::CheckVipStatus => json!(self.customer),
            ToolName::CheckServiceStatus => json!(self.status),
            ToolName::GetHistoricalContext => self.history.as_deref().map_or(json!(null), history_shown),
            _ => json!(self.entities().0),
        }
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
