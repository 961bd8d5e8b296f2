//! Guardrails without a model, by ApplyGuardrail.

use async_trait::async_trait;
use aws_sdk_bedrockruntime::types::{
    GuardrailAction, GuardrailContentBlock, GuardrailContentSource, GuardrailTextBlock,
};
use switchboard_core::{
    ids::ProviderName,
    limits,
    models::{ModelError, ModelErrorKind, embedding::wire},
    ports::{Direction, Guardrail, Verdict},
    tenants::Tenant,
    untrusted::Untrusted,
};

use super::{
    BedrockModels,
    clients::BodyLimit,
    failure::{failed, too_late},
    who,
};

#[async_trait]
impl Guardrail for BedrockModels {
    async fn check(
        &self,
        tenant: &Tenant,
        provider: &ProviderName,
        direction: Direction,
        text: &Untrusted<String>,
    ) -> Result<Verdict, ModelError> {
        let words = wire(text);
        if words.trim().is_empty() {
            return Ok(Verdict::Passes);
        }
        let who = who(provider);
        let (client, guardrail) = self.client(tenant, provider, &who).await?;
        let invalid = |why: &str| ModelError::new(ModelErrorKind::Invalid, format!("{who} {why}"));
        let guardrail = guardrail.ok_or_else(|| invalid("has no guardrail"))?;
        let source = match direction {
            Direction::ToModel => GuardrailContentSource::Input,
            Direction::FromModel => GuardrailContentSource::Output,
        };
        let block = GuardrailTextBlock::builder().text(words).build();
        let block = block.map_err(|error| invalid("cannot be asked about this text").caused_by(error))?;
        let call = client
            .apply_guardrail()
            .guardrail_identifier(&guardrail.id)
            .guardrail_version(&guardrail.version)
            .source(source)
            .content(GuardrailContentBlock::Text(block))
            .customize()
            .interceptor(BodyLimit(limits::MODEL_STREAM_BYTES));
        let answered = tokio::time::timeout(limits::GUARDRAIL_TIME, call.send()).await.map_err(|_| too_late(&who))?;
        let output = answered.map_err(|error| failed(&who, error))?;
        Ok(match output.action {
            GuardrailAction::None => Verdict::Passes,
            // Also what it would only have covered, and what is newer than the SDK.
            _ => Verdict::Stopped,
        })
    }
}
