use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    models::{BatchLimits, Embedded, ModelError, Purpose},
    tenants::{EmbedLink, Tenant},
    untrusted::Untrusted,
};

/// A provider of models that turn texts into vectors. A call changes nothing outside, may be repeated, and may have to be paid
/// for even when it fails ([`ModelError::may_be_billed`]). Whoever drops a call ends it.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// A vector for each text, in their order, by the model that `link` names among the providers of the tenant's configuration:
    /// each of length one, and of as many dimensions as `link` asks for, or as the model has. The same text for the same
    /// purpose has the same direction in every call. One call asks the provider once; no texts are answered by no vectors, and
    /// nobody is asked.
    ///
    /// Nobody is asked either for a text without a word, for more than [`Self::batch`]
    /// ([`crate::models::ModelErrorKind::Invalid`]), or for a text of more than [`crate::limits::EMBED_TEXT_BYTES`]
    /// ([`crate::models::ModelErrorKind::TooLong`]). A text that is longer than the model reads is cut at its end where the
    /// provider does that, and `TooLong` where it does not. Vectors that are too few, uneven or without a direction are
    /// [`crate::models::ModelErrorKind::BadOutput`]. What is private in a text goes out as it is: the caller covers it.
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError>;

    /// How much one call takes. Asking is no call.
    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits;
}

#[async_trait]
impl<M: Embedder + ?Sized> Embedder for Arc<M> {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        self.as_ref().embed(tenant, link, texts, purpose).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        self.as_ref().batch(tenant, link)
    }
}
