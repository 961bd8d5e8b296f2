use std::time::Duration;

use switchboard_core::{
    error::Result,
    event::Event,
    ids::{DecisionId, EffectId, TenantId, TicketId},
    ports::{EffectState, Lease, SyncChange},
    tickets::SyncStatus,
    time::Timestamp,
};

use super::{DynamoStore, head};
use crate::{
    db::{Write, millis, n, s, throttled},
    doorbell::Ring,
    effects::Settled,
    queue::{bury, complete, let_go, lost, publish, put_off, ticket_key},
};

/// Beginnings of the transaction, each of which has learnt what the one before failed by.
const TRIES: usize = 5;

/// What a write-back came to, on its way into the tables.
pub(super) struct Record<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) ticket: &'a TicketId,
    pub(super) decision: &'a DecisionId,
    pub(super) change: &'a SyncChange,
    pub(super) event: Option<&'a Event>,
    pub(super) lease: &'a Lease,
}

impl Record<'_> {
    pub(super) async fn run(self, store: &DynamoStore) -> Result<()> {
        let now = store.now();
        let mut effect = Settled::new(self.tenant, &EffectId::from(self.decision), self.effect(), now);
        let superseded = *self.change == SyncChange::Superseded;
        let event = self.event.filter(|_| !superseded);
        let published = match event {
            Some(event) => {
                let name = format!("{}/detail", event.id);
                let detail = store.bodies.keep(self.tenant, &name, event.detail_json()).await?;
                Some(publish(event, event.detail.lane(), detail, None))
            }
            None => None,
        };
        let mut is_newest = !superseded;
        for _ in 0..TRIES {
            let mut writes = vec![self.settle(now), let_go(&ticket_key(self.tenant, self.ticket), &self.lease.event)];
            let effect_at = writes.len();
            let effect_write = effect.write(self.receipt(), self.error());
            let has_effect = effect_write.is_some();
            writes.extend(effect_write);
            let head_at = writes.len();
            if is_newest {
                writes.push(self.head(now));
            }
            writes.extend(published.clone());
            let Err(cancelled) = store.db.transact("recording a write-back", &writes).await? else {
                self.tell(store, now).await;
                return Ok(());
            };
            if cancelled.failed(0).is_some() || cancelled.failed(1).is_some() {
                return Err(lost());
            }
            if let Some(item) = cancelled.failed(effect_at).filter(|_| has_effect) {
                effect.failed(item);
            }
            // A newer review has taken its place, or the ticket is gone: its write-back is left as it is.
            is_newest &= cancelled.failed(head_at).is_none();
        }
        Err(throttled("an effect and its ticket change all the time"))
    }

    async fn tell(&self, store: &DynamoStore, now: Timestamp) {
        match self.change {
            SyncChange::Retry { at, .. } | SyncChange::Deferred { at, .. } => {
                let ring = Ring::again(self.tenant.clone(), self.lease.event.clone());
                store.wake(vec![ring], at.since(now)).await;
            }
            SyncChange::Succeeded { .. } | SyncChange::Failed { .. } | SyncChange::Superseded => {
                store.counted.add(self.tenant, -1);
                store.wake(Vec::new(), Duration::ZERO).await;
            }
        }
    }

    fn settle(&self, now: Timestamp) -> Write {
        match self.change {
            SyncChange::Retry { at, error, .. } => put_off(self.lease, now, *at, error, 1),
            SyncChange::Deferred { at, reason, .. } => put_off(self.lease, now, *at, reason, 0),
            SyncChange::Failed { error, .. } => bury(self.tenant, self.lease, now, error),
            SyncChange::Succeeded { .. } | SyncChange::Superseded => complete(self.lease, now),
        }
    }

    fn effect(&self) -> EffectState {
        let waiting = |open: bool| if open { EffectState::Attempted } else { EffectState::Intended };
        match self.change {
            SyncChange::Succeeded { .. } => EffectState::Done,
            SyncChange::Retry { open, .. } | SyncChange::Deferred { open, .. } => waiting(*open),
            SyncChange::Failed { open: true, .. } => EffectState::Unknown,
            SyncChange::Failed { open: false, .. } => EffectState::Failed,
            SyncChange::Superseded => EffectState::Superseded,
        }
    }

    fn receipt(&self) -> Option<&str> {
        match self.change {
            SyncChange::Succeeded { receipt } => Some(receipt),
            _ => None,
        }
    }

    fn error(&self) -> Option<&str> {
        match self.change {
            SyncChange::Retry { error, .. } | SyncChange::Failed { error, .. } => Some(error),
            SyncChange::Deferred { reason, .. } => Some(reason),
            SyncChange::Succeeded { .. } | SyncChange::Superseded => None,
        }
    }

    fn head(&self, now: Timestamp) -> Write {
        let (status, failures) = match self.change {
            SyncChange::Succeeded { .. } => (SyncStatus::Success, 0),
            SyncChange::Retry { .. } => (SyncStatus::Pending, 1),
            SyncChange::Deferred { .. } | SyncChange::Superseded => (SyncStatus::Pending, 0),
            SyncChange::Failed { .. } => (SyncStatus::Failed, 1),
        };
        let write = Write::update("tickets", head::part(self.tenant, self.ticket, head::HEAD))
            .set_or_remove("sync_receipt", self.receipt().map(s))
            .set_some("sync_error", self.error().map(s))
            .set("sync_changed_at", millis(now))
            .add("sync_failures", n(failures));
        head::set_sync(write, self.tenant, status).when("#sync_of = :about", [("about", s(self.decision.as_str()))])
    }
}
