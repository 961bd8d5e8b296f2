//! A model that is left alone while it fails.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::{Answer, AnswerStream, BatchLimits, Embedded, ModelError, ModelErrorKind, Prompt, Purpose, StreamEvent};
use crate::{
    breaker::{Breakers, Call, Sign},
    ids::ProviderName,
    ports::{ChatModel, Embedder},
    tenants::{EmbedLink, ModelLink, Tenant},
    untrusted::Untrusted,
};

/// A circuit breaker for each model of each tenant: one that has failed several times in a row, or asks to be left alone, is not
/// called for a while, and the error comes at once. Models of one provider have breakers of their own, because providers count
/// and overload by model, and a chain may go from one to another.
pub struct Broken<M> {
    model: M,
    breakers: Arc<Breakers>,
}

impl<M> Broken<M> {
    /// `model` behind `breakers`.
    pub fn new(model: M, breakers: Arc<Breakers>) -> Self {
        Self { model, breakers }
    }

    fn enter(&self, tenant: &Tenant, (provider, model): (&ProviderName, &str)) -> Result<Call, ModelError> {
        self.breakers.enter(tenant, &format!("{provider}/{model}")).map_err(|wait| {
            let message =
                format!("the model failed or asked for a pause, and is left alone for {} s", wait.as_secs().max(1));
            ModelError::new(ModelErrorKind::Down, message).after(wait)
        })
    }

    /// Makes the call unless the model is left alone.
    async fn unless_open<T>(
        &self,
        tenant: &Tenant,
        model: (&ProviderName, &str),
        asking: impl Future<Output = Result<T, ModelError>>,
    ) -> Result<T, ModelError> {
        let call = self.enter(tenant, model)?;
        let outcome = asking.await;
        call.ended(outcome.as_ref().map_or_else(sign, |_| Sign::Up));
        outcome
    }
}

/// What a failure says of the other side.
fn sign(error: &ModelError) -> Sign {
    let wish = error.retry_after();
    match error.kind() {
        ModelErrorKind::Throttled => wish.map_or(Sign::Down(Duration::ZERO), Sign::Asks),
        ModelErrorKind::Overloaded | ModelErrorKind::Down => Sign::Down(wish.unwrap_or_default()),
        ModelErrorKind::Refused
        | ModelErrorKind::TooLong
        | ModelErrorKind::BadOutput
        | ModelErrorKind::Unauthorised
        | ModelErrorKind::Invalid => Sign::Up,
        ModelErrorKind::OverBudget => Sign::None,
    }
}

#[async_trait]
impl<M: ChatModel> ChatModel for Broken<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let asking = self.model.chat(tenant, link, prompt);
        self.unless_open(tenant, (&link.provider, &link.model), asking).await
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let call = self.enter(tenant, (&link.provider, &link.model))?;
        let inner = match self.model.stream(tenant, link, prompt).await {
            Ok(inner) => inner,
            Err(error) => {
                call.ended(sign(&error));
                return Err(error);
            }
        };
        // The call lasts as long as the stream; one that is dropped says nothing, unless it was very slow.
        let pieces = stream::unfold((inner, Some(call)), |(mut inner, mut call)| async move {
            let piece = inner.next().await?;
            let ended = match &piece {
                Ok(StreamEvent::End { .. }) => Some(Sign::Up),
                Ok(StreamEvent::Text(_) | StreamEvent::ToolUse(_)) => None,
                Err(error) => Some(sign(error)),
            };
            if let Some(ended) = ended
                && let Some(call) = call.take()
            {
                call.ended(ended);
            }
            Some((piece, (inner, call)))
        });
        Ok(Box::pin(pieces))
    }
}

#[async_trait]
impl<M: Embedder> Embedder for Broken<M> {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        let asking = self.model.embed(tenant, link, texts, purpose);
        self.unless_open(tenant, (&link.provider, &link.model), asking).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        self.model.batch(tenant, link)
    }
}
