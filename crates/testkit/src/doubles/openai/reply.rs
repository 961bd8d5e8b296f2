//! What a completion is to be.

use serde::Deserialize;

/// One completion, or what comes instead of it. In JSON it is named by `reply`: `{"reply": "text", "text": "Hello."}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// Words, and the model has said all.
    Text {
        /// The words; for a schema, JSON or what is none.
        text: String,
    },
    /// The model asks for tools.
    Tools {
        /// What it says beside them.
        #[serde(default)]
        text: String,
        /// The tools.
        calls: Vec<Asks>,
    },
    /// Words that end at the limit of tokens.
    Length {
        /// The words.
        text: String,
    },
    /// The model will not answer.
    Refusal {
        /// Its words.
        text: String,
    },
    /// The provider's filter stops the answer after these words.
    Filtered {
        /// The words.
        text: String,
    },
    /// An error of this status.
    Status {
        /// The status.
        status: u16,
        /// The header `Retry-After`.
        #[serde(default)]
        retry_after: Option<String>,
        /// The error's code and type.
        #[serde(default)]
        code: Option<String>,
        /// Its message.
        #[serde(default)]
        message: String,
    },
    /// Success, and this body; streamed, one event of this data, and the end.
    Raw {
        /// The body.
        body: String,
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
    /// Words, and the body ends without a reason to stop and without an end, though in good order.
    NoDone {
        /// The words.
        text: String,
    },
    /// Words, and no count of the tokens.
    NoUsage {
        /// The words.
        text: String,
    },
    /// Words, and then an error in the middle of the stream; whole, an error under a success.
    ErrorInside {
        /// The words.
        text: String,
        /// The error's code.
        #[serde(default)]
        code: Option<String>,
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

/// A tool that the model asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asks {
    /// The tool's name; it need not exist.
    pub name: String,
    /// The input; it need not be JSON.
    pub arguments: String,
}

impl Reply {
    /// Words, and the model has said all.
    pub fn text(text: &str) -> Self {
        Self::Text { text: text.to_owned() }
    }

    /// An error of this status without more.
    pub fn status(status: u16) -> Self {
        // The words are there to be found, should a caller ever pass on what the other side wrote.
        Self::Status { status, retry_after: None, code: None, message: "words of the other side".to_owned() }
    }

    /// An error with a code.
    pub fn error(status: u16, code: &str) -> Self {
        let message = "words of the other side".to_owned();
        Self::Status { status, retry_after: None, code: Some(code.to_owned()), message }
    }

    /// Words, tools and the reason to stop, of a completion that begins at least.
    pub(super) fn said(&self) -> (&str, &[Asks], Option<&'static str>) {
        match self {
            Self::Text { text } | Self::NoUsage { text } => (text, &[], Some("stop")),
            Self::Tools { text, calls } => (text, calls, Some("tool_calls")),
            Self::Length { text } => (text, &[], Some("length")),
            Self::Filtered { text } => (text, &[], Some("content_filter")),
            Self::Refusal { .. } => ("", &[], Some("stop")),
            Self::Cut { text } | Self::Hang { text } | Self::NoDone { text } | Self::ErrorInside { text, .. } => {
                (text, &[], None)
            }
            Self::Status { .. } | Self::Raw { .. } | Self::Endless => ("", &[], None),
            Self::Slow { then, .. } => then.said(),
        }
    }
}
