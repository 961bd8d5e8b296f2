//! Prompts and answers, in one vocabulary for all providers.

use std::{fmt, pin::Pin};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ModelError, ModelErrorKind};
use crate::untrusted::{Closed, Untrusted};

/// One question to a model, whatever the provider.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Who the model is and what it is to do: program text and the tenant's configuration only.
    pub system: String,
    /// The conversation, oldest first; it ends with what is to be answered.
    pub messages: Vec<Message>,
    /// What it may ask for. A prompt with untrusted parts has none, or such that only read.
    pub tools: Vec<Tool>,
    /// The form of the answer; without one it is free text.
    pub schema: Option<Schema>,
    /// Tokens of the answer.
    pub max_tokens: u32,
    /// 0 to 1; `None` leaves it to the provider, as some models want.
    pub temperature: Option<f32>,
}

/// One message of a conversation.
#[derive(Clone, Debug)]
pub enum Message {
    /// To the model.
    User(Vec<Part>),
    /// What it said earlier, and what it asked for.
    Assistant {
        /// Its words.
        text: Untrusted<String>,
        /// The tools that it asked for.
        calls: Vec<ToolUse>,
    },
    /// What the tools gave.
    Tools(Vec<ToolResult>),
}

/// A part of a message to the model.
#[derive(Clone, Debug)]
pub enum Part {
    /// Program text and the tenant's configuration.
    Trusted(String),
    /// What somebody outside wrote, under the name that the instructions call it by.
    Quoted {
        /// Lower case letters and underscores.
        name: &'static str,
        /// The words.
        text: Untrusted<String>,
    },
}

/// A tool that a model may ask for.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON schema of its input.
    pub input: Value,
}

/// The form of an answer.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// The JSON schema: an object whose properties are all required, without further ones.
    pub schema: Value,
}

/// A tool that a model asked for. Its input is the model's word, and the model may have been talked into it.
#[derive(Clone)]
pub struct ToolUse {
    /// The provider's id for this use.
    pub id: String,
    /// The tool's name, as the model wrote it; it need not exist.
    pub name: String,
    /// The input, as the model wrote it; it need not fit the schema.
    pub input: Untrusted<String>,
}

/// What a tool gave.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// [`ToolUse::id`].
    pub id: String,
    /// The output, or the error in words.
    pub output: Untrusted<String>,
    /// Whether it is an error.
    pub is_error: bool,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It had said all.
    End,
    /// It wants tools.
    Tools,
    /// It reached [`Prompt::max_tokens`].
    MaxTokens,
}

/// Tokens of a call, as the provider counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In the prompt, those read from the provider's cache included.
    pub input_tokens: u64,
    /// Of these, read from the provider's cache.
    pub cached_tokens: u64,
    /// In the answer.
    pub output_tokens: u64,
}

/// What a model answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its words; with a schema, JSON.
    pub text: Untrusted<String>,
    /// The tools that it asks for.
    pub calls: Vec<ToolUse>,
    /// Why it stopped.
    pub stop: StopReason,
    /// What it cost in tokens.
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    pub model: String,
}

/// A piece of an answer that is still being written.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// More words.
    Text(Untrusted<String>),
    /// A tool that it asks for, whole.
    ToolUse(ToolUse),
    /// The end; the last event of a stream without error.
    End {
        /// Why it stopped.
        stop: StopReason,
        /// What it cost in tokens.
        usage: Usage,
        /// The model that answered, as the provider names it.
        model: String,
    },
}

/// An answer that is still being written. It ends with [`StreamEvent::End`] or with an error; dropping it ends the call.
pub type AnswerStream = Pin<Box<dyn Stream<Item = Result<StreamEvent, ModelError>> + Send>>;

impl Message {
    /// A message of parts.
    pub fn user(parts: impl Into<Vec<Part>>) -> Self {
        Self::User(parts.into())
    }
}

impl Part {
    /// The part as it goes to the provider. Untrusted words are one JSON string in which `<` and `>` are escaped, between tags
    /// of their name: whatever they say, they cannot end it and pass for something else.
    pub fn wire(&self) -> String {
        match self {
            Self::Trusted(text) => text.clone(),
            Self::Quoted { name, text } => {
                let quoted = Value::from(text.for_model()).to_string();
                let quoted = quoted.replace('<', "\\u003c").replace('>', "\\u003e");
                format!("<{name}>{quoted}</{name}>")
            }
        }
    }
}

impl ToolUse {
    /// The input as it goes back to the provider that it came from.
    pub fn wire_input(&self) -> &str {
        self.input.for_model()
    }
}

impl fmt::Debug for ToolUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name is the model's word, too.
        f.debug_struct("ToolUse").field("input", &self.input).finish_non_exhaustive()
    }
}

impl ToolResult {
    /// The output as it goes to the provider.
    pub fn wire(&self) -> &str {
        self.output.for_model()
    }
}

impl Prompt {
    /// Bytes of all that goes to the provider, its own framing left out: what a worst case is counted from.
    pub fn bytes(&self) -> usize {
        let parts = |parts: &[Part]| parts.iter().map(|part| part.wire().len()).sum::<usize>();
        let calls =
            |calls: &[ToolUse]| calls.iter().map(|call| call.name.len() + call.wire_input().len()).sum::<usize>();
        let message = |message: &Message| match message {
            Message::User(all) => parts(all),
            Message::Assistant { text, calls: all } => text.for_model().len() + calls(all),
            Message::Tools(results) => results.iter().map(|result| result.wire().len()).sum(),
        };
        let tool = |tool: &Tool| tool.name.len() + tool.description.len() + tool.input.to_string().len();
        self.system.len()
            + self.messages.iter().map(message).sum::<usize>()
            + self.tools.iter().map(tool).sum::<usize>()
            + self.schema.as_ref().map_or(0, |schema| schema.name.len() + schema.schema.to_string().len())
    }
}

impl Message {
    /// What a model said earlier, as it goes back to its provider.
    pub fn said(text: &Untrusted<String>) -> &str {
        text.for_model()
    }
}

impl Usage {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens + other.input_tokens,
            cached_tokens: self.cached_tokens + other.cached_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
        }
    }
}

impl Answer {
    /// The answer as a closed value: what a schema asked for, read strictly. Models put fences around JSON at times, which
    /// are taken off.
    ///
    /// # Errors
    /// [`ModelErrorKind::BadOutput`] when it is cut or not of this form, billed.
    pub fn read<C: Closed + DeserializeOwned>(&self) -> Result<C, ModelError> {
        let bad = |message: &'static str| ModelError::new(ModelErrorKind::BadOutput, message).billed();
        if self.stop == StopReason::MaxTokens {
            return Err(bad("the model's answer was cut at its limit of tokens"));
        }
        let read: Option<C> = self.text.read_as(|text| serde_json::from_str(unfenced(text)).ok());
        read.ok_or_else(|| bad("the model's answer does not fit its schema"))
    }
}

fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Choice {
        team: u32,
    }

    impl Closed for Choice {}

    fn answer(text: &str, stop: StopReason) -> Answer {
        let text = Untrusted::new(text.to_owned());
        Answer { text, calls: Vec::new(), stop, usage: Usage::default(), model: "m".to_owned() }
    }

    #[test]
    fn answers_are_read_strictly() {
        for good in [r#"{"team":3}"#, "```json\n{\"team\":3}\n```", "  {\"team\": 3}\n"] {
            assert_eq!(answer(good, StopReason::End).read::<Choice>().unwrap(), Choice { team: 3 }, "{good}");
        }
        for bad in ["", "team 3", r#"{"team":"billing"}"#, r#"{"team":3,"note":"obey me"}"#, r#"{"team":3} and more"#] {
            let error = answer(bad, StopReason::End).read::<Choice>().unwrap_err();
            assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::BadOutput, true), "{bad}");
        }
        assert!(answer(r#"{"team":3}"#, StopReason::MaxTokens).read::<Choice>().is_err(), "cut");
    }

    proptest! {
        #[test]
        fn untrusted_words_cannot_end_their_part(text in "\\PC*|.*</ticket>.*|(<ticket>|\"|\\\\|\n|>)*") {
            let wire = Part::Quoted { name: "ticket", text: Untrusted::new(text.clone()) }.wire();
            let inner = wire.strip_prefix("<ticket>").and_then(|rest| rest.strip_suffix("</ticket>")).unwrap();
            prop_assert!(!inner.contains(['<', '>', '\n']));
            prop_assert_eq!(serde_json::from_str::<String>(inner).unwrap(), text);
        }
    }
}
