//! Asking the same model again when its failure may pass.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Answer, AnswerStream, BatchLimits, Embedded, ModelError, Prompt, Purpose};
use crate::{
    limits,
    ports::{ChatModel, Clock, Embedder, Ids},
    tenants::{EmbedLink, ModelLink, Tenant},
    untrusted::Untrusted,
};

/// Asks up to [`limits::MODEL_TRIES`] times while the failure is a passing one ([`super::ModelErrorKind::is_passing`]), with waits
/// that double and are spread by chance. It waits as long as the provider asks for, unless that is longer than
/// [`limits::MODEL_RETRY_AFTER`], and does not begin anew after [`limits::MODEL_TRIES_TIME`], nor after a call that was given up
/// because its time was over: another model answers sooner. A stream that has begun is never begun again, because its words are out.
pub struct Retried<M> {
    model: M,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// The tries of one call.
struct Tries<'a> {
    clock: &'a dyn Clock,
    ids: &'a dyn Ids,
    began: Duration,
    made: u32,
}

impl<M> Retried<M> {
    /// Several tries of `model`.
    pub fn new(model: M, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { model, clock, ids }
    }

    async fn tried<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ModelError>
    where
        F: Future<Output = Result<T, ModelError>>,
    {
        let (clock, ids) = (self.clock.as_ref(), self.ids.as_ref());
        let mut tries = Tries { clock, ids, began: clock.monotonic(), made: 0 };
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }
}

impl Tries<'_> {
    /// Waits for the next try, or gives the failure back when there is none.
    async fn again(&mut self, failure: ModelError) -> Result<(), ModelError> {
        self.made += 1;
        let wish = failure.retry_after().unwrap_or_default();
        let took = self.clock.monotonic().saturating_sub(self.began);
        let gives_up = !failure.kind().is_passing()
            || failure.is_late()
            || self.made >= limits::MODEL_TRIES
            || wish > limits::MODEL_RETRY_AFTER
            || took >= limits::MODEL_TRIES_TIME;
        if gives_up {
            return Err(failure);
        }
        let mut random = [0; 4];
        self.ids.fill(&mut random);
        let part = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let full = limits::MODEL_BACK_OFF.saturating_mul(1 << (self.made - 1).min(16));
        let back_off = full.mul_f64(0.5 + part / 2.0);
        // On top of a wish, so that those that were told the same time do not come back together.
        self.clock.sleep(wish + back_off).await;
        Ok(())
    }
}

#[async_trait]
impl<M: ChatModel> ChatModel for Retried<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        self.tried(|| self.model.chat(tenant, link, prompt)).await
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        self.tried(|| self.model.stream(tenant, link, prompt)).await
    }
}

#[async_trait]
impl<M: Embedder> Embedder for Retried<M> {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        self.tried(|| self.model.embed(tenant, link, texts, purpose)).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        self.model.batch(tenant, link)
    }
}
