use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{CorrelationId, DecisionId, TeamId, TicketId},
    tenants::Tenant,
    tickets::PriorityLevel,
    time::Timestamp,
};

/// What a ticketing system is to be told of a decision or a review.
#[derive(Clone, Debug, PartialEq)]
pub struct DeskUpdate {
    /// The decision: the idempotency key of this update, the same in every repetition.
    pub decision_id: DecisionId,
    /// The decision that a person confirmed or corrected by this one; absent when this is no review.
    pub reviewed: Option<DecisionId>,
    /// The ticket, as the ticketing system names it.
    pub ticket_id: TicketId,
    /// The team that gets it.
    pub team: TeamId,
    /// How urgent it is.
    pub priority: PriorityLevel,
    /// The score behind the priority, 0 to 100.
    pub priority_score: f64,
    /// How sure the routing is, 0 to 1.
    pub confidence: f64,
    /// Whether a person should look.
    pub requires_manual_review: bool,
    /// Labels for the ticket.
    pub tags: Vec<String>,
    /// Labels of earlier updates that hold no more; those of others stay.
    pub remove_tags: Vec<String>,
    /// The reasoning, for agents only, never for the customer.
    pub note: String,
    /// When the decision was made.
    pub decided_at: Timestamp,
    /// The request that led to it.
    pub correlation_id: CorrelationId,
}

/// What the ticketing system said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskReceipt {
    /// For people: `zendesk ticket 4711 updated`.
    pub text: String,
}

/// A ticketing system that decisions are written back to.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Brings the ticket to the state of `update`. May be called again with the same `decision_id`, also at the same
    /// time and after an unclear outcome, and then changes nothing: an adapter sends the id as idempotency key where the
    /// other side takes one, and looks before it writes where it does not.
    ///
    /// Errors: `Refused` and `Invalid` are final; `Throttled`, `Unavailable`, `Timeout` and `BadAnswer` may be tried again.
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt>;
}
