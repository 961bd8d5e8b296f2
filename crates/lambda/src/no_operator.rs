//! The operator's password, which the single binary has and this shell has not.

use async_trait::async_trait;
use switchboard_core::{
    access::{
        audit::NewAuditEntry,
        password::PasswordHash,
        session::{SessionRecord, TokenHash},
    },
    error::{Error, ErrorKind, Result},
    ports::OperatorStore,
    time::Timestamp,
};

/// Nobody has a password: here people sign in by the OIDC issuer, and operators act through AWS.
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
