use async_trait::async_trait;

use crate::{
    access::audit::{Action, AuditEntry, NewAuditEntry, chain::Verdict},
    error::Result,
    ports::TenantScope,
    time::Timestamp,
};

/// Which entries are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Of this act alone.
    pub action: Option<Action>,
    /// Before this number: the last one of the page before.
    pub before: Option<u64>,
    /// Count as if there were only the entries about the tenant of the scope: from 1 without gaps, in `sequence` and in
    /// `before`. For callers of a tenant, to whom gaps would tell how much is done for others.
    pub own_numbers: bool,
}

/// The record of administrative acts: appended to, read and checked, never changed.
///
/// Numbers go from 1 without gaps, also when several processes append at the same time. An entry that was acknowledged
/// survives a power cut. An act that is a write to the same store takes its entry along in the same transaction (see
/// [`crate::ports::KeyStore`]); for all others the entry is appended before the act is answered.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends an entry, with the store's time, and gives its number.
    async fn append(&self, entry: NewAuditEntry) -> Result<u64>;

    /// Entries, newest first: those about the tenant of `scope`, or with none those about everything, for the operator.
    async fn list(&self, scope: Option<&TenantScope>, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>>;

    /// Reads the whole log and says whether it is as it was written. What cannot be read counts as changed; an error means
    /// that the check itself could not be done.
    async fn verify(&self) -> Result<Verdict>;
}
