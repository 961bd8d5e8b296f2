//! Ports that play no part of their own in a run.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde_json::json;
use switchboard_core::{
    access::audit::NewAuditEntry,
    error::{Error, ErrorKind, Result},
    ids::{KeyId, ModelVersion, TenantId},
    learning::{Lesson, Measured, ModelRecord, TrainedModel},
    ports::{Example, KeyRecord, KeyStore, Learner, ModelStore, Repeats, TenantScope, TenantSource},
    tenants::Tenant,
    time::Timestamp,
};

use super::outside::TENANTS;
use crate::sample;

/// Tenants that differ in what their desks can do.
pub(super) struct SimTenants(BTreeMap<TenantId, Arc<Tenant>>);

impl Default for SimTenants {
    fn default() -> Self {
        Self(
            TENANTS
                .iter()
                .map(|(name, _): &(&str, Repeats)| {
                    let tenant = sample::tenant_with(|config| config["tenant_id"] = json!(name));
                    (tenant.id.clone(), Arc::new(tenant))
                })
                .collect(),
        )
    }
}

#[async_trait]
impl TenantSource for SimTenants {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>> {
        Ok(self.0.get(id).cloned())
    }

    async fn list(&self) -> Result<Vec<TenantId>> {
        Ok(self.0.keys().cloned().collect())
    }
}

/// Ports that nothing in a run asks.
pub(super) struct Away;

fn away<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Internal, "this port is not simulated"))
}

impl Learner for Away {
    fn train(&self, _: &Tenant, _: &Lesson, _: &(dyn Fn(&str, f64) + Sync)) -> Result<TrainedModel> {
        away()
    }

    fn measure(&self, _: &Tenant, _: Option<&[u8]>, _: &[Example]) -> Result<Measured> {
        away()
    }

    fn install(&self, _: &TenantId, _: Option<(&ModelVersion, &[u8])>) -> Result<()> {
        away()
    }

    fn installed(&self, _: &TenantId) -> Option<ModelVersion> {
        None
    }

    fn fingerprint(&self, _: &Tenant) -> String {
        String::new()
    }
}

#[async_trait]
impl ModelStore for Away {
    async fn save(&self, _: &TenantScope, _: &ModelRecord, _: &[u8]) -> Result<()> {
        away()
    }

    async fn list(&self, _: &TenantScope) -> Result<Vec<ModelRecord>> {
        away()
    }

    async fn read(&self, _: &TenantScope, _: &ModelVersion) -> Result<Option<Vec<u8>>> {
        away()
    }

    async fn active(&self, _: &TenantScope) -> Result<Option<ModelVersion>> {
        away()
    }

    async fn activate(&self, _: &TenantScope, _: Option<&ModelVersion>) -> Result<()> {
        away()
    }
}

#[async_trait]
impl KeyStore for Away {
    async fn key(&self, _: &KeyId) -> Result<Option<KeyRecord>> {
        away()
    }

    async fn create_key(&self, _: &TenantScope, _: KeyRecord, _: &[KeyId], _: NewAuditEntry) -> Result<()> {
        away()
    }

    async fn list_keys(&self, _: &TenantScope) -> Result<Vec<KeyRecord>> {
        away()
    }

    async fn revoke_key(&self, _: &TenantScope, _: &KeyId, _: Timestamp, _: NewAuditEntry) -> Result<bool> {
        away()
    }

    async fn rotate_key(
        &self,
        _: &TenantScope,
        _: &KeyId,
        _: Timestamp,
        _: KeyRecord,
        _: &[KeyId],
        _: NewAuditEntry,
    ) -> Result<bool> {
        away()
    }

    async fn record_uses(&self, _: Vec<(KeyId, Timestamp)>) -> Result<()> {
        away()
    }
}
