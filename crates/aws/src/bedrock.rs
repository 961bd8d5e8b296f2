//! Models of Amazon Bedrock, by Converse and ConverseStream, and for vectors by InvokeModel.

mod answer;
mod clients;
mod embeddings;
mod failure;
mod guardrail;
mod request;
mod stream;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use switchboard_core::{
    ids::ProviderName,
    limits,
    models::{Answer, AnswerStream, ModelError, ModelErrorKind, Prompt},
    ports::ChatModel,
    tenants::{GuardrailConfig, ModelLink, ProviderConfig, Tenant},
};

use answer::About;
pub use clients::{BedrockClients, Credentials};
use failure::{failed, too_late};

/// Asks with the program's own credentials, in the region that the provider names. One call asks once.
pub struct BedrockModels {
    clients: Arc<BedrockClients>,
    times: CallTimes,
}

/// The longest that a call may take, whatever stands around it.
#[derive(Clone, Copy, Debug)]
pub struct CallTimes {
    /// For all of it.
    pub whole: Duration,
    /// For the beginning and each further piece of an answer that comes as it is written.
    pub idle: Duration,
}

impl Default for CallTimes {
    fn default() -> Self {
        Self { whole: limits::MODEL_TIME, idle: limits::MODEL_IDLE }
    }
}

impl BedrockModels {
    /// Models that are called by these clients.
    pub fn new(clients: Arc<BedrockClients>) -> Self {
        Self { clients, times: CallTimes::default() }
    }

    /// The same with other limits of time.
    pub fn with_times(self, times: CallTimes) -> Self {
        Self { times, ..self }
    }

    async fn client<'a>(
        &self,
        tenant: &'a Tenant,
        provider: &ProviderName,
        who: &str,
    ) -> Result<(aws_sdk_bedrockruntime::Client, Option<&'a GuardrailConfig>), ModelError> {
        let Some(ProviderConfig::Bedrock { region, guardrail }) = tenant.config.models.providers.get(provider) else {
            let message = format!("{who} is not among the tenant's providers, or of another kind");
            return Err(ModelError::new(ModelErrorKind::Invalid, message));
        };
        let client = self.clients.of(region.as_deref()).await.ok_or_else(|| {
            let remedy = "name one (`region` of the provider, `aws.region`, or AWS_REGION)";
            ModelError::new(ModelErrorKind::Invalid, format!("{who} has no region; {remedy}"))
        })?;
        Ok((client, guardrail.as_ref()))
    }
}

#[async_trait]
impl ChatModel for BedrockModels {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let who = who(&link.provider);
        let (client, guardrail) = self.client(tenant, &link.provider, &who).await?;
        let built = request::build(prompt).map_err(|words| request::unbuilt(&who, words))?;
        let call = client
            .converse()
            .model_id(&link.model)
            .set_system(built.system)
            .set_messages(Some(built.messages))
            .set_tool_config(built.tools)
            .inference_config(built.inference)
            .set_guardrail_config(guardrail.map(request::guardrail))
            .customize()
            .interceptor(clients::BodyLimit(limits::MODEL_STREAM_BYTES));
        let answered = tokio::time::timeout(self.times.whole, call.send()).await.map_err(|_| too_late(&who))?;
        let output = answered.map_err(|error| failed(&who, error))?;
        answer::whole(output, &About::new(&who, &link.model, prompt))
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let who = who(&link.provider);
        let (client, guardrail) = self.client(tenant, &link.provider, &who).await?;
        let built = request::build(prompt).map_err(|words| request::unbuilt(&who, words))?;
        let call = client
            .converse_stream()
            .model_id(&link.model)
            .set_system(built.system)
            .set_messages(Some(built.messages))
            .set_tool_config(built.tools)
            .inference_config(built.inference)
            .set_guardrail_config(guardrail.map(request::stream_guardrail))
            .customize()
            .interceptor(clients::BodyLimit(limits::MODEL_STREAM_BYTES));
        let ends = stream::end_after(self.times.whole);
        let answered = tokio::time::timeout(self.times.idle, call.send()).await.map_err(|_| too_late(&who))?;
        let output = answered.map_err(|error| failed(&who, error))?;
        stream::read(output, About::new(&who, &link.model, prompt), self.times.idle, ends).await
    }
}

fn who(provider: &ProviderName) -> String {
    format!("the model provider `{provider}`")
}
