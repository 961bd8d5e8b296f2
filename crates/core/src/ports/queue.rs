use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::Result,
    event::Event,
    ids::{EventId, TicketId},
    ports::TenantScope,
    time::Timestamp,
};

/// The right to work on one event until the lease ends. It carries a fencing token: a store refuses a write under a lease
/// that somebody else has meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The event leased.
    pub event: EventId,
    /// Grows with every lease of the event.
    pub token: u64,
}

/// A leased event.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The right to work on it.
    pub lease: Lease,
    /// The event.
    pub event: Event,
    /// Own failures so far.
    pub failed: u32,
    /// Leases that ended because the process died or stalled.
    pub interrupted: u32,
}

/// How soon an event is leased among those of its tenant. Every eighth turn goes the other way round, so that nothing
/// waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Before all others: what is known, or looks, to be critical.
    Urgent,
    /// In its turn.
    Ordinary,
    /// After all others: imports and repetitions.
    Bulk,
}

impl Lane {
    /// All lanes, in their order.
    pub const ALL: &[Self] = &[Self::Urgent, Self::Ordinary, Self::Bulk];
}

/// How many events a tenant and all tenants have in the queue: waiting, leased, or waiting for their retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The tenant's.
    pub tenant: u64,
    /// All tenants'.
    pub all: u64,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueDepth {
    /// Events that wait, or wait for their retry.
    pub waiting: u64,
    /// Events in somebody's hands.
    pub leased: u64,
    /// Milliseconds that the oldest due event has waited.
    pub oldest_ms: u64,
    /// Dead letters.
    pub dead: u64,
}

/// An event that nobody will work on by himself any more.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The event.
    pub event: Event,
    /// Why it is here, for the people who run the system.
    pub reason: String,
    /// Own failures.
    pub failed: u32,
    /// Deaths of the process while it was leased.
    pub interrupted: u32,
    /// When it came here.
    pub at: Timestamp,
}

/// Which archived events are meant.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this name, such as `TicketReceived`.
    pub detail_type: Option<String>,
    /// About this ticket.
    pub ticket: Option<TicketId>,
    /// At most so many, oldest first.
    pub limit: u32,
}

/// The durable queue of events that make work. Delivery is at least once; the order is not promised.
///
/// An event gets into the queue by the same write that stored the change it tells of (see
/// [`crate::ports::TicketStore`]). A lease ends with its time, or, where one process alone holds the data, at once when that
/// process is gone; its event is then leased to somebody else and counts as interrupted, not as failed.
#[async_trait]
pub trait EventQueue: Send + Sync {
    /// Leases up to `max` due events for `time`, never two of one ticket at the same time: an effect that is on its way
    /// cannot overtake a newer one. Events that were interrupted often
    /// ([`crate::limits::JOB_INTERRUPTIONS_BEFORE_ALONE`]) are left out.
    ///
    /// Tenants take turns, so that one with a hundred thousand waiting delays no other, and one that holds as much as is free
    /// of [`crate::limits::JOBS_IN_HAND`] gets nothing more, so that hands are left for the others
    /// ([`crate::jobs::fair::deal`]). Of one tenant, the most urgent lane comes first and the longest due first.
    async fn lease(&self, max: usize, time: Duration) -> Result<Vec<Leased>>;

    /// Whether an event is due among those that [`EventQueue::lease`] leaves out.
    async fn has_suspects(&self) -> Result<bool>;

    /// Leases one event among those that [`EventQueue::lease`] leaves out, to be run while nothing else runs.
    async fn lease_suspect(&self, time: Duration) -> Result<Option<Leased>>;

    /// Ends a lease: the work is done. An expired lease is [`crate::error::ErrorKind::LeaseLost`].
    async fn complete(&self, lease: &Lease) -> Result<()>;

    /// Ends a lease: the work failed and is due again at `at`. Counts as an own failure. A jump of the wall clock while it
    /// waits neither hastens nor delays it, as long as the process lives and is alone with the data.
    async fn retry(&self, lease: &Lease, at: Timestamp, error: &str) -> Result<()>;

    /// Ends a lease: nothing was tried, because something that is needed is away. The event is due again at `at`, and
    /// nothing is counted.
    async fn defer(&self, lease: &Lease, at: Timestamp, reason: &str) -> Result<()>;

    /// Ends a lease: nobody works on it by himself any more.
    async fn bury(&self, lease: &Lease, reason: &str) -> Result<()>;

    /// Ends leases without having worked: the events are due at once and nothing is counted.
    async fn release(&self, leases: &[Lease]) -> Result<()>;

    /// Makes a lease last for `time` from now.
    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()>;

    /// Returns when an event may be due, at the latest after `max_wait`. It may return for nothing.
    async fn ready(&self, max_wait: Duration);

    /// How many events the tenant, and all tenants, have in the queue. Quick enough to ask at each request.
    async fn backlog(&self, scope: &TenantScope) -> Result<Backlog>;

    /// How much waits, over all tenants.
    async fn depth(&self) -> Result<QueueDepth>;

    /// The tenant's dead letters, newest first.
    async fn dead_letters(&self, scope: &TenantScope, limit: u32) -> Result<Vec<DeadLetter>>;

    /// Puts a dead letter back into the queue with fresh counters; `false` when there is none of that id.
    async fn revive(&self, scope: &TenantScope, id: &EventId) -> Result<bool>;

    /// Removes a dead letter for good; `false` when there is none of that id.
    async fn discard(&self, scope: &TenantScope, id: &EventId) -> Result<bool>;

    /// Archived events, oldest first.
    async fn archived(&self, scope: &TenantScope, filter: &EventFilter) -> Result<Vec<Event>>;

    /// Queues archived events again and says how many; those that are queued or dead already are left alone.
    async fn replay(&self, scope: &TenantScope, filter: &EventFilter) -> Result<u64>;
}
