use async_trait::async_trait;

use crate::{
    access::{
        audit::NewAuditEntry,
        password::PasswordHash,
        session::{SessionRecord, TokenHash},
    },
    error::Result,
    time::Timestamp,
};

/// The operator's password and the sessions that it opened.
///
/// Each change takes its entry for the audit log along and stores both in one transaction, or neither.
#[async_trait]
pub trait OperatorStore: Send + Sync {
    /// The password as kept; `None` when none was ever set.
    async fn password(&self) -> Result<Option<PasswordHash>>;

    /// Sets the password and ends all sessions: whoever knew the old one is out.
    async fn set_password(&self, password: PasswordHash, act: NewAuditEntry) -> Result<()>;

    /// Keeps a new session, and removes those whose time is over ([`SessionRecord::is_over`]) and the oldest beyond
    /// [`crate::limits::SESSIONS`].
    async fn open_session(&self, session: SessionRecord, act: NewAuditEntry) -> Result<()>;

    /// The session whose token has this hash, also when its time is over. Never older than the last change.
    async fn session(&self, token: &TokenHash) -> Result<Option<SessionRecord>>;

    /// Notes that a session was used; an earlier time than the one that is kept changes nothing.
    async fn touch_session(&self, token: &TokenHash, at: Timestamp) -> Result<()>;

    /// Ends a session; `false`, and no entry in the log, when there is none.
    async fn close_session(&self, token: &TokenHash, act: NewAuditEntry) -> Result<bool>;
}
