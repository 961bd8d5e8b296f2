//! Outages in a file, alone and behind the choice by tenant.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard_core::{
    by_tenant::StatusByTenant,
    error::Result,
    ids::ServiceId,
    ports::{ServiceStatus, StatusReport},
    tenants::Tenant,
};
use switchboard_local::FileStatus;
use switchboard_testkit::{
    contracts::{self, service_status::Reported},
    sample::{parsed, tenant, tenant_with},
};
use tempfile::TempDir;

struct Setup {
    folder: TempDir,
    status: Arc<dyn ServiceStatus>,
    tenant: Tenant,
}

impl Setup {
    fn new(wrap: impl FnOnce(FileStatus) -> Arc<dyn ServiceStatus>) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("acme")).unwrap();
        let status = wrap(FileStatus::new(folder.path().to_owned()));
        let tenant = tenant_with(|config| config["service_status"] = json!({"kind": "file", "path": "status.json"}));
        Self { folder, status, tenant }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("acme").join("status.json")
    }
}

#[async_trait]
impl Reported for Setup {
    fn status(&self) -> Arc<dyn ServiceStatus> {
        self.status.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn tells(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    async fn goes_away(&self) {
        let _ = std::fs::remove_file(self.file());
    }
}

/// Must not be asked.
struct Nobody;

#[async_trait]
impl ServiceStatus for Nobody {
    async fn status(&self, _tenant: &Tenant, _services: &[ServiceId]) -> Result<StatusReport> {
        panic!("the source of another kind is asked")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_status() {
    contracts::service_status(async || Setup::new(|file| Arc::new(file))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_status_by_tenant() {
    let by_tenant = |file| StatusByTenant { file: Arc::new(file), http: Arc::new(Nobody) };
    contracts::service_status(async || Setup::new(|file| Arc::new(by_tenant(file)))).await;
}

#[tokio::test]
async fn a_tenant_without_a_source_has_no_outages() {
    let status = StatusByTenant { file: Arc::new(Nobody), http: Arc::new(Nobody) };
    for services in [&[][..], &[parsed("SVC1")]] {
        let report = status.status(&tenant(), services).await.unwrap();
        assert_eq!((report.outages, report.known_issues), (Vec::new(), Vec::new()));
    }
}

#[tokio::test]
async fn a_path_that_leads_to_no_file_is_unavailable() {
    let setup = Setup::new(|file| Arc::new(file));
    std::fs::create_dir(setup.file()).unwrap();
    let error = setup.status.status(&setup.tenant, &[parsed("SVC1")]).await.unwrap_err();
    assert_eq!(error.kind(), switchboard_core::error::ErrorKind::Unavailable, "{}", error.report());
}

#[tokio::test]
async fn all_together_are_as_healthy_as_the_worst_of_them() {
    let service = |id: &str, health: &str| json!({"service_id": id, "health": health, "name": id});
    let services = [
        service("SVC1", "healthy"),
        service("SVC2", "degraded"),
        service("SVC3", "outage"),
        service("SVC4", "healthy"),
        service("SVC5", "healthy"),
    ];
    let trouble = |services: &[&str]| -> Vec<Value> { vec![json!({"id": "X-1", "service_ids": services})] };
    let file = json!({
        "services": services,
        "outages": trouble(&["SVC4", "SVC6"]),
        "known_issues": trouble(&["SVC5", "SVC3"]),
    });
    let setup = Setup::new(|file| Arc::new(file));
    setup.tells(&file.to_string()).await;
    for (services, expected) in [
        (&["SVC1"][..], "healthy"),
        (&["SVC9"], "healthy"),
        (&["SVC2"], "degraded"),
        (&["SVC1", "SVC2"], "degraded"),
        (&["SVC2", "SVC3"], "outage"),
        // Nobody touched the health of these, and still they are in trouble.
        (&["SVC4"], "outage"),
        (&["SVC6", "SVC1"], "outage"),
        (&["SVC5"], "degraded"),
        (&["SVC5", "SVC4"], "outage"),
    ] {
        let asked: Vec<_> = services.iter().map(|service| parsed(service)).collect();
        let report = setup.status.status(&setup.tenant, &asked).await.unwrap();
        assert_eq!(report.overall_health, expected, "{services:?}");
    }
}
