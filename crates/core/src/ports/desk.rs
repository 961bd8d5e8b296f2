use std::time::Duration;

use async_trait::async_trait;

use crate::{
    error::{Error, ErrorKind, Result},
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

/// What may be done after an update whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Sending it again: the second time changes nothing.
    Safe,
    /// [`Desk::look_up`] first, and sending it again only if it was not applied.
    LookFirst,
    /// Nothing: a person has to look.
    Never,
}

/// A ticketing system that decisions are written back to.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Brings the ticket to the state of `update`. Where [`Self::repeats`] says `Safe`, it may be called again with the same
    /// `decision_id`, also at the same time and after an unclear outcome, and then changes nothing: an adapter sends the id
    /// as idempotency key where the other side takes one, and looks before it writes where it does not.
    ///
    /// Errors: `Refused` and `Invalid` are final; `Throttled`, `Unavailable`, `Timeout` and `BadAnswer` may be tried again,
    /// and [`Error::may_have_applied`] tells whether this call may have changed the ticket.
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt>;

    /// What may be done with this tenant's updates after an unclear outcome.
    fn repeats(&self, _tenant: &Tenant) -> Repeats {
        Repeats::Safe
    }

    /// How long an update that came now would be put off without being sent, if at all: who asks first need not store an
    /// attempt.
    fn rests(&self, _tenant: &Tenant) -> Option<Duration> {
        None
    }

    /// Whether the update was applied: the receipt when it was, `None` when it surely was not. Only for a desk whose
    /// [`Self::repeats`] says `LookFirst`; `Internal` for any other.
    async fn look_up(&self, _tenant: &Tenant, _update: &DeskUpdate) -> Result<Option<DeskReceipt>> {
        Err(Error::new(ErrorKind::Internal, "this ticketing system cannot be asked whether it has applied an update"))
    }
}
