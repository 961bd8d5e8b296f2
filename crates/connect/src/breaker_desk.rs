//! A desk behind a circuit breaker.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use switchboard_core::{
    breaker::{Breakers, Rests},
    error::Result,
    ports::{Clock, Desk, DeskReceipt, DeskUpdate, Repeats},
    tenants::{DeskConfig, Tenant},
};

const WHO: &str = "the ticketing system";

/// Stands before a desk of other people. After five failures in a row, a tenant's ticketing system is left alone: calls
/// fail at once and are put off ([`switchboard_core::error::Error::is_deferred`]), and from time to time one of them
/// probes. A wish of `Retry-After` is kept for the whole system, not for the one update that met it. Each tenant's
/// connection has a breaker of its own.
pub struct BreakerDesk<D> {
    desk: D,
    breakers: Breakers,
}

impl<D: Desk> BreakerDesk<D> {
    /// A breaker in front of `desk`.
    pub fn new(desk: D, clock: Arc<dyn Clock>) -> Self {
        Self { desk, breakers: Breakers::new(clock, Rests::Growing) }
    }
}

#[async_trait]
impl<D: Desk> Desk for BreakerDesk<D> {
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        self.breakers.run(tenant, connection(tenant), WHO, self.desk.update(tenant, update)).await
    }

    fn repeats(&self, tenant: &Tenant) -> Repeats {
        self.desk.repeats(tenant)
    }

    fn rests(&self, tenant: &Tenant) -> Option<Duration> {
        self.breakers.stops(tenant, connection(tenant))
    }

    async fn look_up(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<Option<DeskReceipt>> {
        self.breakers.run(tenant, connection(tenant), WHO, self.desk.look_up(tenant, update)).await
    }
}

fn connection(tenant: &Tenant) -> &str {
    match &tenant.config.desk {
        DeskConfig::None => "",
        DeskConfig::Folder { path } => path,
        DeskConfig::Webhook { url, .. } | DeskConfig::Zendesk { url, .. } => url,
    }
}
