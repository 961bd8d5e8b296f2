use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    event::Event,
    ids::{CategoryId, CustomerId, DecisionId, IdempotencyKey, TeamId, TicketId},
    ports::{Example, Lane, Lease, TenantScope},
    tenants::QuotasConfig,
    tickets::{Decision, PriorityLevel, Severity, SyncState, SyncStatus, Ticket, review::Review},
    time::Timestamp,
    untrusted::{Untrusted, shown},
    words::words,
};

/// A ticket on its way into the store.
#[derive(Clone, Debug)]
pub struct NewTicket {
    /// The ticket.
    pub ticket: Ticket,
    /// The caller's key that makes a repeated request harmless.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Its `TicketReceived`.
    pub event: Event,
    /// How many tickets its tenant and its customer may send in.
    pub quotas: QuotasConfig,
    /// How soon it is worked on among the tenant's others.
    pub lane: Lane,
}

impl NewTicket {
    /// The quotas that it is held against: one of the whole tenant, and one of its customer, whose id stands with it.
    pub fn held_against(&self) -> impl Iterator<Item = (Option<&CustomerId>, u32)> {
        let whole = self.quotas.tickets_per_day.map(|quota| (None, quota));
        let customer = self.quotas.tickets_per_customer_per_day.map(|quota| (Some(&self.ticket.customer_id), quota));
        whole.into_iter().chain(customer)
    }

    /// What a store says of a ticket that is one too many for such a quota.
    pub fn over_quota(&self, customer: Option<&CustomerId>, quota: u32) -> Error {
        let whose = if customer.is_none() { "tenant" } else { "customer" };
        let message =
            format!("the {whose}'s quota of {quota} tickets a day is used up; it begins anew at midnight UTC");
        Error::new(ErrorKind::QuotaExceeded, message).with_retry(Retry::After(self.ticket.accepted_at.until_midnight()))
    }
}

/// What became of a new ticket.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is stored and queued.
    New,
    /// A ticket of this id was stored before; nothing was written.
    SameId(Box<Ticket>),
    /// The idempotency key was used before, for this ticket; nothing was written.
    SameKey(Box<Ticket>),
}

/// Whether a decision was the first for its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// It is stored and its event queued.
    New,
    /// The ticket has a decision already; only the lease was ended.
    Already,
}

/// A review on its way into the store.
#[derive(Clone, Debug)]
pub struct NewReview {
    /// The review.
    pub review: Review,
    /// The review that it replaces; `None` for the first one of its ticket.
    pub replaces: Option<DecisionId>,
    /// Its `TicketReviewed`. When it makes work, the ticketing system is to be told.
    pub event: Event,
    /// What is to be learnt from it.
    pub example: Example,
}

/// Whether a review was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is stored and its event archived, and queued when it makes work.
    New,
    /// Somebody else's review came first: the newest one is not the one to be replaced. Nothing was written.
    Overtaken,
}

/// A ticket with everything that is known of it.
#[derive(Clone, Debug)]
pub struct TicketFile {
    /// The ticket.
    pub ticket: Ticket,
    /// Its decision, once it is made.
    pub decision: Option<Decision>,
    /// What a person made of the decision, once somebody has looked.
    pub review: Option<Review>,
    /// How the write-back goes; pending until there is a decision.
    pub sync: SyncState,
    /// What the write-back tells of: the decision, or the newest review that the ticketing system is to know.
    pub sync_of: Option<DecisionId>,
}

/// A line of a list of tickets.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TicketSummary {
    /// The ticket.
    pub ticket_id: TicketId,
    /// Its customer.
    pub customer_id: CustomerId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// How far it is.
    pub status: TicketStatus,
    /// The team that has it: the review's, when there is one. The same holds for category and priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_team: Option<TeamId>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_category: Option<CategoryId>,
    /// How urgent it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_level: Option<PriorityLevel>,
    /// The score behind it, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_score: Option<f64>,
    /// How sure the routing is, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_score: Option<f64>,
    /// Whether a person should look, or has looked.
    pub review_state: ReviewState,
    /// How the write-back goes.
    pub sync_status: SyncStatus,
}

/// How far a ticket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketStatus {
    /// Stored, and waiting for its decision.
    Accepted,
    /// It has its decision.
    Routed,
}

words! {
    /// Whether a person should look.
    ReviewState {
        /// Nobody needs to.
        NotNeeded = "not_needed",
        /// Somebody should.
        Waiting = "waiting",
        /// Somebody has, asked or not.
        Done = "done",
    }
}

/// A customer's earlier decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastDecision {
    /// The ticket.
    pub ticket_id: TicketId,
    /// When it was decided.
    pub at: Timestamp,
    /// What it was about; as reviewed, when it was. The same holds for the priority.
    pub category: CategoryId,
    /// How bad it was.
    pub severity: Severity,
    /// How urgent it was.
    pub priority: PriorityLevel,
    /// Whether a person had to look.
    pub requires_manual_review: bool,
}

/// Which tickets are meant. All given conditions hold.
#[derive(Clone, Debug, Default)]
pub struct TicketFilter {
    /// Assigned to this team.
    pub team: Option<TeamId>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// Of this priority.
    pub priority: Option<PriorityLevel>,
    /// So far.
    pub status: Option<TicketStatus>,
    /// With this write-back state.
    pub sync: Option<SyncStatus>,
    /// In this review state.
    pub review: Option<ReviewState>,
    /// Accepted at or after this time.
    pub since: Option<Timestamp>,
    /// Accepted before this time.
    pub until: Option<Timestamp>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which tickets that wait for review are meant. All given conditions hold.
#[derive(Clone, Debug, Default)]
pub struct ReviewFilter {
    /// Assigned to this team.
    pub team: Option<TeamId>,
    /// Of this category.
    pub category: Option<CategoryId>,
}

/// Tickets that wait for review, the most instructive first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReviewQueue {
    /// How many wait and fit the conditions, over all pages.
    pub waiting: u64,
    /// The items of this page.
    pub items: Vec<WaitingReview>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A ticket that waits for review. Team, category and priority are suggestions until somebody has looked.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct WaitingReview {
    /// The ticket, with what is suggested and how sure that is.
    #[serde(flatten)]
    pub ticket: TicketSummary,
    /// What it is about, in the customer's words.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    pub subject: Untrusted<String>,
    /// Why a person should look.
    pub review_reasons: Vec<String>,
    /// What there is to learn from its review, 0 to 1: (1 − confidence) × the category's share of the tickets.
    pub value: f64,
}

/// What a write-back came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncChange {
    /// The ticketing system has it; the lease ends.
    Succeeded {
        /// What it said.
        receipt: String,
    },
    /// It failed and is due again at `at`; the lease ends and a failure is counted.
    Retry {
        /// When to try again.
        at: Timestamp,
        /// Why it failed.
        error: String,
        /// Whether it may have got through all the same: its effect stays open.
        open: bool,
    },
    /// Nothing was tried; it is due again at `at`, the lease ends and nothing is counted.
    Deferred {
        /// When to try again.
        at: Timestamp,
        /// What it waits for.
        reason: String,
        /// Whether an earlier attempt may have got through.
        open: bool,
    },
    /// It failed for good; the event goes to the dead letters.
    Failed {
        /// Why it failed.
        error: String,
        /// Whether it may have got through all the same: its effect is held as unknown.
        open: bool,
    },
    /// A newer review is told instead; the lease ends.
    Superseded,
}

/// Tickets with their decisions. Each method that changes something is one write: the change, the event that it causes and
/// the end of the lease under which it was made are stored together or not at all.
///
/// What one call has acknowledged, every later call sees; on AWS, lists, histories and the review queue follow after a moment.
#[async_trait]
pub trait TicketStore: Send + Sync {
    /// Stores tickets with their events, durably, before it returns; a result for each, in order. A ticket that is there
    /// already is left as it is.
    ///
    /// A ticket that would be one more than its quotas allow on its day (of `accepted_at`, in UTC) is
    /// [`crate::error::ErrorKind::QuotaExceeded`], to be tried again when the next day begins; the others of the call are not
    /// concerned. What is counted is what was stored as new; however many calls run side by side, no quota is passed.
    async fn accept(&self, scope: &TenantScope, tickets: Vec<NewTicket>) -> Result<Vec<Result<Accepted>>>;

    /// Whether new tickets can be stored; [`crate::error::ErrorKind::StorageFull`] while the disk is full. What was accepted
    /// before is worked off nevertheless.
    async fn has_room(&self) -> Result<()> {
        Ok(())
    }

    /// The ticket with its decision.
    async fn ticket(&self, scope: &TenantScope, id: &TicketId) -> Result<Option<TicketFile>>;

    /// Tickets, newest first; `cursor` is the `next_cursor` of the page before. A cursor that this store did not make is
    /// [`crate::error::ErrorKind::Invalid`].
    async fn list(
        &self,
        scope: &TenantScope,
        filter: &TicketFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TicketSummary>>;

    /// The decisions of the customer's last tickets, the newest ticket first, without the ticket that is asked for.
    async fn history(
        &self,
        scope: &TenantScope,
        customer: &CustomerId,
        except: &TicketId,
        limit: u32,
    ) -> Result<Vec<PastDecision>>;

    /// Stores the decision of a ticket with its `TicketRouted` and the intent of its effect, and ends the lease. A ticket has one decision: a second
    /// one is `Already` and changes nothing. A lost lease is [`crate::error::ErrorKind::LeaseLost`].
    async fn decide(&self, scope: &TenantScope, decision: &Decision, event: Event, lease: &Lease) -> Result<Decided>;

    /// Stores a review with its `TicketReviewed`, the intent of its effect when it has one, and its example, in one write, and gives the ticket the review's team,
    /// priority and category; the decision stays as it was made. When the event makes work, the write-back begins anew,
    /// and is the review's from now on: what an older one comes to later is not recorded.
    ///
    /// A ticket that is gone or has no decision is [`crate::error::ErrorKind::NotFound`].
    async fn record_review(&self, scope: &TenantScope, new: NewReview) -> Result<Recorded>;

    /// Tickets that wait for review by the value of what they teach, the highest first, then the least sure, then the oldest:
    ///
    /// `value = (1 − confidence) × share`
    ///
    /// where `share` is the part that the ticket's category has of the tenant's decided tickets of the last
    /// [`crate::limits::REVIEW_SHARE_TIME`]. A person's time goes where the classifier is unsure (a sure answer that is
    /// confirmed teaches nothing) and where the same question comes often (what is learnt is used often).
    ///
    /// `cursor` is the `next_cursor` of the page before; one that this store did not make is
    /// [`crate::error::ErrorKind::Invalid`]. It names a value and a place among tickets of the same value. Shares move
    /// as tickets come and grow old, so a ticket whose value passes the cursor's between two pages is shown twice or not
    /// at all; as long as the shares stand still, no page has a gap or a double.
    async fn review_queue(
        &self,
        scope: &TenantScope,
        filter: &ReviewFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ReviewQueue>;

    /// Records what the write-back of `decision`, or of a review by its id, came to, on its effect and on the ticket, with
    /// its event where it is final, and ends the lease. When a newer review has taken its place, the ticket's write-back is
    /// left as it is.
    async fn record_sync(
        &self,
        scope: &TenantScope,
        ticket: &TicketId,
        decision: &DecisionId,
        change: SyncChange,
        event: Option<Event>,
        lease: &Lease,
    ) -> Result<()>;
}
