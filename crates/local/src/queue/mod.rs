//! The durable queue, in the same file as the tickets, so that a change and its event are one write.

mod leases;
mod letters;

use std::time::Duration;

use async_trait::async_trait;
use switchboard_core::{
    error::Result,
    event::Event,
    ids::EventId,
    ports::{Backlog, DeadLetter, EventFilter, EventQueue, Lease, Leased, QueueDepth, TenantScope},
    time::Timestamp,
};

pub(crate) use leases::{Due, Turns, begin_epoch, complete, defer, is_held, publish, retry};
pub(crate) use letters::{bury, give_up, revive};

use crate::store::SqliteStore;

#[async_trait]
impl EventQueue for SqliteStore {
    async fn lease(&self, max: usize, time: Duration) -> Result<Vec<Leased>> {
        let claim = leases::Claim::new(self, max, time, leases::Waiting::Ordinary);
        self.claim(claim).await
    }

    async fn has_suspects(&self) -> Result<bool> {
        let probe = leases::Claim::new(self, 1, Duration::ZERO, leases::Waiting::Alone).probe();
        self.db.look_up(move |connection| probe.finds_waiting(connection)).await
    }

    async fn lease_suspect(&self, time: Duration) -> Result<Option<Leased>> {
        let claim = leases::Claim::new(self, 1, time, leases::Waiting::Alone);
        Ok(self.claim(claim).await?.pop())
    }

    async fn complete(&self, lease: &Lease) -> Result<()> {
        let (lease, clock) = (lease.clone(), self.lease_clock());
        self.db.writer.write(move |connection| leases::complete(connection, &lease, clock)).await
    }

    async fn retry(&self, lease: &Lease, at: Timestamp, error: &str) -> Result<()> {
        let (lease, clock, due, error) = (lease.clone(), self.lease_clock(), Due::new(self, at), error.to_owned());
        self.db.writer.write(move |connection| leases::retry(connection, &lease, clock, due, &error)).await
    }

    async fn defer(&self, lease: &Lease, at: Timestamp, reason: &str) -> Result<()> {
        let (lease, clock, due, reason) = (lease.clone(), self.lease_clock(), Due::new(self, at), reason.to_owned());
        self.db.writer.write(move |connection| leases::defer(connection, &lease, clock, due, &reason)).await
    }

    async fn bury(&self, lease: &Lease, reason: &str) -> Result<()> {
        let (lease, clock, now, reason) = (lease.clone(), self.lease_clock(), self.clock.now(), reason.to_owned());
        self.db.writer.write(move |connection| letters::bury(connection, &lease, clock, &reason, now)).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<()> {
        let (held, clock) = (leases.to_vec(), self.lease_clock());
        self.db.writer.write(move |connection| leases::release(connection, &held, clock)).await?;
        self.queued.notify_one();
        Ok(())
    }

    async fn extend(&self, lease: &Lease, time: Duration) -> Result<()> {
        let (lease, clock) = (lease.clone(), self.lease_clock());
        self.db.writer.write(move |connection| leases::extend(connection, &lease, clock, time)).await
    }

    async fn ready(&self, max_wait: Duration) {
        tokio::select! {
            () = self.queued.notified() => {}
            () = self.clock.sleep(max_wait) => {}
        }
    }

    async fn backlog(&self, scope: &TenantScope) -> Result<Backlog> {
        let tenant = scope.tenant().clone();
        self.db.look_up(move |connection| letters::backlog(connection, &tenant)).await
    }

    async fn depth(&self) -> Result<QueueDepth> {
        let (now, clock) = (self.clock.now(), self.lease_clock());
        self.db.read(move |connection| letters::depth(connection, now, clock)).await
    }

    async fn dead_letters(&self, scope: &TenantScope, limit: u32) -> Result<Vec<DeadLetter>> {
        let tenant = scope.tenant().clone();
        self.db.read(move |connection| letters::list(connection, &tenant, limit)).await
    }

    async fn revive(&self, scope: &TenantScope, id: &EventId) -> Result<bool> {
        let (tenant, id) = (scope.tenant().clone(), id.clone());
        let revived = self.db.writer.write(move |connection| letters::revive(connection, &tenant, &id)).await?;
        self.queued.notify_one();
        Ok(revived)
    }

    async fn discard(&self, scope: &TenantScope, id: &EventId) -> Result<bool> {
        let (tenant, id) = (scope.tenant().clone(), id.clone());
        self.db.writer.write(move |connection| letters::discard(connection, &tenant, &id)).await
    }

    async fn archived(&self, scope: &TenantScope, filter: &EventFilter) -> Result<Vec<Event>> {
        let (tenant, filter) = (scope.tenant().clone(), filter.clone());
        self.db.read(move |connection| letters::archived(connection, &tenant, &filter)).await
    }

    async fn replay(&self, scope: &TenantScope, filter: &EventFilter) -> Result<u64> {
        let (tenant, filter) = (scope.tenant().clone(), filter.clone());
        let queued = self.db.writer.write(move |connection| letters::replay(connection, &tenant, &filter)).await?;
        self.queued.notify_one();
        Ok(queued)
    }
}

impl SqliteStore {
    async fn claim(&self, claim: leases::Claim) -> Result<Vec<Leased>> {
        // A look without the writer first: an idle worker must not cost a commit each time it asks.
        let (probe, claim) = (claim.probe(), claim);
        if !self.db.look_up(move |connection| probe.finds_any(connection)).await? {
            return Ok(Vec::new());
        }
        self.db.writer.write(move |connection| claim.run(connection)).await
    }
}
