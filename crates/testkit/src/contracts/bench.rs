//! What the checks of tickets and events have at hand.

use std::{ops::Deref, sync::Arc, time::Duration};

use switchboard_core::{
    error::Error,
    event::Event,
    ids::TicketId,
    limits,
    ports::{
        Accepted, Clock, DeadLetter, Decided, EventFilter, Lease, Leased, NewReview, NewTicket, Recorded, SyncChange,
        TenantScope, TicketFile,
    },
    tickets::{Decision, Ticket, review::Review},
    time::Timestamp,
};

use super::{
    Stores, UnderTest, World,
    expect::{expect, expect_eq, expect_ok, name},
};
use crate::{sample, world::SeededIds};

/// A moment, to step over the end of something.
pub(crate) const MOMENT: Duration = Duration::from_secs(1);
/// More than any check queues.
pub(crate) const MANY: usize = 2_000;

/// The stores under test, with two tenants and ids.
pub(crate) struct Bench {
    test: UnderTest<Stores>,
    /// Ids for tickets, decisions and events.
    pub(crate) ids: Arc<SeededIds>,
    /// The tenant that most checks are about.
    pub(crate) acme: TenantScope,
    /// Another tenant.
    pub(crate) globex: TenantScope,
}

impl Deref for Bench {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.test
    }
}

impl Bench {
    pub(crate) fn new(test: UnderTest<Stores>) -> Self {
        let ids = Arc::new(SeededIds::default());
        Self { test, ids, acme: sample::scope("acme"), globex: sample::scope("globex") }
    }

    /// The process dies and is started again on the same data.
    pub(crate) async fn restart(self) -> Self {
        Self { test: self.test.restart().await, ..self }
    }

    /// The process dies and is started again, and what it had in hand is anybody's: at once where it is the only one, after the
    /// time of its leases where others share the data.
    pub(crate) async fn die(self) -> Self {
        let bench = self.restart().await;
        if bench.world == World::Shared {
            bench.expire();
        }
        bench
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets every lease of [`limits::LEASE_TIME`] end.
    pub(crate) fn expire(&self) {
        self.clock.advance(limits::LEASE_TIME + MOMENT);
    }

    pub(crate) fn new_ticket(&self, scope: &TenantScope, ticket: Ticket) -> NewTicket {
        sample::new_ticket(scope, ticket, self.ids.as_ref())
    }

    /// Offers tickets to the store; the call as a whole must succeed.
    pub(crate) async fn offer(&self, scope: &TenantScope, tickets: Vec<NewTicket>) -> Vec<Accepted> {
        let count = tickets.len();
        let results = expect_ok("accept", self.store.accept(scope, tickets).await);
        expect_eq("accept gives a result for each ticket", results.len(), count);
        results.into_iter().map(|result| expect_ok("accept of one ticket", result)).collect()
    }

    /// Accepts tickets that are all new, and gives their events.
    pub(crate) async fn accept_all(&self, scope: &TenantScope, tickets: Vec<Ticket>) -> Vec<Event> {
        let new: Vec<_> = tickets.into_iter().map(|ticket| self.new_ticket(scope, ticket)).collect();
        let events: Vec<_> = new.iter().map(|new| new.event.clone()).collect();
        for (accepted, event) in self.offer(scope, new).await.iter().zip(&events) {
            expect(&format!("accept of a new ticket ({})", name(event)), matches!(accepted, Accepted::New), accepted);
        }
        events
    }

    /// Accepts one new ticket, and gives its event.
    pub(crate) async fn accept(&self, scope: &TenantScope, ticket: Ticket) -> Event {
        self.accept_all(scope, vec![ticket]).await.remove(0)
    }

    /// Leases up to `max` events.
    pub(crate) async fn lease(&self, max: usize) -> Vec<Leased> {
        expect_ok("lease", self.queue.lease(max, limits::LEASE_TIME).await)
    }

    /// Leases the one event that is due.
    pub(crate) async fn lease_only(&self, what: &str) -> Leased {
        let mut leased = self.lease(MANY).await;
        expect(&format!("{what}: one event is due"), leased.len() == 1, names(&leased));
        leased.remove(0)
    }

    /// Leases one event that waits to be run alone.
    pub(crate) async fn lease_suspect(&self) -> Option<Leased> {
        expect_ok("lease_suspect", self.queue.lease_suspect(limits::LEASE_TIME).await)
    }

    /// Fails when an event is due.
    pub(crate) async fn expect_nothing_due(&self, what: &str) {
        let leased = self.lease(MANY).await;
        expect(&format!("{what}: nothing is due"), leased.is_empty(), names(&leased));
    }

    /// Fails when an event waits to be run alone.
    pub(crate) async fn expect_no_suspect(&self, what: &str) {
        let leased: Vec<_> = self.lease_suspect().await.into_iter().collect();
        expect(&format!("{what}: nothing waits to run alone"), leased.is_empty(), names(&leased));
    }

    /// A lease that ended unused, and the one that somebody else has on the same event now. Only that event is queued.
    pub(crate) async fn lost_and_live(&self) -> (Lease, Lease) {
        let lost = self.lease_only("the first lease").await.lease;
        self.expire();
        let live = self.lease_only("the lease after one that expired").await.lease;
        (lost, live)
    }

    pub(crate) async fn complete(&self, lease: &Lease) {
        expect_ok("complete under a live lease", self.queue.complete(lease).await);
    }

    /// The ticket, which must be there.
    pub(crate) async fn file(&self, scope: &TenantScope, id: &TicketId) -> TicketFile {
        expect_ok("ticket", self.store.ticket(scope, id).await)
            .unwrap_or_else(|| panic!("ticket {id} of {scope:?}\n  expected: it is there\n  seen:     None"))
    }

    /// Stores the first decision of `ticket` under `lease`, and gives its event.
    pub(crate) async fn decide(
        &self,
        scope: &TenantScope,
        ticket: &Ticket,
        decision: &Decision,
        lease: &Lease,
    ) -> Event {
        let event = sample::routed(scope, ticket, decision, self.ids.as_ref());
        let decided = expect_ok("decide", self.store.decide(scope, decision, event.clone(), lease).await);
        expect_eq("the first decision of a ticket", decided, Decided::New);
        event
    }

    /// Accepts `ticket` and decides it; gives the decision, and its `TicketRouted` leased. Nothing else may be due.
    pub(crate) async fn routed(&self, scope: &TenantScope, ticket: &Ticket) -> (Decision, Leased) {
        self.accept(scope, ticket.clone()).await;
        let received = self.lease_only("after accept").await;
        let decision = sample::decision(ticket, self.ids.as_ref());
        self.decide(scope, ticket, &decision, &received.lease).await;
        (decision, self.lease_only("after decide").await)
    }

    /// Stores a review of acme's, which nobody has overtaken; gives the review.
    pub(crate) async fn record_review(&self, new: NewReview) -> Review {
        let review = new.review.clone();
        let recorded = expect_ok("record_review", self.store.record_review(&self.acme, new).await);
        expect_eq("a review that replaces the newest one", recorded, Recorded::New);
        review
    }

    /// Records what the write-back of acme's `ticket` came to, with the event that belongs to it; gives that event.
    pub(crate) async fn record_sync(
        &self,
        ticket: &Ticket,
        decision: &Decision,
        change: SyncChange,
        lease: &Lease,
    ) -> Result<Option<Event>, Error> {
        let (scope, ids) = (&self.acme, self.ids.as_ref());
        let event = match &change {
            SyncChange::Succeeded { receipt } => Some(sample::synced(scope, ticket, decision, receipt, ids)),
            SyncChange::Failed { error, .. } => Some(sample::sync_failed(scope, ticket, decision, error, ids)),
            SyncChange::Retry { .. } | SyncChange::Deferred { .. } | SyncChange::Superseded => None,
        };
        let id = &decision.decision_id;
        self.store.record_sync(scope, &ticket.id, id, change, event.clone(), lease).await.map(|()| event)
    }

    pub(crate) async fn dead(&self, scope: &TenantScope) -> Vec<DeadLetter> {
        expect_ok("dead_letters", self.queue.dead_letters(scope, 1_000).await)
    }

    pub(crate) async fn archived(&self, scope: &TenantScope) -> Vec<Event> {
        expect_ok("archived", self.queue.archived(scope, &everything()).await)
    }

    pub(crate) async fn replay(&self, scope: &TenantScope, filter: &EventFilter) -> u64 {
        expect_ok("replay", self.queue.replay(scope, filter).await)
    }
}

/// The filter that leaves nothing out.
pub(crate) fn everything() -> EventFilter {
    EventFilter { limit: 10_000, ..EventFilter::default() }
}

/// Events in a few words.
pub(crate) fn names(leased: &[Leased]) -> Vec<String> {
    leased.iter().map(|leased| name(&leased.event)).collect()
}

/// `T-a` to `T-b`, without `b`.
pub(crate) fn tickets(numbers: std::ops::Range<u32>) -> Vec<Ticket> {
    numbers.map(sample::ticket).collect()
}
