use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{error::Result, ids::ServiceId, tenants::Tenant};

/// A disturbance of some services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Outage {
    /// The tenant's own id of it.
    pub id: String,
    /// The services that it touches.
    pub service_ids: Vec<ServiceId>,
    /// What people call it.
    #[serde(default)]
    pub title: String,
}

/// What is known of some services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    /// Active outages that touch the services asked for.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// Known issues that touch the services asked for.
    #[serde(default)]
    pub known_issues: Vec<Outage>,
    /// The state of all together, in the source's words: `healthy`, `degraded`, `outage`.
    #[serde(default)]
    pub overall_health: String,
}

/// Says whether services are disturbed.
#[async_trait]
pub trait ServiceStatus: Send + Sync {
    /// The state of these services, at most [`crate::limits::STATUS_SERVICES`]. No ids: an empty, healthy report without
    /// a call. The report names only outages that touch a service asked for, whatever the source answered.
    async fn status(&self, tenant: &Tenant, services: &[ServiceId]) -> Result<StatusReport>;
}

impl StatusReport {
    /// Keeps what touches one of `services`: a source may answer with more than was asked.
    pub fn only(mut self, services: &[ServiceId]) -> Self {
        let touches = |outage: &Outage| outage.service_ids.iter().any(|id| services.contains(id));
        self.outages.retain(touches);
        self.known_issues.retain(touches);
        self
    }
}
