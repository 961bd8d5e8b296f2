use std::{fs, path::PathBuf};

use async_trait::async_trait;
use serde::Deserialize;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::ServiceId,
    json,
    ports::{Outage, ServiceStatus, StatusReport},
    tenants::{ServiceStatusConfig, Tenant},
};

/// Outages from a file of the tenant's folder, read anew each time, so that an edit counts at once.
pub struct FileStatus {
    tenants: PathBuf,
}

impl FileStatus {
    /// `tenants` is the folder of all tenants; the configured path lies in the tenant's own.
    pub fn new(tenants: PathBuf) -> Self {
        Self { tenants }
    }
}

#[derive(Deserialize)]
struct StatusFile {
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    outages: Vec<Outage>,
    #[serde(default)]
    known_issues: Vec<Outage>,
}

#[derive(Deserialize)]
struct Service {
    service_id: ServiceId,
    health: String,
}

#[async_trait]
impl ServiceStatus for FileStatus {
    async fn status(&self, tenant: &Tenant, services: &[ServiceId]) -> Result<StatusReport> {
        let ServiceStatusConfig::File { path } = &tenant.config.service_status else {
            return Err(Error::new(ErrorKind::Internal, "the tenant's service status is no file"));
        };
        if services.is_empty() {
            return Ok(StatusReport { overall_health: "healthy".to_owned(), ..StatusReport::default() });
        }
        let path = self.tenants.join(tenant.id.as_str()).join(path);
        let bytes = fs::read(&path).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the service-status file cannot be read").caused_by(error)
        })?;
        let file: StatusFile = json::parse(&bytes).map_err(|error| {
            Error::new(ErrorKind::BadAnswer, "the service-status file is not valid").caused_by(error)
        })?;
        let report =
            StatusReport { outages: file.outages, known_issues: file.known_issues, overall_health: String::new() };
        let report = report.only(services);
        let any_is = |health: &str| {
            file.services.iter().any(|service| service.health == health && services.contains(&service.service_id))
        };
        // An outage that is in the list counts, also when nobody changed the health of its services.
        let health = if any_is("outage") || !report.outages.is_empty() {
            "outage"
        } else if any_is("degraded") || !report.known_issues.is_empty() {
            "degraded"
        } else {
            "healthy"
        };
        Ok(StatusReport { overall_health: health.to_owned(), ..report })
    }
}
