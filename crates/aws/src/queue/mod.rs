//! The durable queue: the jobs of the events, in the events' own items, so that a change and its event are one transaction.

mod counted;
mod job;
mod lease;
mod letters;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard_core::{
    error::{ErrorKind, Result},
    event::Event,
    ids::{EventId, TenantId},
    ports::{Backlog, DeadLetter, EventFilter, EventQueue, Lane, Lease, Leased, QueueDepth, TenantScope},
    time::Timestamp,
};

pub use lease::UNFINISHED_AT_ONCE;

pub(crate) use counted::Counted;
pub(crate) use job::{Job, State, bury, complete, is_held, let_go, lost, publish, put_off, ticket_key, ttl};

use crate::{DynamoStore, db::Write, doorbell::Ring};

/// Leases that are given back at the same time.
const RELEASED_AT_ONCE: usize = 16;

#[async_trait]
impl EventQueue for DynamoStore {
    async fn lease(&self, max: usize, time: Duration) -> Result<Vec<Leased>> {
        lease::lease(self, max, time).await
    }

    async fn has_suspects(&self) -> Result<bool> {
        lease::has_suspects(self).await
    }

    async fn lease_suspect(&self, time: Duration) -> Result<Option<Leased>> {
        lease::lease_suspect(self, time).await
    }

    async fn complete(&self, lease: &Lease) -> Result<()> {
        let now = self.now();
        let job = self.held(lease, now).await?;
        self.settle(&[complete(lease, now), let_go(&job.ticket_key, &lease.event)]).await?;
        self.counted.add(&job.tenant, -1);
        Ok(())
    }

    async fn retry(&self, lease: &Lease, at: Timestamp, error: &str) -> Result<()> {
        self.put_off(lease, at, error, 1).await
    }

    async fn defer(&self, lease: &Lease, at: Timestamp, reason: &str) -> Result<()> {
        self.put_off(lease, at, reason, 0).await
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<()> {
        letters::bury(self, lease, reason).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<()> {
        let released = stream::iter(leases.to_vec()).map(|lease| async move { self.release_one(&lease).await });
        let released: Vec<Option<Ring>> = released.buffer_unordered(RELEASED_AT_ONCE).try_collect().await?;
        self.wake(released.into_iter().flatten().collect(), Duration::ZERO).await;
        Ok(())
    }

    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        let now = self.now();
        let job = self.held(lease, now).await?;
        self.settle(&job.extend(lease, now, now.plus(time))).await
    }

    async fn ready(&self, max_wait: Duration) {
        tokio::select! {
            () = self.queued.notified() => {}
            () = self.clock.sleep(max_wait) => {}
        }
    }

    async fn backlog(&self, scope: &TenantScope) -> Result<Backlog> {
        counted::backlog(self, scope.tenant()).await
    }

    async fn depth(&self) -> Result<QueueDepth> {
        counted::depth(self).await
    }

    async fn dead_letters(&self, scope: &TenantScope, limit: u32) -> Result<Vec<DeadLetter>> {
        letters::list(self, scope.tenant(), limit as usize).await
    }

    async fn revive(&self, scope: &TenantScope, id: &EventId) -> Result<bool> {
        letters::revive(self, scope.tenant(), id, Lane::Ordinary).await
    }

    async fn discard(&self, scope: &TenantScope, id: &EventId) -> Result<bool> {
        letters::discard(self, scope.tenant(), id).await
    }

    async fn archived(&self, scope: &TenantScope, filter: &EventFilter) -> Result<Vec<Event>> {
        letters::archived(self, scope.tenant(), filter).await
    }

    async fn replay(&self, scope: &TenantScope, filter: &EventFilter) -> Result<u64> {
        letters::replay(self, scope.tenant(), filter).await
    }
}

impl DynamoStore {
    /// Leases these events, as many of them as are due and nobody else has: what is done with a message that names them. One
    /// that was interrupted often is leased when it is asked for alone.
    pub async fn claim(&self, scope: &TenantScope, events: &[EventId], time: Duration) -> Result<Vec<Leased>> {
        lease::claim(self, scope.tenant(), events, time).await
    }

    /// The lease that was given in advance with `event`, whose message tells `token` ([`DynamoStore::advance`]). Nothing is
    /// read: who comes second has the same lease, and the first settlement ends it for both.
    pub fn leased_in_advance(event: Event, token: u64) -> Leased {
        Leased { lease: Lease { event: event.id.clone(), token }, event, failed: 0, interrupted: 0 }
    }

    /// Events that have been due for longer than `older_than`, or whose lease has ended: their message was lost, or their
    /// worker. Up to [`UNFINISHED_AT_ONCE`] of each tenant.
    pub async fn unfinished(&self, older_than: Duration) -> Result<Vec<Ring>> {
        lease::unfinished(self, older_than).await
    }

    /// The event with its job, as the last write left it.
    pub(crate) async fn job(&self, event: &EventId) -> Result<Option<Job>> {
        self.db.get("events", job::event_key(event)).await?.map(Job::read).transpose()
    }

    /// The job, whose lease holds.
    async fn held(&self, lease: &Lease, now: Timestamp) -> Result<Job> {
        let job = self.job(&lease.event).await?.ok_or_else(lost)?;
        job.is_held(lease, now)?;
        Ok(job)
    }

    /// `None` when somebody else has it, which is all that giving it back wants.
    async fn release_one(&self, lease: &Lease) -> Result<Option<Ring>> {
        let now = self.now();
        let released = match self.held(lease, now).await {
            Ok(job) => self.settle(&job.release(lease, now)).await.map(|()| job),
            Err(error) => Err(error),
        };
        match released {
            Ok(job) => Ok(Some(Ring::again(job.tenant, job.event))),
            Err(error) if error.kind() == ErrorKind::LeaseLost => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes under a lease; what fails, fails because it is lost.
    async fn settle(&self, writes: &[Write]) -> Result<()> {
        self.db.transact("settling a lease", writes).await?.map_err(|_| lost())
    }

    async fn put_off(&self, lease: &Lease, at: Timestamp, why: &str, failures: u32) -> Result<()> {
        let now = self.now();
        let job = self.held(lease, now).await?;
        self.settle(&[put_off(lease, now, at, why, failures), let_go(&job.ticket_key, &lease.event)]).await?;
        self.wake(vec![Ring::again(job.tenant, job.event)], at.since(now)).await;
        Ok(())
    }

    /// Tells that these events are due again, which were no jobs before.
    pub(crate) async fn wake_again(&self, tenant: &TenantId, events: Vec<EventId>) {
        self.counted.add(tenant, i64::try_from(events.len()).unwrap_or(i64::MAX));
        let rings = events.into_iter().map(|event| Ring::again(tenant.clone(), event));
        self.wake(rings.collect(), Duration::ZERO).await;
    }
}
