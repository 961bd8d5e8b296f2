//! Past tickets through another configuration: what would be different, and would it be better? Nothing is stored, nobody is
//! told, and nobody outside is asked.

use serde::Serialize;

use super::{Decision, route::route_again};
use crate::{
    app::App,
    ids::{CategoryId, TeamId, TicketId},
    ports::TicketFile,
    tenants::Tenant,
    tickets::PriorityLevel,
};

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// The team.
    pub team: TeamId,
    /// The category.
    pub category: CategoryId,
    /// The priority.
    pub priority: PriorityLevel,
    /// How sure the routing is, 0 to 1.
    pub confidence: f64,
    /// Whether a person should look.
    pub review: bool,
}

/// A ticket as it was decided and as it would be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The ticket.
    pub ticket_id: TicketId,
    /// As it was decided.
    pub before: Side,
    /// As it would be.
    pub after: Side,
    /// What a person said of it, where one has looked.
    pub reviewed: Option<Reviewed>,
}

/// What a person said of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    /// The team.
    pub team: TeamId,
    /// The category.
    pub category: CategoryId,
}

/// What one side comes to over all tickets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Tickets that want a person's look.
    pub reviews: u64,
    /// Reviewed tickets whose team is what the person said.
    pub team_right: u64,
    /// Reviewed tickets whose category is what the person said.
    pub category_right: u64,
    /// What models cost, in US dollars.
    pub cost_usd: f64,
    /// The mean time of a decision, in milliseconds. Before, that includes the look-ups outside; after, they are recorded.
    pub mean_ms: f64,
}

/// A comparison over many tickets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Tickets replayed.
    pub tickets: u64,
    /// Tickets that had no decision yet and were left out.
    pub undecided: u64,
    /// Tickets whose team would differ.
    pub team_changes: u64,
    /// Tickets whose category would differ.
    pub category_changes: u64,
    /// Tickets whose priority would differ.
    pub priority_changes: u64,
    /// Tickets that would newly want a look, or no more.
    pub review_changes: u64,
    /// Tickets that a person has reviewed.
    pub reviewed: u64,
    /// As they were decided.
    pub before: Totals,
    /// As they would be.
    pub after: Totals,
}

impl Comparison {
    /// Replays a ticket and adds it to the comparison; `None` when it has no decision yet.
    pub fn replay(&mut self, app: &App, tenant: &Tenant, file: &TicketFile) -> Option<Replayed> {
        let Some(past) = &file.decision else {
            self.undecided += 1;
            return None;
        };
        let now = route_again(app, tenant, &file.ticket, past);
        let reviewed = file.review.as_ref().map(|review| Reviewed {
            team: review.assignment.team.clone(),
            category: review.assignment.category.clone(),
        });
        let one = Replayed { ticket_id: past.ticket_id.clone(), before: side(past), after: side(&now), reviewed };
        self.tickets += 1;
        self.team_changes += u64::from(one.before.team != one.after.team);
        self.category_changes += u64::from(one.before.category != one.after.category);
        self.priority_changes += u64::from(one.before.priority != one.after.priority);
        self.review_changes += u64::from(one.before.review != one.after.review);
        self.reviewed += u64::from(one.reviewed.is_some());
        self.before.add(past, &one.before, one.reviewed.as_ref(), self.tickets);
        self.after.add(&now, &one.after, one.reviewed.as_ref(), self.tickets);
        Some(one)
    }
}

impl Replayed {
    /// Whether anything that people see would differ.
    pub fn differs(&self) -> bool {
        let (one, other) = (&self.before, &self.after);
        (&one.team, &one.category, one.priority, one.review)
            != (&other.team, &other.category, other.priority, other.review)
    }
}

impl Totals {
    fn add(&mut self, decision: &Decision, side: &Side, reviewed: Option<&Reviewed>, tickets: u64) {
        self.reviews += u64::from(side.review);
        self.team_right += u64::from(reviewed.is_some_and(|said| said.team == side.team));
        self.category_right += u64::from(reviewed.is_some_and(|said| said.category == side.category));
        self.cost_usd += decision.cost_usd;
        self.mean_ms += (decision.processing_time_ms - self.mean_ms) / tickets as f64;
    }
}

fn side(decision: &Decision) -> Side {
    Side {
        team: decision.assigned_team.clone(),
        category: decision.issue_classification.primary_category.clone(),
        priority: decision.priority_level,
        confidence: decision.confidence_score,
        review: decision.requires_manual_review,
    }
}
