//! What the single binary has and this shell has not: the ports say so clearly.

use async_trait::async_trait;
use switchboard_core::{
    access::{
        audit::NewAuditEntry,
        password::PasswordHash,
        session::{SessionRecord, TokenHash},
    },
    error::{Error, ErrorKind, Result},
    ids::ServiceId,
    ports::{Desk, DeskReceipt, DeskUpdate, OperatorStore, ServiceStatus, StatusReport},
    tenants::Tenant,
    time::Timestamp,
};

/// Files of the data folder.
pub(crate) struct NoFolder;

#[async_trait]
impl Desk for NoFolder {
    async fn update(&self, _: &Tenant, _: &DeskUpdate) -> Result<DeskReceipt> {
        Err(Error::new(
            ErrorKind::Refused,
            "the desk `folder` exists in the single binary alone: configure a web hook or Zendesk",
        ))
    }
}

#[async_trait]
impl ServiceStatus for NoFolder {
    async fn status(&self, _: &Tenant, _: &[ServiceId]) -> Result<StatusReport> {
        Err(Error::new(
            ErrorKind::Refused,
            "the status source `file` exists in the single binary alone: configure an HTTP source",
        ))
    }
}

/// The operator's password: here people sign in by the OIDC issuer, and operators act through AWS.
pub(crate) struct NoOperator;

impl NoOperator {
    fn refused<T>() -> Result<T> {
        Err(Error::new(ErrorKind::Refused, "there is no operator's password on AWS: sign in by the OIDC issuer"))
    }
}

#[async_trait]
impl OperatorStore for NoOperator {
    async fn password(&self) -> Result<Option<PasswordHash>> {
        Ok(None)
    }

    async fn set_password(&self, _: PasswordHash, _: NewAuditEntry) -> Result<()> {
        Self::refused()
    }

    async fn open_session(&self, _: SessionRecord, _: NewAuditEntry) -> Result<()> {
        Self::refused()
    }

    async fn session(&self, _: &TokenHash) -> Result<Option<SessionRecord>> {
        Ok(None)
    }

    async fn touch_session(&self, _: &TokenHash, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn close_session(&self, _: &TokenHash, _: NewAuditEntry) -> Result<bool> {
        Ok(false)
    }
}
