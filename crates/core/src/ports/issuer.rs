use async_trait::async_trait;
use url::Url;

use crate::{error::Result, untrusted::Untrusted};

/// The public documents of an OIDC issuer: its discovery document and its keys.
#[async_trait]
pub trait IssuerDocuments: Send + Sync {
    /// The body at `url`, of at most [`crate::limits::ANSWER_BYTES`], after a status of success. Redirects are not followed.
    ///
    /// Errors as those of every call to another system: `Invalid` when the address may not be called, `Unavailable`,
    /// `Timeout`, `Throttled`, `Refused` and `BadAnswer`.
    async fn fetch(&self, url: &Url) -> Result<Untrusted<Vec<u8>>>;
}
