use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    models::{Answer, AnswerStream, ModelError, Prompt},
    tenants::{ModelLink, Tenant},
};

/// A provider of language models. A call changes nothing outside, may be repeated, and may have to be paid for even when it
/// fails ([`ModelError::may_be_billed`]). Whoever drops a call or a stream ends it.
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Answers `prompt` by the model that `link` names, among the providers of the tenant's configuration. With a schema, the
    /// text is the model's JSON, which need not fit; an answer of other words is [`crate::models::ModelErrorKind::BadOutput`],
    /// and one that the model or its filter will not give is [`crate::models::ModelErrorKind::Refused`].
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError>;

    /// The same, as it is written. An error comes as the answer of this call when nothing was written yet, and as the
    /// stream's last item afterwards. A stream that breaks off is [`crate::models::ModelErrorKind::Down`], never an end.
    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError>;
}

#[async_trait]
impl<M: ChatModel + ?Sized> ChatModel for Arc<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        self.as_ref().chat(tenant, link, prompt).await
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        self.as_ref().stream(tenant, link, prompt).await
    }
}
