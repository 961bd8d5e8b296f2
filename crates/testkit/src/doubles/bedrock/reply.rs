//! What an answer is to be.

use serde::Deserialize;
use serde_json::Value;

use super::super::openai::Asks;

/// One answer, or what comes instead of it. In JSON it is named by `reply`: `{"reply": "text", "text": "Hello."}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// Words, and the model has said all. Where the caller makes it ask for a tool, words that are a JSON object are the
    /// tool's input.
    Text {
        /// The words.
        text: String,
    },
    /// The model asks for tools.
    Tools {
        /// What it says beside them.
        #[serde(default)]
        text: String,
        /// The tools. Input that is no JSON comes as it is in a stream, and as a text where the answer comes whole.
        calls: Vec<Asks>,
    },
    /// Words, and this reason to stop.
    Stopped {
        /// The words.
        text: String,
        /// The reason: one of the service's, such as `max_tokens`, or none of them.
        reason: String,
    },
    /// An error of this status.
    Status {
        /// The status.
        status: u16,
        /// The error's type; nothing leaves the header out.
        #[serde(default)]
        kind: String,
        /// Its message.
        #[serde(default)]
        message: String,
        /// The header `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Success, and this body; streamed, one event `contentBlockDelta` with this payload, and the end.
    Raw {
        /// The body.
        body: String,
    },
    /// Words, and then a frame whose checksum is wrong; whole, a body of no JSON.
    Corrupt {
        /// The words.
        text: String,
    },
    /// Words, and the connection ends before the answer does.
    Cut {
        /// The words.
        text: String,
    },
    /// Words, and then nothing more, on a connection that stays.
    Hang {
        /// The words.
        text: String,
    },
    /// Words, and the body ends without a reason to stop, though in good order.
    NoEnd {
        /// The words.
        text: String,
    },
    /// Words, and no count of the tokens.
    NoUsage {
        /// The words.
        text: String,
    },
    /// Words, and then an exception in the middle of the stream; whole, the error that the service has for it.
    ErrorInside {
        /// The words.
        text: String,
        /// The exception, such as `modelStreamErrorException`.
        kind: String,
    },
    /// Words without end.
    Endless,
    /// This, after a while: a slow first token.
    Slow {
        /// How long.
        millis: u64,
        /// What comes then.
        then: Box<Self>,
    },
}

impl Reply {
    /// Words, and the model has said all.
    pub fn text(text: &str) -> Self {
        Self::Text { text: text.to_owned() }
    }

    /// Words, and this reason to stop.
    pub fn stopped(text: &str, reason: &str) -> Self {
        Self::Stopped { text: text.to_owned(), reason: reason.to_owned() }
    }

    /// An error of this status and type.
    pub fn error(status: u16, kind: &str) -> Self {
        // The words are there to be found, should a caller ever pass on what the other side wrote.
        let message = "words of the other side".to_owned();
        Self::Status { status, kind: kind.to_owned(), message, retry_after: None }
    }

    /// What the model says in it: words, tools, and the reason to stop of an answer that has an end. `forced` is the tool
    /// that the caller makes it ask for.
    pub(super) fn said(&self, forced: Option<&str>) -> Said {
        let words = |text: &str, stop: Option<&str>| Said {
            text: text.to_owned(),
            calls: Vec::new(),
            stop: stop.map(str::to_owned),
        };
        match self {
            Self::Text { text } | Self::NoUsage { text } => match forced {
                Some(name) if serde_json::from_str::<Value>(text).is_ok_and(|input| input.is_object()) => {
                    let calls = vec![Asks { name: name.to_owned(), arguments: text.clone() }];
                    Said { text: String::new(), calls, stop: Some("tool_use".to_owned()) }
                }
                _ => words(text, Some("end_turn")),
            },
            Self::Tools { text, calls } => {
                Said { text: text.clone(), calls: calls.clone(), stop: Some("tool_use".to_owned()) }
            }
            Self::Stopped { text, reason } => words(text, Some(reason)),
            Self::Corrupt { text }
            | Self::Cut { text }
            | Self::Hang { text }
            | Self::NoEnd { text }
            | Self::ErrorInside { text, .. } => words(text, None),
            Self::Status { .. } | Self::Raw { .. } | Self::Endless => words("", None),
            Self::Slow { then, .. } => then.said(forced),
        }
    }
}

/// What a model says.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) calls: Vec<Asks>,
    pub(super) stop: Option<String>,
}
