//! A second configuration beside the first: in its shadow, or on a share of the tickets, and what comes of the comparison.

use std::pin::pin;

use futures_util::future::{Either, join, select};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    DecidedBy, Decision, PriorityLevel, Ticket, Tokens,
    facts::Facts,
    route::{conclude, route},
};
use crate::{
    app::App,
    ids::{CategoryId, TeamId, TrialName},
    models::NanoUsd,
    ports::TicketFile,
    tenants::{Tenant, Trial, TrialKind},
    words::words,
};

words! {
    /// By which configuration a ticket of a trial was decided.
    Arm {
        /// By the tenant's own.
        Control = "control",
        /// By the one that is tried.
        Trial = "trial",
    }
}

/// A ticket's part in a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TrialRecord {
    /// The trial.
    pub name: TrialName,
    /// By which configuration it was decided.
    pub arm: Arm,
    /// What the configuration that is tried would have decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// It was to decide in the shadow, and took too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_late: bool,
}

/// A decision that nobody acts on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shadow {
    /// The team.
    pub assigned_team: TeamId,
    /// The category.
    pub primary_category: CategoryId,
    /// How urgent it is.
    pub priority_level: PriorityLevel,
    /// How sure the routing is, 0 to 1.
    pub confidence_score: f64,
    /// Whether a person would have been asked to look.
    pub requires_manual_review: bool,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// The classifier or model.
    pub model: String,
    /// The prompt by which a model was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Tokens that models used, beside those of the decision.
    pub tokens: Tokens,
    /// What models cost, beside what the decision cost, in US dollars.
    pub cost_usd: f64,
    /// How long it took, in milliseconds.
    pub processing_time_ms: f64,
}

/// Decides the ticket by the tenant's configuration or, where it takes part in a trial, as that says.
pub async fn decide(app: &App, tenant: &Tenant, ticket: &Ticket) -> Decision {
    let Some(trial) = &tenant.trial else { return route(app, tenant, ticket).await };
    let record = |arm| TrialRecord { name: trial.name.clone(), arm, shadow: None, is_late: false };
    let (decision, record) = match (trial.kind, trial.takes(&ticket.id)) {
        (TrialKind::Split, true) => (route(app, &trial.tenant, ticket).await, Some(record(Arm::Trial))),
        (TrialKind::Split, false) => (route(app, tenant, ticket).await, Some(record(Arm::Control))),
        (TrialKind::Shadow, false) => (route(app, tenant, ticket).await, None),
        (TrialKind::Shadow, true) => {
            let (decision, shadow) = with_shadow(app, tenant, trial, ticket).await;
            let is_late = shadow.is_none();
            (decision, Some(TrialRecord { shadow, is_late, ..record(Arm::Control) }))
        }
    };
    let decision = Decision { trial: record, ..decision };
    count(&decision);
    decision
}

/// Both side by side, from one look at the outside. A shadow that is not there in its time is not waited for.
async fn with_shadow(app: &App, tenant: &Tenant, trial: &Trial, ticket: &Ticket) -> (Decision, Option<Shadow>) {
    let started = app.clock.monotonic();
    let mut facts = Facts::new(app, tenant, ticket);
    facts.complete().await;
    let beside = facts.beside(&trial.tenant);
    let shadow = async {
        match select(pin!(conclude(beside, started)), app.clock.sleep(trial.wait)).await {
            Either::Left((decision, _)) => Some(Shadow::of(decision)),
            Either::Right(_) => None,
        }
    };
    join(conclude(facts, started), shadow).await
}

fn count(decision: &Decision) {
    let Some(record) = &decision.trial else { return };
    let arm = |arm: Arm, review: bool, cost_usd: f64, ms: f64| {
        let arm = arm.word();
        let review = if review { "review" } else { "automatic" };
        metrics::counter!("switchboard_trial_decisions_total", "arm" => arm, "outcome" => review).increment(1);
        metrics::counter!("switchboard_trial_cost_nanousd_total", "arm" => arm)
            .increment(NanoUsd::from_usd(cost_usd).0);
        metrics::histogram!("switchboard_trial_seconds", "arm" => arm).record(ms / 1e3);
    };
    arm(record.arm, decision.requires_manual_review, decision.cost_usd, decision.processing_time_ms);
    if record.is_late {
        metrics::counter!("switchboard_trial_shadows_late_total").increment(1);
    }
    let Some(shadow) = &record.shadow else { return };
    arm(Arm::Trial, shadow.requires_manual_review, shadow.cost_usd, shadow.processing_time_ms);
    for (what, agrees) in shadow.agreement(decision) {
        let agrees = if agrees { "yes" } else { "no" };
        metrics::counter!("switchboard_trial_shadows_total", "field" => what, "agrees" => agrees).increment(1);
    }
}

impl Shadow {
    fn of(decision: Decision) -> Self {
        Self {
            assigned_team: decision.assigned_team,
            primary_category: decision.issue_classification.primary_category,
            priority_level: decision.priority_level,
            confidence_score: decision.confidence_score,
            requires_manual_review: decision.requires_manual_review,
            decided_by: decision.decided_by,
            model: decision.model,
            prompt: decision.prompt,
            tokens: decision.tokens,
            cost_usd: decision.cost_usd,
            processing_time_ms: decision.processing_time_ms,
        }
    }

    /// What is the same in the decision that was acted on.
    fn agreement(&self, decision: &Decision) -> [(&'static str, bool); 4] {
        [
            ("team", self.assigned_team == decision.assigned_team),
            ("category", self.primary_category == decision.issue_classification.primary_category),
            ("priority", self.priority_level == decision.priority_level),
            ("review", self.requires_manual_review == decision.requires_manual_review),
        ]
    }
}

/// What one arm came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ArmTotals {
    /// Tickets that it decided, or would have.
    pub tickets: u64,
    /// Of these, without a person's look.
    pub automatic: u64,
    /// Tickets that a person has reviewed.
    pub reviewed: u64,
    /// Of these, those whose team is what the person said.
    pub team_right: u64,
    /// And whose category is.
    pub category_right: u64,
    /// Tickets decided without a look that a person reviewed all the same.
    pub automatic_reviewed: u64,
    /// Of these, those whose team is what the person said.
    pub automatic_right: u64,
    /// What models cost, in US dollars.
    pub cost_usd: f64,
    /// The mean time of a decision, in milliseconds.
    pub mean_ms: f64,
}

/// A trial over the tickets that took part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TrialComparison {
    /// The tenant's own configuration.
    pub control: ArmTotals,
    /// The one that is tried.
    pub trial: ArmTotals,
    /// Tickets of which there are both.
    pub both: u64,
    /// Of these, those with the same team.
    pub same_team: u64,
    /// The same category.
    pub same_category: u64,
    /// The same priority.
    pub same_priority: u64,
    /// The same answer whether a person should look.
    pub same_review: u64,
    /// Shadows that came too late, and are not counted.
    pub late: u64,
}

impl TrialComparison {
    /// Counts a ticket, when it took part in the trial of that name.
    pub fn add(&mut self, name: &TrialName, file: &TicketFile) {
        let Some(decision) = &file.decision else { return };
        let Some(record) = decision.trial.as_ref().filter(|record| record.name == *name) else { return };
        let said = file.review.as_ref().map(|review| (&review.assignment.team, &review.assignment.category));
        self.late += u64::from(record.is_late);
        // A ticket without its shadow would make the two sides of a comparison unlike.
        if !record.is_late {
            let own = Shadow::of(decision.clone());
            match record.arm {
                Arm::Control => self.control.add(&own, said),
                Arm::Trial => self.trial.add(&own, said),
            }
        }
        let Some(shadow) = &record.shadow else { return };
        self.trial.add(shadow, said);
        self.both += 1;
        let [team, category, priority, review] = shadow.agreement(decision).map(|(_, agrees)| u64::from(agrees));
        self.same_team += team;
        self.same_category += category;
        self.same_priority += priority;
        self.same_review += review;
    }
}

impl ArmTotals {
    fn add(&mut self, one: &Shadow, said: Option<(&TeamId, &CategoryId)>) {
        self.tickets += 1;
        let is_automatic = !one.requires_manual_review;
        self.automatic += u64::from(is_automatic);
        self.cost_usd += one.cost_usd;
        self.mean_ms += (one.processing_time_ms - self.mean_ms) / self.tickets as f64;
        let Some((team, category)) = said else { return };
        let right = one.assigned_team == *team;
        self.reviewed += 1;
        self.team_right += u64::from(right);
        self.category_right += u64::from(one.primary_category == *category);
        self.automatic_reviewed += u64::from(is_automatic);
        self.automatic_right += u64::from(is_automatic && right);
    }
}
