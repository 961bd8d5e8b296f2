use async_trait::async_trait;

use crate::{
    access::{KeyHash, Scope, audit::NewAuditEntry},
    error::{Error, ErrorKind, Result},
    ids::{KeyId, TenantId},
    limits,
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
    /// When it was last used, as far as that was written; about a minute behind.
    pub used_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Nobody keeps a key in another tenant's name.
    pub fn must_be_of(&self, scope: &TenantScope) -> Result<()> {
        if self.tenant == *scope.tenant() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Forbidden, "the key is for another tenant"))
    }

    /// What a store says of a key whose id it has already.
    pub fn taken() -> Error {
        Error::new(ErrorKind::Conflict, "a key of this id is there already")
    }

    /// Whether it opens anything at `now`.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Its end, when it is in force and that is near ([`limits::KEY_ENDS_SOON`]).
    pub fn ends_soon(&self, now: Timestamp) -> Option<Timestamp> {
        self.expires_at.filter(|end| self.is_in_force(now) && end.since(now) <= limits::KEY_ENDS_SOON)
    }
}

/// API keys.
///
/// Each change takes its entry for the audit log along and stores both in one transaction, or neither.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The key of that id, whatever its tenant: it is what says the tenant. May be up to 5 seconds old
    /// ([`limits::KEY_CACHE_TIME`]).
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>>;

    /// Keeps a new key and removes those of `forget` that are the tenant's, in one transaction. An id that is there already is
    /// [`crate::error::ErrorKind::Conflict`], and nothing is removed. `forget` has at most
    /// [`limits::KEYS_FORGOTTEN_AT_ONCE`] ids, all of keys that are not in force any more, without the new one; one that is
    /// not there is no error.
    async fn create_key(&self, scope: &TenantScope, key: KeyRecord, forget: &[KeyId], act: NewAuditEntry)
    -> Result<()>;

    /// All keys of the tenant that were not forgotten, newest first, revoked ones too.
    async fn list_keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>>;

    /// Revokes a key; `false`, and no entry in the log, when the tenant has no such key. Revoking twice keeps the first
    /// time and writes no second entry.
    async fn revoke_key(&self, scope: &TenantScope, id: &KeyId, at: Timestamp, act: NewAuditEntry) -> Result<bool>;

    /// Keeps a new key and lets the old one end at `old_expires_at`, or earlier if it would have anyway, in one
    /// transaction; `false`, and no change, when the tenant has no such key that was not revoked. An id of the new key that
    /// is there already is [`crate::error::ErrorKind::Conflict`]. `forget` is as in [`Self::create_key`].
    async fn rotate_key(
        &self,
        scope: &TenantScope,
        old: &KeyId,
        old_expires_at: Timestamp,
        new: KeyRecord,
        forget: &[KeyId],
        act: NewAuditEntry,
    ) -> Result<bool>;

    /// Notes when keys were last used, whatever their tenants. An earlier time than the one that is kept changes nothing,
    /// and neither does a key that is not there.
    async fn record_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<()>;
}
