use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{access::Principal, error::Result, event::Event, ids::TenantId, tenants::Tenant};

/// The right to touch one tenant's data. Every call of a store takes one, so no query can forget the tenant. It comes from
/// an authenticated key, from a loaded tenant, or from a stored event, and from nowhere else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TenantScope(TenantId);

impl TenantScope {
    /// The scope of an authenticated caller.
    pub fn of_principal(principal: &Principal) -> Self {
        Self(principal.tenant.clone())
    }

    /// The scope of a tenant whose configuration is loaded.
    pub fn of_tenant(tenant: &Tenant) -> Self {
        Self(tenant.id.clone())
    }

    /// The scope of a stored event.
    pub fn of_event(event: &Event) -> Self {
        Self(event.tenant.clone())
    }

    /// The scope of an operator who has the data folder itself in his hands: the command line.
    pub fn of_operator(tenant: TenantId) -> Self {
        Self(tenant)
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.0
    }
}

impl fmt::Debug for TenantScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantScope({})", self.0)
    }
}

/// Configurations of tenants.
#[async_trait]
pub trait TenantSource: Send + Sync {
    /// The tenant's configuration, `None` when there is no such tenant. It may be some seconds old. When a newer version
    /// is broken, the last good one is given and [`Tenant::problem`] says so; a tenant that never had a good version is an
    /// error that names the mistakes.
    async fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>>;

    /// The ids of all tenants, in order.
    async fn list(&self) -> Result<Vec<TenantId>>;
}
