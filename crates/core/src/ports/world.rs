use std::{future::Future, pin::Pin, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{error::Result, ids::SecretName, ports::TenantScope, time::Timestamp};

/// Time. The wall clock is only data; anything that is waited for or measured uses the monotonic one.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump either way.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point of this process; it never goes back.
    fn monotonic(&self) -> Duration;

    /// Resolves after `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Randomness.
pub trait Ids: Send + Sync {
    /// Fills `bytes` from a source fit for secrets.
    fn fill(&self, bytes: &mut [u8]);

    /// A new ULID at `now`. Ids of one process grow strictly, also within one millisecond and when the clock goes back.
    fn ulid(&self, now: Timestamp) -> ulid::Ulid;
}

/// Secrets that a tenant's configuration names and never holds.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The tenant's secret of that name, `None` when there is none. A tenant's configuration chooses the name and the URL
    /// that the secret is sent to, so another tenant's secret is never given, whatever the names.
    async fn secret(&self, scope: &TenantScope, name: &SecretName) -> Result<Option<SecretString>>;
}
