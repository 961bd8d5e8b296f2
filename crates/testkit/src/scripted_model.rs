//! A language model in the test's process: it answers what the test says.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use switchboard_core::{
    models::{Answer, AnswerStream, Gateway, Message, ModelError, ModelErrorKind, Part, Prompt, StopReason, Usage},
    ports::{ChatModel, Clock, Ids},
    tenants::{ModelLink, Tenant},
    untrusted::Untrusted,
};

use crate::memory_usage::MemoryUsage;

type Script = dyn Fn(&ModelLink, &Prompt) -> Result<String, ModelError> + Send + Sync;

/// Answers by a function of the link and the prompt; each answer costs 1,000 tokens in and 10 out. It does not stream.
pub struct ScriptedModel {
    script: Box<Script>,
    asked: Mutex<Vec<(String, String)>>,
}

impl ScriptedModel {
    /// A model that answers by `script`.
    pub fn new(
        script: impl Fn(&ModelLink, &Prompt) -> Result<String, ModelError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { script: Box::new(script), asked: Mutex::default() })
    }

    /// The models that were asked, in order, each with the words that it was told beside the system's.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ChatModel for ScriptedModel {
    async fn chat(&self, _tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let told = |message: &Message| match message {
            Message::User(parts) => parts.iter().map(Part::wire).collect::<Vec<_>>().join("\n"),
            Message::Assistant { .. } | Message::Tools(_) => String::new(),
        };
        let words: Vec<String> = prompt.messages.iter().map(told).collect();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((link.model.clone(), words.join("\n")));
        let text = (self.script)(link, prompt)?;
        Ok(Answer {
            text: Untrusted::new(text),
            calls: Vec::new(),
            stop: StopReason::End,
            usage: Usage { input_tokens: 1_000, cached_tokens: 0, output_tokens: 10 },
            model: link.model.clone(),
        })
    }

    async fn stream(&self, _tenant: &Tenant, _link: &ModelLink, _prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        Err(ModelError::new(ModelErrorKind::Invalid, "the scripted model does not stream"))
    }
}

/// A gateway to `model` with a ledger in memory.
pub fn gateway(model: Arc<dyn ChatModel>, clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Arc<Gateway> {
    Arc::new(Gateway::new(model, Arc::new(MemoryUsage::default()), Arc::clone(clock), Arc::clone(ids)))
}

/// A gateway behind which nobody is.
pub fn no_models(clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Arc<Gateway> {
    let nobody =
        ScriptedModel::new(|_, _| Err(ModelError::new(ModelErrorKind::Down, "there is no model in this test")));
    gateway(nobody, clock, ids)
}
