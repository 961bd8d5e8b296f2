//! The real stores behind a wrapper that crashes, fails, lies and is slow at every call.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use switchboard_core::{
    error::Result,
    event::Event,
    ids::{CustomerId, DecisionId, EffectId, EventId, TicketId},
    ports::{
        Accepted, Attempt, Backlog, Clock, DeadLetter, Decided, Effect, EffectFilter, EffectLedger, EventFilter,
        EventQueue, Lease, Leased, NewReview, NewTicket, Page, PastDecision, QueueDepth, Recorded, Resolution,
        ReviewFilter, ReviewQueue, SyncChange, TenantScope, TicketFile, TicketFilter, TicketStore, TicketSummary,
    },
    tickets::Decision,
    time::Timestamp,
};
use tokio::sync::Notify;

use super::{
    Machine, Opened, Plant,
    world::{World, read, settled, write},
};

/// The stores of one life of the process.
pub(super) struct SimStore {
    pub(super) world: World,
    pub(super) inner: Opened,
    pub(super) machine: Arc<dyn Machine>,
    pub(super) plant: Plant,
    pub(super) queued: Notify,
    /// Tickets that a planted bug has promised and not stored yet.
    pub(super) promised: tokio::sync::Mutex<Vec<(TenantScope, Vec<NewTicket>)>>,
}

impl SimStore {
    async fn write<T>(&self, name: &str, done: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        let outcome = write(&self.world, name, done).await;
        self.queued.notify_one();
        outcome
    }

    /// What the planted bug has promised comes to be stored some time later.
    pub(super) async fn keep_promises(&self) -> Result<()> {
        for (scope, tickets) in std::mem::take(&mut *self.promised.lock().await) {
            self.write("accept at last", async || self.inner.store.accept(&scope, tickets).await).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl TicketStore for SimStore {
    async fn accept(&self, scope: &TenantScope, tickets: Vec<NewTicket>) -> Result<Vec<Result<Accepted>>> {
        if self.plant == Plant::AckBeforeCommit {
            let accepted = tickets.iter().map(|_| Ok(Accepted::New)).collect();
            self.promised.lock().await.push((scope.clone(), tickets));
            return Ok(accepted);
        }
        self.write("accept", async || self.inner.store.accept(scope, tickets).await).await
    }

    async fn ticket(&self, scope: &TenantScope, id: &TicketId) -> Result<Option<TicketFile>> {
        read(&self.world, "ticket", async || self.inner.store.ticket(scope, id).await).await
    }

    async fn list(
        &self,
        scope: &TenantScope,
        filter: &TicketFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TicketSummary>> {
        read(&self.world, "list", async || self.inner.store.list(scope, filter, cursor, limit).await).await
    }

    async fn history(
        &self,
        scope: &TenantScope,
        customer: &CustomerId,
        except: &TicketId,
        limit: u32,
    ) -> Result<Vec<PastDecision>> {
        read(&self.world, "history", async || self.inner.store.history(scope, customer, except, limit).await).await
    }

    async fn decide(&self, scope: &TenantScope, decision: &Decision, event: Event, lease: &Lease) -> Result<Decided> {
        if self.plant == Plant::TwoCommitOutbox {
            let id = event.id.clone();
            let decided =
                self.write("decide", async || self.inner.store.decide(scope, decision, event, lease).await).await?;
            if decided == Decided::New {
                let hidden = settled(self.machine.hide(&id));
                self.world.step("between the two commits").await;
                settled(self.machine.show(hidden));
            }
            return Ok(decided);
        }
        self.write("decide", async || self.inner.store.decide(scope, decision, event, lease).await).await
    }

    async fn record_review(&self, scope: &TenantScope, new: NewReview) -> Result<Recorded> {
        self.write("record_review", async || self.inner.store.record_review(scope, new).await).await
    }

    async fn review_queue(
        &self,
        scope: &TenantScope,
        filter: &ReviewFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ReviewQueue> {
        read(&self.world, "review_queue", async || self.inner.store.review_queue(scope, filter, cursor, limit).await)
            .await
    }

    async fn record_sync(
        &self,
        scope: &TenantScope,
        ticket: &TicketId,
        decision: &DecisionId,
        change: SyncChange,
        event: Option<Event>,
        lease: &Lease,
    ) -> Result<()> {
        self.write("record_sync", async || {
            self.inner.store.record_sync(scope, ticket, decision, change, event, lease).await
        })
        .await
    }
}

#[async_trait]
impl EffectLedger for SimStore {
    async fn attempt(&self, scope: &TenantScope, id: &EffectId, lease: &Lease, repeat: bool) -> Result<Attempt> {
        if self.plant == Plant::NoAttempt {
            return Ok(Attempt::Begun { after_open: false });
        }
        self.write("attempt", async || self.inner.effects.attempt(scope, id, lease, repeat).await).await
    }

    async fn effect(&self, scope: &TenantScope, id: &EffectId) -> Result<Option<Effect>> {
        read(&self.world, "effect", async || self.inner.effects.effect(scope, id).await).await
    }

    async fn effects(&self, scope: &TenantScope, filter: &EffectFilter) -> Result<Vec<Effect>> {
        read(&self.world, "effects", async || self.inner.effects.effects(scope, filter).await).await
    }

    async fn resolve(
        &self,
        scope: &TenantScope,
        id: &EffectId,
        resolution: Resolution,
        event: Option<Event>,
    ) -> Result<bool> {
        self.write("resolve", async || self.inner.effects.resolve(scope, id, resolution, event).await).await
    }

    async fn unknown(&self) -> Result<u64> {
        read(&self.world, "unknown", async || self.inner.effects.unknown().await).await
    }
}

#[async_trait]
impl EventQueue for SimStore {
    async fn lease(&self, max: usize, time: Duration) -> Result<Vec<Leased>> {
        write(&self.world, "lease", async || self.inner.queue.lease(max, time).await).await
    }

    async fn has_suspects(&self) -> Result<bool> {
        read(&self.world, "has_suspects", async || self.inner.queue.has_suspects().await).await
    }

    async fn lease_suspect(&self, time: Duration) -> Result<Option<Leased>> {
        write(&self.world, "lease_suspect", async || self.inner.queue.lease_suspect(time).await).await
    }

    async fn complete(&self, lease: &Lease) -> Result<()> {
        self.write("complete", async || self.inner.queue.complete(lease).await).await
    }

    async fn retry(&self, lease: &Lease, at: Timestamp, error: &str) -> Result<()> {
        self.write("retry", async || self.inner.queue.retry(lease, at, error).await).await
    }

    async fn defer(&self, lease: &Lease, at: Timestamp, reason: &str) -> Result<()> {
        self.write("defer", async || self.inner.queue.defer(lease, at, reason).await).await
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<()> {
        self.write("bury", async || self.inner.queue.bury(lease, reason).await).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<()> {
        self.write("release", async || self.inner.queue.release(leases).await).await
    }

    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        self.write("extend", async || self.inner.queue.extend(lease, time).await).await
    }

    async fn ready(&self, max_wait: Duration) {
        // Time passes in long strides where nothing happens: each look into the queue costs more than all else.
        let stride = if self.world.is_calm() { 400 } else { 4 };
        let rung = std::pin::pin!(self.queued.notified());
        futures_util::future::select(rung, self.world.clock.sleep(max_wait * stride)).await;
    }

    async fn backlog(&self, scope: &TenantScope) -> Result<Backlog> {
        read(&self.world, "backlog", async || self.inner.queue.backlog(scope).await).await
    }

    async fn depth(&self) -> Result<QueueDepth> {
        read(&self.world, "depth", async || self.inner.queue.depth().await).await
    }

    async fn dead_letters(&self, scope: &TenantScope, limit: u32) -> Result<Vec<DeadLetter>> {
        read(&self.world, "dead_letters", async || self.inner.queue.dead_letters(scope, limit).await).await
    }

    async fn revive(&self, scope: &TenantScope, id: &EventId) -> Result<bool> {
        self.write("revive", async || self.inner.queue.revive(scope, id).await).await
    }

    async fn discard(&self, scope: &TenantScope, id: &EventId) -> Result<bool> {
        self.write("discard", async || self.inner.queue.discard(scope, id).await).await
    }

    async fn archived(&self, scope: &TenantScope, filter: &EventFilter) -> Result<Vec<Event>> {
        read(&self.world, "archived", async || self.inner.queue.archived(scope, filter).await).await
    }

    async fn replay(&self, scope: &TenantScope, filter: &EventFilter) -> Result<u64> {
        self.write("replay", async || self.inner.queue.replay(scope, filter).await).await
    }
}
