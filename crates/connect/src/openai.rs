//! Models behind the API of OpenAI's chat completions and embeddings, which vLLM, Ollama, llama.cpp and many others have as well.

mod assembly;
mod embeddings;
mod request;
mod sse;
mod stream;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Method,
    header::{ACCEPT, AUTHORIZATION, HeaderValue},
};
use switchboard_core::{
    error::{Error, ErrorKind},
    ids::ProviderName,
    limits,
    models::{Answer, AnswerStream, ModelError, ModelErrorKind, Prompt},
    ports::{ChatModel, Secrets},
    tenants::{ModelLink, ProviderConfig, Tenant},
};

use crate::{
    outbound::{self, Opened, Outbound, Request, StreamLimits, base_url, below},
    secret,
};
use assembly::{Assembly, Ended, Limits};
use url::Url;
use wire::{Completion, Told};

/// Asks at `POST {url}/chat/completions` and `POST {url}/embeddings`, with an optional bearer token. One call asks once.
pub struct OpenAiModels {
    outbound: Arc<Outbound>,
    secrets: Arc<dyn Secrets>,
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

impl OpenAiModels {
    /// Models that are called through `outbound` with keys from `secrets`.
    pub fn new(outbound: Arc<Outbound>, secrets: Arc<dyn Secrets>) -> Self {
        Self { outbound, secrets, times: CallTimes::default() }
    }

    /// The same with other limits of time.
    pub fn with_times(self, times: CallTimes) -> Self {
        Self { times, ..self }
    }

    async fn request<'a>(
        &self,
        (tenant, link): (&'a Tenant, &ModelLink),
        who: &'a str,
        prompt: &Prompt,
        stream: bool,
    ) -> Result<Request<'a>, ModelError> {
        let body = |base: &Url| request::body(base, &link.model, prompt, stream);
        let mut request = self.call((tenant, &link.provider), who, &["chat", "completions"], body).await?;
        if stream {
            request.headers.push((ACCEPT, HeaderValue::from_static("text/event-stream")));
        }
        Ok(request)
    }

    /// A call of one of the API's methods, whose body may depend on the base URL.
    async fn call<'a>(
        &self,
        (tenant, provider): (&'a Tenant, &ProviderName),
        who: &'a str,
        method: &[&str],
        body: impl FnOnce(&Url) -> Vec<u8>,
    ) -> Result<Request<'a>, ModelError> {
        let Some(ProviderConfig::Openai { url, key, .. }) = tenant.config.models.providers.get(provider) else {
            let message = format!("{who} is not among the tenant's providers, or of another kind");
            return Err(ModelError::new(ModelErrorKind::Invalid, message));
        };
        let base = base_url(url, who).map_err(|error| unsent(error, ModelErrorKind::Invalid))?;
        let mut headers = Vec::new();
        if let Some(name) = key {
            let unusable = |error| unsent(error, ModelErrorKind::Unauthorised);
            let key = secret::required(self.secrets.as_ref(), tenant, name, who).await.map_err(unusable)?;
            headers.push((AUTHORIZATION, secret::bearer(name, &key).map_err(unusable)?));
        }
        Ok(Request {
            method: Method::POST,
            url: below(&base, method),
            who,
            credential: key.as_ref(),
            headers,
            body: Some(body(&base)),
            reads_body: true,
            time: self.times.whole,
        })
    }
}

#[async_trait]
impl ChatModel for OpenAiModels {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let who = who(&link.provider);
        let request = self.request((tenant, link), &who, prompt, false).await?;
        let answer = self.outbound.send(request).await.map_err(failed)?;
        if !(200..300).contains(&answer.status) {
            return Err(refusal(&answer, &who, &link.model));
        }
        let mut assembly = Assembly::new(&who);
        let whole =
            answer.json::<Completion>().map_err(|error| assembly.bad("answered no completion").caused_by(error))?;
        let text = assembly.take(whole)?.unwrap_or_default();
        // A whole answer cannot be cut and still be JSON.
        if !assembly.has_stopped() {
            return Err(assembly.bad("answered no completion with an end"));
        }
        let Ended { calls, stop, usage, model } = assembly.end(&Limits::new(&link.model, prompt))?;
        Ok(Answer { text, calls, stop, usage, model })
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let who = who(&link.provider);
        let request = self.request((tenant, link), &who, prompt, true).await?;
        let limits = StreamLimits { bytes: limits::MODEL_STREAM_BYTES, idle: self.times.idle };
        match self.outbound.open(request, limits).await.map_err(failed)? {
            Opened::Failed(answer) => Err(refusal(&answer, &who, &link.model)),
            Opened::Streamed(body) => stream::read(body, Assembly::new(&who), Limits::new(&link.model, prompt)).await,
        }
    }
}

fn who(provider: &ProviderName) -> String {
    format!("the model provider `{provider}`")
}

/// A call that was not sent, by a fault of `kind`, or because the store of secrets has a trouble of its own.
fn unsent(error: Error, kind: ModelErrorKind) -> ModelError {
    let kind = if error.kind() == ErrorKind::Invalid { kind } else { ModelErrorKind::Down };
    ModelError::new(kind, error.to_string()).caused_by(error)
}

/// A call that got no answer, or not all of it.
fn failed(error: Error) -> ModelError {
    let kind = match error.kind() {
        ErrorKind::Invalid => ModelErrorKind::Invalid,
        ErrorKind::BadAnswer => ModelErrorKind::BadOutput,
        _ => ModelErrorKind::Down,
    };
    // The model may be at work, or have answered all of it.
    let billed = error.may_have_applied();
    let told = ModelError::new(kind, error.to_string()).caused_by(error);
    if billed { told.billed() } else { told }
}

/// What an answer means that is no success.
fn refusal(answer: &outbound::Answer, who: &str, model: &str) -> ModelError {
    use ModelErrorKind::{Down, Invalid, Overloaded, Refused, Throttled, TooLong, Unauthorised};
    let status = answer.status;
    let (kind, words) = match (status, Told::of_body(answer.body())) {
        (401 | 403, _) => (
            Unauthorised,
            match answer.credential() {
                Some(name) => format!("refuses our credentials; check the secret `{name}` and what it may do"),
                None => "refuses a call without credentials; name a secret in `key`".to_owned(),
            },
        ),
        (402, _) | (429, Told::NoQuota) => (Throttled, "says that the account's quota is used up".to_owned()),
        (404, _) => (Invalid, format!("does not know the model `{model}`, or is at another address")),
        (400 | 413 | 422, Told::TooLong) | (413, _) => {
            (TooLong, "says that prompt and answer are too long for the model".to_owned())
        }
        (400 | 422, Told::Filtered) => (Refused, "has a filter that does not let the prompt through".to_owned()),
        (408, _) => (Down, "did not get the request in time".to_owned()),
        (425 | 429, _) => (Throttled, "asks for fewer calls".to_owned()),
        (503 | 529, _) => (Overloaded, "has no room for a call now".to_owned()),
        // llama.cpp once said by 500 that a prompt is too long.
        (500.., Told::TooLong) => (TooLong, "says that prompt and answer are too long for the model".to_owned()),
        (500.., _) => (Down, "has a trouble of its own".to_owned()),
        _ => (Invalid, "refuses the call; it may not know one of its parameters".to_owned()),
    };
    let told = ModelError::new(kind, format!("{who} {words} ({status})"));
    let told = match answer.retry_after {
        Some(wish) if kind.is_passing() => told.after(wish),
        _ => told,
    };
    // A gateway that has waited in vain: the model behind it may be at work.
    if status == 504 { told.billed() } else { told }
}
