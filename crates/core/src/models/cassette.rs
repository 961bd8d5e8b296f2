//! Calls of models as they went, without personal data: recorded once, played as often as one likes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Answer, AnswerStream, Message, ModelError, ModelErrorKind, Part, Prompt, StopReason, StreamEvent, ToolResult,
    ToolUse, Usage, answers,
};
use crate::{
    guard::{Redaction, redact},
    ids::{CustomerId, TenantId},
    ports::{Ceilings, ChatModel, Clock, Reservation, Reserved, Settlement, Spent, TenantScope, UsageLedger, Wanted},
    tenants::{ModelLink, Tenant},
    time::Timestamp,
    untrusted::Untrusted,
};

/// One call and what became of it. All words in it have gone through [`redact`]; credentials were never in a prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recording {
    /// The form of this record.
    pub version: u32,
    /// When it was asked.
    pub at: Timestamp,
    /// Whose call it was.
    pub tenant: TenantId,
    /// The provider and its model.
    pub link: String,
    /// The hash of all that was asked, in hexadecimal.
    pub key: String,
    /// What was asked, for people.
    pub asked: Value,
    /// What came.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// What became of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An answer.
    Answer(Answered),
    /// A failure, after these words of a stream.
    Failure(Failed),
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Called>,
    stop: String,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    model: String,
}

/// A tool that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Called {
    id: String,
    name: String,
    input: String,
}

/// A failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failed {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    kind: String,
    message: String,
    billed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// The form that is written; others are refused.
const VERSION: u32 = 1;

/// Where recordings go. Taking one must not wait for a disk.
pub trait Tape: Send + Sync {
    /// Takes a recording.
    fn record(&self, recording: Recording);
}

/// A model whose calls are recorded.
pub struct Recorded<M> {
    model: M,
    tape: Arc<dyn Tape>,
    clock: Arc<dyn Clock>,
}

impl<M> Recorded<M> {
    /// Records the calls of `model` on `tape`.
    pub fn new(model: M, tape: Arc<dyn Tape>, clock: Arc<dyn Clock>) -> Self {
        Self { model, tape, clock }
    }

    fn begin(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Begun {
        Begun {
            tape: self.tape.clone(),
            clock: self.clock.clone(),
            cover: Cover::of(tenant),
            began: self.clock.monotonic(),
            at: self.clock.now(),
            link: format!("{}/{}", link.provider, link.model),
            key: key(tenant, link, prompt),
            asked: shown(&covered(tenant, prompt)),
        }
    }
}

/// A call on its way.
struct Begun {
    tape: Arc<dyn Tape>,
    clock: Arc<dyn Clock>,
    cover: Cover,
    began: Duration,
    at: Timestamp,
    link: String,
    key: String,
    asked: Value,
}

/// A tenant's redaction, for as long as a stream lasts.
struct Cover(Tenant);

impl Cover {
    fn of(tenant: &Tenant) -> Self {
        Self(tenant.clone())
    }

    fn text(&self, text: &Untrusted<String>) -> String {
        redact(text, &Redaction::of(&self.0)).as_str().to_owned()
    }
}

impl Begun {
    /// Records the call. One that is dropped on its way has no end that could be played.
    fn ended(self, outcome: Result<&Answer, (&ModelError, &Untrusted<String>)>) {
        let outcome = match outcome {
            Ok(answer) => Outcome::Answer(Answered::of(answer, &self.cover)),
            Err((error, text)) => Outcome::Failure(Failed::of(error, self.cover.text(text))),
        };
        self.tape.record(Recording {
            version: VERSION,
            at: self.at,
            tenant: self.cover.0.id.clone(),
            link: self.link,
            key: self.key,
            asked: self.asked,
            outcome,
            ms: self.clock.monotonic().saturating_sub(self.began).as_secs_f64() * 1e3,
        });
    }
}

/// The prompt without personal data.
fn covered(tenant: &Tenant, prompt: &Prompt) -> Prompt {
    let redaction = Redaction::of(tenant);
    let cover = |text: &Untrusted<String>| Untrusted::new(redact(text, &redaction).as_str().to_owned());
    let plain = |text: &str| redact(&Untrusted::new(text.to_owned()), &redaction).as_str().to_owned();
    let part = |part: &Part| match part {
        Part::Trusted(text) => Part::Trusted(plain(text)),
        Part::Quoted { name, text } => Part::Quoted { name, text: cover(text) },
    };
    let call = |call: &ToolUse| ToolUse { id: call.id.clone(), name: plain(&call.name), input: cover(&call.input) };
    let result = |one: &ToolResult| ToolResult { output: cover(&one.output), ..one.clone() };
    let message = |message: &Message| match message {
        Message::User(parts) => Message::User(parts.iter().map(part).collect()),
        Message::Assistant { text, calls } => {
            Message::Assistant { text: cover(text), calls: calls.iter().map(call).collect() }
        }
        Message::Tools(results) => Message::Tools(results.iter().map(result).collect()),
    };
    Prompt { system: plain(&prompt.system), messages: prompt.messages.iter().map(message).collect(), ..prompt.clone() }
}

/// The hash of a question without its personal data: the same when it is asked again, also about somebody else.
fn key(tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> String {
    let key = answers::key(tenant, link, &covered(tenant, prompt));
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(prompt: &Prompt) -> Value {
    let message = |message: &Message| match message {
        Message::User(parts) => json!({"user": parts.iter().map(Part::wire).collect::<Vec<_>>().join("\n")}),
        Message::Assistant { text, calls } => {
            let calls: Vec<_> =
                calls.iter().map(|call| json!({"name": call.name, "input": call.wire_input()})).collect();
            json!({"assistant": Message::said(text), "calls": calls})
        }
        Message::Tools(results) => json!({"tools": results.iter().map(ToolResult::wire).collect::<Vec<_>>()}),
    };
    json!({
        "system": prompt.system,
        "messages": prompt.messages.iter().map(message).collect::<Vec<_>>(),
        "tools": prompt.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
        "schema": prompt.schema.as_ref().map(|schema| &schema.name),
        "max_tokens": prompt.max_tokens,
    })
}

impl Answered {
    fn of(answer: &Answer, cover: &Cover) -> Self {
        let called = |call: &ToolUse| Called {
            id: call.id.clone(),
            name: cover.text(&Untrusted::new(call.name.clone())),
            input: cover.text(&call.input),
        };
        let stop = match answer.stop {
            StopReason::End => "end",
            StopReason::Tools => "tools",
            StopReason::MaxTokens => "max_tokens",
        };
        Self {
            text: cover.text(&answer.text),
            calls: answer.calls.iter().map(called).collect(),
            stop: stop.to_owned(),
            input_tokens: answer.usage.input_tokens,
            cached_tokens: answer.usage.cached_tokens,
            output_tokens: answer.usage.output_tokens,
            model: answer.model.clone(),
        }
    }

    fn answer(self) -> Answer {
        let call = |call: Called| ToolUse { id: call.id, name: call.name, input: Untrusted::new(call.input) };
        Answer {
            text: Untrusted::new(self.text),
            calls: self.calls.into_iter().map(call).collect(),
            stop: match self.stop.as_str() {
                "tools" => StopReason::Tools,
                "max_tokens" => StopReason::MaxTokens,
                _ => StopReason::End,
            },
            usage: Usage {
                input_tokens: self.input_tokens,
                cached_tokens: self.cached_tokens,
                output_tokens: self.output_tokens,
            },
            model: self.model,
        }
    }
}

impl Failed {
    fn of(error: &ModelError, text: String) -> Self {
        Self {
            text,
            kind: error.kind().word().to_owned(),
            message: error.to_string(),
            billed: error.may_be_billed(),
            retry_after_ms: error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn error(self) -> ModelError {
        let kind =
            ModelErrorKind::ALL.into_iter().find(|kind| kind.word() == self.kind).unwrap_or(ModelErrorKind::Down);
        let error = ModelError::new(kind, self.message);
        let error = if self.billed { error.billed() } else { error };
        match self.retry_after_ms {
            Some(wait) => error.after(Duration::from_millis(wait)),
            None => error,
        }
    }
}

#[async_trait]
impl<M: ChatModel> ChatModel for Recorded<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let begun = self.begin(tenant, link, prompt);
        let outcome = self.model.chat(tenant, link, prompt).await;
        let nothing = Untrusted::default();
        begun.ended(outcome.as_ref().map_err(|error| (error, &nothing)));
        outcome
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let begun = self.begin(tenant, link, prompt);
        let inner = match self.model.stream(tenant, link, prompt).await {
            Ok(inner) => inner,
            Err(error) => {
                begun.ended(Err((&error, &Untrusted::default())));
                return Err(error);
            }
        };
        let so_far = (Untrusted::new(String::new()), Vec::new());
        let pieces = stream::unfold((inner, Some(begun), so_far), |(mut inner, mut begun, mut so_far)| async move {
            let piece = inner.next().await?;
            match &piece {
                Ok(StreamEvent::Text(more)) => so_far.0.push(more),
                Ok(StreamEvent::ToolUse(call)) => so_far.1.push(call.clone()),
                Ok(StreamEvent::End { stop, usage, model }) => {
                    let (text, calls) = (so_far.0.clone(), so_far.1.clone());
                    let answer = Answer { text, calls, stop: *stop, usage: *usage, model: model.clone() };
                    begun.take().into_iter().for_each(|begun| begun.ended(Ok(&answer)));
                }
                Err(error) => begun.take().into_iter().for_each(|begun| begun.ended(Err((error, &so_far.0)))),
            }
            Some((piece, (inner, begun, so_far)))
        });
        Ok(Box::pin(pieces))
    }
}

/// Recorded calls, played back: whoever asks the same gets the same, in the order in which it was recorded, and the last one
/// again and again. Nobody outside is asked.
pub struct Cassette {
    outcomes: Mutex<HashMap<String, VecDeque<Outcome>>>,
}

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("it is of the form {0}, and this program knows {VERSION}")]
pub struct UnknownForm(u32);

impl Cassette {
    /// A cassette with these recordings, in their order.
    ///
    /// # Errors
    /// The first recording of another form.
    pub fn new(recordings: impl IntoIterator<Item = Recording>) -> Result<Self, UnknownForm> {
        let mut outcomes: HashMap<String, VecDeque<Outcome>> = HashMap::new();
        for recording in recordings {
            if recording.version != VERSION {
                return Err(UnknownForm(recording.version));
            }
            outcomes.entry(recording.key).or_default().push_back(recording.outcome);
        }
        Ok(Self { outcomes: Mutex::new(outcomes) })
    }

    fn play(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, (ModelError, String)> {
        let key = key(tenant, link, prompt);
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = outcomes.get_mut(&key);
        let next = queue.and_then(|queue| if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() });
        match next {
            Some(Outcome::Answer(answered)) => Ok(answered.answer()),
            Some(Outcome::Failure(failed)) => Err((failed.clone().error(), failed.text)),
            None => {
                let message = "nobody has recorded this question; record it by --record";
                Err((ModelError::new(ModelErrorKind::Invalid, message), String::new()))
            }
        }
    }
}

#[async_trait]
impl ChatModel for Cassette {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        self.play(tenant, link, prompt).map_err(|(error, _)| error)
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let events = match self.play(tenant, link, prompt) {
            Ok(Answer { text, calls, stop, usage, model }) => {
                let text = Some(text).filter(|text| !text.for_model().is_empty()).map(StreamEvent::Text);
                let events = text.into_iter().chain(calls.into_iter().map(StreamEvent::ToolUse));
                events.chain([StreamEvent::End { stop, usage, model }]).map(Ok).collect::<Vec<_>>()
            }
            Err((error, text)) if text.is_empty() => return Err(error),
            Err((error, text)) => vec![Ok(StreamEvent::Text(Untrusted::new(text))), Err(error)],
        };
        Ok(Box::pin(stream::iter(events)))
    }
}

/// A ledger for calls that cost nothing, because nobody is asked.
pub struct Unpaid;

#[async_trait]
impl UsageLedger for Unpaid {
    async fn reserve(&self, _: &TenantScope, wanted: Wanted, _: &Ceilings) -> crate::error::Result<Reserved> {
        Ok(Reserved::Held(Reservation::granted(wanted)))
    }

    async fn settle(&self, _: &TenantScope, _: Reservation, _: Settlement) -> crate::error::Result<()> {
        Ok(())
    }

    async fn spent(&self, _: &TenantScope, _: Option<&CustomerId>, _: Timestamp) -> crate::error::Result<Spent> {
        Ok(Spent::default())
    }
}
