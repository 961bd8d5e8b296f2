use async_trait::async_trait;

use crate::{
    access::{KeyHash, Scope},
    error::Result,
    ids::{KeyId, TenantId},
    ports::TenantScope,
    time::Timestamp,
};

/// An API key as kept: without the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part.
    pub id: KeyId,
    /// Whose data it reaches.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The hash of the secret part.
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// API keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The key of that id, whatever its tenant: it is what says the tenant. May be up to 5 seconds old.
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>>;

    /// Keeps a new key. An id that is there already is [`crate::error::ErrorKind::Conflict`].
    async fn create_key(&self, scope: &TenantScope, key: KeyRecord) -> Result<()>;

    /// All keys of the tenant, newest first, revoked ones too.
    async fn list_keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>>;

    /// Revokes a key; `false` when the tenant has no such key. Revoking twice keeps the first time.
    async fn revoke_key(&self, scope: &TenantScope, id: &KeyId, at: Timestamp) -> Result<bool>;
}
