use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{ModelVersion, TenantId},
    learning::{Lesson, Measured, ModelRecord, TrainedModel},
    ports::{Example, TenantScope},
    tenants::Tenant,
};

/// Trained models of tenants: immutable versions, and which of them is in force.
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// Keeps a version with what is known of it, durably; it is not in force by that. A version that is there already is
    /// [`crate::error::ErrorKind::Conflict`]. Old versions that are not in force may be removed, the ten newest are kept.
    async fn save(&self, scope: &TenantScope, record: &ModelRecord, artifact: &[u8]) -> Result<()>;

    /// The versions, newest first.
    async fn list(&self, scope: &TenantScope) -> Result<Vec<ModelRecord>>;

    /// The artifact of a version, as it was saved; what is not, is found by [`Learner::install`].
    async fn read(&self, scope: &TenantScope, version: &ModelVersion) -> Result<Option<Vec<u8>>>;

    /// Which version is in force.
    async fn active(&self, scope: &TenantScope) -> Result<Option<ModelVersion>>;

    /// Puts a version in force; with `None`, what the configuration alone teaches. An unknown version is
    /// [`crate::error::ErrorKind::NotFound`].
    async fn activate(&self, scope: &TenantScope, version: Option<&ModelVersion>) -> Result<()>;
}

/// Trains the models of a [`crate::ports::Classifier`] and puts them in force. CPU-bound and without I/O: a call may take a
/// minute, so it is made on a thread that may block.
pub trait Learner: Send + Sync {
    /// Learns from the tenant's configuration and the lesson's examples, without those that are held back; `progress` is told
    /// what is done and how much of it, 0 to 1.
    fn train(&self, tenant: &Tenant, lesson: &Lesson, progress: &(dyn Fn(&str, f64) + Sync)) -> Result<TrainedModel>;

    /// How well an artifact does on examples; with `None`, what the configuration alone teaches.
    fn measure(&self, tenant: &Tenant, artifact: Option<&[u8]>, examples: &[Example]) -> Result<Measured>;

    /// Classifies by this artifact from now on; with `None`, by what the configuration alone teaches. A corrupted artifact is
    /// [`crate::error::ErrorKind::Invalid`] and changes nothing.
    fn install(&self, tenant: &TenantId, model: Option<(&ModelVersion, &[u8])>) -> Result<()>;

    /// The version that is in force here.
    fn installed(&self, tenant: &TenantId) -> Option<ModelVersion>;

    /// Which part of the configuration a model is made from: when it differs from a model's, the model is behind.
    fn fingerprint(&self, tenant: &Tenant) -> String;
}
