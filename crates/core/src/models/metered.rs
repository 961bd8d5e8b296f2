//! What calls of models take, in numbers.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::{Answer, AnswerStream, BatchLimits, Embedded, ModelError, PriceList, Prompt, Purpose, StreamEvent, Usage};
use crate::{
    ids::ProviderName,
    ports::{ChatModel, Clock, Embedder},
    tenants::{EmbedLink, ModelLink, ProviderConfig, Tenant},
    untrusted::Untrusted,
};

/// Counts calls by their outcome, their time and their tokens. The labels name no tenant, and are few: the role, the kind of
/// provider, and the model's family in the price list (`other` for those that are not there).
pub struct Metered<M> {
    model: M,
    clock: Arc<dyn Clock>,
    role: &'static str,
}

#[derive(Clone)]
struct Labels {
    role: &'static str,
    provider: &'static str,
    model: &'static str,
}

/// A call that is being measured. One that is dropped half-way is counted as `dropped`.
struct Measured {
    labels: Labels,
    clock: Arc<dyn Clock>,
    began: Duration,
    outcome: &'static str,
}

impl<M> Metered<M> {
    /// Measures `model` in the role of this name.
    pub fn new(model: M, clock: Arc<dyn Clock>, role: &'static str) -> Self {
        Self { model, clock, role }
    }

    fn begin(&self, tenant: &Tenant, (provider, model): (&ProviderName, &str)) -> Measured {
        let provider = tenant.config.models.providers.get(provider).map_or("unknown", ProviderConfig::kind);
        let model = PriceList::built_in().family(model).unwrap_or("other");
        let labels = Labels { role: self.role, provider, model };
        Measured { labels, clock: self.clock.clone(), began: self.clock.monotonic(), outcome: "dropped" }
    }

    /// Measures a call that is answered in one piece.
    async fn measured<T>(
        &self,
        tenant: &Tenant,
        model: (&ProviderName, &str),
        asking: impl Future<Output = Result<T, ModelError>>,
        usage: impl Fn(&T) -> Usage,
    ) -> Result<T, ModelError> {
        let mut measured = self.begin(tenant, model);
        let outcome = asking.await;
        match &outcome {
            Ok(answer) => measured.answered(usage(answer)),
            Err(error) => measured.failed(error),
        }
        outcome
    }
}

impl Measured {
    fn took(&self) -> f64 {
        self.clock.monotonic().saturating_sub(self.began).as_secs_f64()
    }

    fn first_token(&self) {
        let Labels { role, provider, model } = self.labels;
        metrics::histogram!("switchboard_model_first_token_seconds", "role" => role, "provider" => provider, "model" => model)
            .record(self.took());
    }

    fn failed(&mut self, error: &ModelError) {
        self.outcome = error.kind().word();
    }

    fn answered(&mut self, usage: Usage) {
        self.outcome = "answered";
        let Labels { role, provider, model } = self.labels;
        let kinds = [("input", usage.input_tokens), ("cached", usage.cached_tokens), ("output", usage.output_tokens)];
        for (kind, tokens) in kinds {
            metrics::counter!(
                "switchboard_model_tokens_total", "role" => role, "provider" => provider, "model" => model, "kind" => kind
            )
            .increment(tokens);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Labels { role, provider, model } = self.labels;
        metrics::counter!(
            "switchboard_model_calls_total",
            "role" => role, "provider" => provider, "model" => model, "outcome" => self.outcome
        )
        .increment(1);
        metrics::histogram!("switchboard_model_seconds", "role" => role, "provider" => provider, "model" => model)
            .record(self.took());
    }
}

#[async_trait]
impl<M: ChatModel> ChatModel for Metered<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let asking = self.model.chat(tenant, link, prompt);
        self.measured(tenant, (&link.provider, &link.model), asking, |answer| answer.usage).await
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let mut measured = self.begin(tenant, (&link.provider, &link.model));
        let inner = match self.model.stream(tenant, link, prompt).await {
            Ok(inner) => inner,
            Err(error) => {
                measured.failed(&error);
                return Err(error);
            }
        };
        let pieces = stream::unfold((inner, measured, true), |(mut inner, mut measured, is_first)| async move {
            let piece = inner.next().await?;
            if is_first {
                measured.first_token();
            }
            match &piece {
                Ok(StreamEvent::End { usage, .. }) => measured.answered(*usage),
                Ok(StreamEvent::Text(_) | StreamEvent::ToolUse(_)) => {}
                Err(error) => measured.failed(error),
            }
            Some((piece, (inner, measured, false)))
        });
        Ok(Box::pin(pieces))
    }
}

#[async_trait]
impl<M: Embedder> Embedder for Metered<M> {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        let asking = self.model.embed(tenant, link, texts, purpose);
        self.measured(tenant, (&link.provider, &link.model), asking, |embedded| embedded.usage).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        self.model.batch(tenant, link)
    }
}
