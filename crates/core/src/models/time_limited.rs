//! A model that may not take for ever.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};

use super::{Answer, AnswerStream, BatchLimits, Embedded, ModelError, ModelErrorKind, Patience, Prompt, Purpose};
use crate::{
    limits,
    ports::{ChatModel, Clock, Embedder},
    tenants::{EmbedLink, ModelLink, Tenant},
    untrusted::Untrusted,
};

/// Ends a call that has not answered in its time. A stream has this time for its beginning and for each of its pieces, and
/// [`limits::MODEL_STREAM_TIME`] as a whole. The call may have to be paid for: the model was at work. With [`Patience`], a model
/// that is known to be quick has less time.
pub struct TimeLimited<M> {
    model: M,
    clock: Arc<dyn Clock>,
    limit: Duration,
    patience: Option<Arc<Patience>>,
}

impl<M> TimeLimited<M> {
    /// `model` with so much time for an answer.
    pub fn new(model: M, clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self { model, clock, limit, patience: None }
    }

    /// The same for whole answers of models whose pace `patience` knows: less time for those that are quick.
    pub fn with_patience(self, patience: Arc<Patience>) -> Self {
        Self { patience: Some(patience), ..self }
    }
}

/// Runs `work` for at most `limit`.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = Result<T, ModelError>>,
) -> Result<T, ModelError> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            let message = format!("the model gave no answer within {} ms", limit.as_millis());
            Err(ModelError::new(ModelErrorKind::Down, message).billed().late())
        }
    }
}

#[async_trait]
impl<M: ChatModel> ChatModel for TimeLimited<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let call = self.model.chat(tenant, link, prompt);
        let Some(patience) = &self.patience else { return within(self.clock.as_ref(), self.limit, call).await };
        let (limit, began) = (patience.limit(tenant, link, self.limit), self.clock.monotonic());
        let outcome = within(self.clock.as_ref(), limit, call).await;
        match &outcome {
            Ok(_) => patience.answered(tenant, link, self.clock.monotonic().saturating_sub(began)),
            Err(error) if error.is_late() => patience.given_up(tenant, link, limit, self.limit),
            Err(_) => {}
        }
        outcome
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let end = self.clock.monotonic() + limits::MODEL_STREAM_TIME;
        let inner = within(self.clock.as_ref(), self.limit, self.model.stream(tenant, link, prompt)).await?;
        let (clock, limit) = (self.clock.clone(), self.limit);
        // After an error there is nothing more: the state is gone.
        let pieces = stream::unfold(Some(inner), move |inner| {
            let clock = clock.clone();
            async move {
                let mut inner = inner?;
                let left = end.saturating_sub(clock.monotonic()).min(limit);
                let next = async { Ok(inner.next().await) };
                match within(clock.as_ref(), left, next).await {
                    Ok(piece) => piece.map(|piece| (piece, Some(inner))),
                    Err(late) => Some((Err(late), None)),
                }
            }
        });
        Ok(Box::pin(pieces))
    }
}

#[async_trait]
impl<M: Embedder> Embedder for TimeLimited<M> {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        let asking = self.model.embed(tenant, link, texts, purpose);
        within(self.clock.as_ref(), self.limit, asking).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        self.model.batch(tenant, link)
    }
}
