//! What servers with chat completions answer. The model's words stay untrusted; what is read beside them is closed.

use serde::Deserialize;
use serde_json::Value;
use switchboard_core::{
    models::Usage,
    untrusted::{Closed, Untrusted},
};

const NAME_BYTES: usize = 256;
/// More tokens than this are a slip of the server's, and sums of them must not overflow.
const MOST_TOKENS: u64 = 1_000_000_000;

/// A completion, or a piece of one: a stream says `delta` where the whole says `message`.
#[derive(Deserialize)]
pub(super) struct Completion {
    #[serde(default)]
    pub(super) model: Option<Name>,
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
    /// Some servers answer with a failure under a success, in streams most of all.
    #[serde(default)]
    pub(super) error: Option<Untrusted<Value>>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default, alias = "message")]
    pub(super) delta: Option<Delta>,
    #[serde(default)]
    pub(super) finish_reason: Option<Finish>,
}

#[derive(Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<Untrusted<String>>,
    #[serde(default)]
    pub(super) refusal: Option<Untrusted<String>>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
pub(super) struct ToolCall {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) id: Option<Name>,
    #[serde(default)]
    pub(super) function: Option<Function>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    #[serde(default)]
    pub(super) name: Option<Name>,
    #[serde(default)]
    pub(super) arguments: Option<Untrusted<String>>,
}

/// Why it stopped. Ollama says `stop` also where tools are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finish {
    Stop,
    Length,
    ToolCalls,
    FunctionCall,
    ContentFilter,
    #[serde(other)]
    Other,
}

/// A name or an id in a word of printable ASCII; `None` when it is anything else, the empty text among it.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub(super) struct Name(Option<String>);

#[derive(Clone, Copy, Deserialize)]
pub(super) struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// What a failure is about, beside its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Prompt and answer do not fit into the model.
    TooLong,
    /// A filter of the provider's stops the prompt.
    Filtered,
    /// The account's money is used up.
    NoQuota,
    /// Anything else.
    Nothing,
}

impl Closed for Completion {}
impl Closed for Told {}

impl From<String> for Name {
    fn from(text: String) -> Self {
        let fits = (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        Self(fits.then_some(text))
    }
}

impl Name {
    /// The name, when it is one.
    pub(super) fn get(self) -> Option<String> {
        self.0
    }
}

impl WireUsage {
    /// The tokens of what is not answered in words, where they are counted.
    pub(super) fn input(self) -> Option<u64> {
        self.prompt_tokens.map(|tokens| tokens.min(MOST_TOKENS))
    }

    /// The tokens, where both counts are there: without one, the call would seem to be free.
    pub(super) fn usage(self) -> Option<Usage> {
        let input_tokens = self.prompt_tokens?.min(MOST_TOKENS);
        let cached = self.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        let output_tokens = self.completion_tokens?.min(MOST_TOKENS);
        Some(Usage { input_tokens, cached_tokens: cached.min(input_tokens), output_tokens })
    }
}

impl Told {
    /// What the body of a failure says.
    pub(super) fn of_body(body: &Untrusted<Vec<u8>>) -> Self {
        body.read_as(|bytes| serde_json::from_slice(bytes).map_or(Self::Nothing, |body| Self::of_json(&body)))
    }

    /// The same of an error inside an answer.
    pub(super) fn of_error(error: &Untrusted<Value>) -> Self {
        error.read_as(Self::of_json)
    }

    fn of_json(body: &Value) -> Self {
        // OpenAI and llama.cpp: an object `error`; vLLM before 0.10: the same fields without it.
        let error = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
        let text = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        for word in [text("code"), text("type")] {
            match word.as_str() {
                "context_length_exceeded" | "exceed_context_size_error" => return Self::TooLong,
                "content_filter" | "content_policy_violation" | "invalid_prompt" => return Self::Filtered,
                "insufficient_quota" | "billing_hard_limit_reached" => return Self::NoQuota,
                _ => {}
            }
        }
        // vLLM has no code for it.
        let message = text("message");
        let says_so = ["maximum context length", "maximum model length", "context size", "context window"];
        if says_so.iter().any(|words| message.contains(words)) { Self::TooLong } else { Self::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn failures_of_many_servers_are_understood() {
        for (body, expected) in [
            (json!({"error": {"code": "context_length_exceeded", "type": "invalid_request_error"}}), Told::TooLong),
            (json!({"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 4096}}), Told::TooLong),
            (
                json!({"object": "error", "code": 400, "message": "This model's maximum context length is 4096 tokens."}),
                Told::TooLong,
            ),
            (json!({"error": {"code": "content_filter", "innererror": {}}}), Told::Filtered),
            (json!({"error": {"type": "insufficient_quota"}}), Told::NoQuota),
            (json!({"error": {"code": "invalid_api_key"}}), Told::Nothing),
            (json!({"error": "model 'x' not found"}), Told::Nothing),
            (json!({"detail": [{"type": "missing"}]}), Told::Nothing),
            (json!([1]), Told::Nothing),
        ] {
            let told = Told::of_body(&Untrusted::new(body.to_string().into_bytes()));
            assert_eq!(told, expected, "{body}");
        }
        assert_eq!(Told::of_body(&Untrusted::new(b"<html>".to_vec())), Told::Nothing);
    }

    #[test]
    fn usage_is_whole_and_bounded() {
        let usage = |value: Value| serde_json::from_value::<WireUsage>(value).unwrap().usage();
        let of = |input_tokens, cached_tokens, output_tokens| Usage { input_tokens, cached_tokens, output_tokens };
        assert_eq!(usage(json!({"prompt_tokens": 9, "completion_tokens": 2})), Some(of(9, 0, 2)));
        let details = json!({"cached_tokens": 8, "audio_tokens": 0});
        let whole = json!({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": details});
        assert_eq!(usage(whole), Some(of(9, 8, 2)));
        let absurd =
            json!({"prompt_tokens": 9, "completion_tokens": u64::MAX, "prompt_tokens_details": {"cached_tokens": 10}});
        assert_eq!(usage(absurd), Some(of(9, 9, MOST_TOKENS)));
        assert_eq!(usage(json!({"prompt_tokens": 9})), None);
        assert_eq!(usage(json!({"prompt_tokens_details": null})), None);
    }
}
