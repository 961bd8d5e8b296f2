use std::time::Duration;

use async_trait::async_trait;
use switchboard_core::{
    event::Event,
    ids::{EventId, TenantId},
};

/// An event that makes work, as told to whoever wakes the workers.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Whose it is.
    pub tenant: TenantId,
    /// The event.
    pub id: EventId,
    /// The token of a lease given in advance ([`crate::DynamoStore::leased_in_advance`]); without one it is to be claimed.
    pub token: Option<u64>,
    /// The event itself when it has just happened, to be published; `None` when it is due again.
    pub event: Option<Event>,
}

impl Ring {
    /// Of an event that has just happened.
    pub(crate) fn new(event: &Event, token: Option<u64>) -> Self {
        Self { tenant: event.tenant.clone(), id: event.id.clone(), token, event: Some(event.clone()) }
    }

    /// Of one that is due again.
    pub(crate) fn again(tenant: TenantId, id: EventId) -> Self {
        Self { tenant, id, token: None, event: None }
    }
}

/// Wakes the workers after a write that made work. The write counts and the bell does not: a ring that is lost is made up for
/// by the sweeper ([`crate::DynamoStore::unfinished`]), so nothing depends on it. Whoever implements it logs and counts what
/// failed.
#[async_trait]
pub trait Doorbell: Send + Sync {
    /// Says that these events are due, or will be after `delay`.
    async fn ring(&self, events: &[Ring], delay: Duration);
}

/// Nobody listens: workers look into the queue by themselves.
pub(crate) struct Nobody;

#[async_trait]
impl Doorbell for Nobody {
    async fn ring(&self, _: &[Ring], _: Duration) {}
}
