//! A language model that says what a test wants, without a wire.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use switchboard_core::{
    models::{Answer, AnswerStream, ModelError, Prompt, StopReason, StreamEvent, Usage},
    ports::ChatModel,
    tenants::{ModelLink, Tenant},
    untrusted::Untrusted,
};

/// What becomes of one call.
#[derive(Debug)]
pub enum Turn {
    /// These words, and the tokens of [`USAGE`]. As a stream they come one by one.
    Says(String),
    /// This answer.
    Answers(Answer),
    /// It fails before the first word.
    Fails(ModelError),
    /// These words, and then a failure. Not as a stream, it fails.
    BreaksOff(String, ModelError),
    /// These words and then nothing, for ever.
    Hangs(String),
}

/// What [`Turn::Says`] takes.
pub const USAGE: Usage = Usage { input_tokens: 100, cached_tokens: 0, output_tokens: 10 };

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Called {
    /// The link.
    pub link: ModelLink,
    /// The prompt.
    pub prompt: Prompt,
}

type Script = dyn Fn(usize, &ModelLink, &Prompt) -> Turn + Send + Sync;

/// A model that follows a script. A clone is the same model.
#[derive(Clone)]
pub struct ScriptedModel {
    script: Arc<Script>,
    calls: Arc<Mutex<Vec<Called>>>,
}

impl ScriptedModel {
    /// A model that asks `script` for each call what becomes of it: which call of that model it is, from 0, its link and prompt.
    pub fn new(script: impl Fn(usize, &ModelLink, &Prompt) -> Turn + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), calls: Arc::default() }
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The models that were called, in that order.
    pub fn called(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.link.model).collect()
    }

    /// How often each model was called.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for model in self.called() {
            *counts.entry(model).or_default() += 1;
        }
        counts
    }

    fn turn(&self, link: &ModelLink, prompt: &Prompt) -> Turn {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = calls.iter().filter(|call| call.link.model == link.model).count();
        calls.push(Called { link: link.clone(), prompt: prompt.clone() });
        drop(calls);
        (self.script)(nth, link, prompt)
    }
}

/// An answer of these words, with the tokens of [`USAGE`].
pub fn answer(text: &str, model: &str) -> Answer {
    Answer {
        text: Untrusted::new(text.to_owned()),
        calls: Vec::new(),
        stop: StopReason::End,
        usage: USAGE,
        model: model.to_owned(),
    }
}

fn words(text: &str) -> Vec<Result<StreamEvent, ModelError>> {
    text.split_inclusive(' ').map(|word| Ok(StreamEvent::Text(Untrusted::new(word.to_owned())))).collect()
}

#[async_trait]
impl ChatModel for ScriptedModel {
    async fn chat(&self, _: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        match self.turn(link, prompt) {
            Turn::Says(text) => Ok(answer(&text, &link.model)),
            Turn::Answers(answer) => Ok(answer),
            Turn::Fails(error) | Turn::BreaksOff(_, error) => Err(error),
            Turn::Hangs(_) => pending().await,
        }
    }

    async fn stream(&self, _: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let whole = |answer: Answer| {
            let mut events = words(answer.text.for_storage());
            events.extend(answer.calls.into_iter().map(|call| Ok(StreamEvent::ToolUse(call))));
            events.push(Ok(StreamEvent::End { stop: answer.stop, usage: answer.usage, model: answer.model }));
            Box::pin(stream::iter(events)) as AnswerStream
        };
        match self.turn(link, prompt) {
            Turn::Says(text) => Ok(whole(answer(&text, &link.model))),
            Turn::Answers(answer) => Ok(whole(answer)),
            Turn::Fails(error) => Err(error),
            Turn::BreaksOff(text, error) => Ok(Box::pin(stream::iter(words(&text)).chain(stream::iter([Err(error)])))),
            Turn::Hangs(text) => Ok(Box::pin(stream::iter(words(&text)).chain(stream::pending()))),
        }
    }
}
