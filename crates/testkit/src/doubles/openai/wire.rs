//! The API's objects.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::Reply;

/// 2026-11-20T08:00:00Z, in seconds.
pub(super) const CREATED: i64 = 1_795_161_600;

/// What a completion answers.
pub(super) struct About {
    id: String,
    model: String,
    wants_usage: bool,
    prompt_tokens: u64,
    cached_tokens: u64,
}

/// The first mistake of a request for a completion: parameter and message. What OpenAI checks and a client may get wrong.
pub(super) fn mistake(body: &Value) -> Option<(&'static str, &'static str)> {
    let Some(messages) = body["messages"].as_array().filter(|messages| !messages.is_empty()) else {
        return Some(("messages", "Invalid 'messages': empty array. Expected an array with minimum length 1."));
    };
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        let calls = message["tool_calls"].as_array();
        let is_content = |content: &Value| content.is_string() || content.is_array();
        match message["role"].as_str() {
            Some("system" | "developer" | "user") if is_content(&message["content"]) => {}
            Some("assistant") if is_content(&message["content"]) || calls.is_some() => {}
            Some("tool") if is_content(&message["content"]) => {
                let answered = message["tool_call_id"].as_str().and_then(|id| open.iter().position(|one| *one == id));
                let Some(answered) = answered else {
                    return Some(("messages", "messages with role 'tool' must be a response to a preceding message"));
                };
                open.swap_remove(answered);
                continue;
            }
            Some("system" | "developer" | "user" | "assistant" | "tool") => {
                return Some(("messages", "Invalid value for 'content': expected a string, got null."));
            }
            _ => return Some(("messages", "Invalid value for 'role'.")),
        }
        if !open.is_empty() {
            return Some(("messages", "An assistant message with 'tool_calls' must be followed by tool messages"));
        }
        for call in calls.into_iter().flatten() {
            let function = &call["function"];
            match (call["id"].as_str(), call["type"].as_str(), function["name"].as_str(), &function["arguments"]) {
                (Some(id), Some("function"), Some(_), Value::String(_)) => open.push(id),
                _ => return Some(("messages", "Invalid 'tool_calls'.")),
            }
        }
    }
    if !open.is_empty() {
        return Some(("messages", "An assistant message with 'tool_calls' must be followed by tool messages"));
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let name = tool["function"]["name"].as_str().unwrap_or_default();
        if tool["type"] != "function" || !is_name(name) || !tool["function"]["parameters"].is_object() {
            return Some(("tools", "Invalid 'tools'."));
        }
    }
    if body["tools"].as_array().is_some_and(Vec::is_empty) {
        return Some(("tools", "Invalid 'tools': empty array. Expected an array with minimum length 1."));
    }
    let format = &body["response_format"];
    if format["type"] == "json_schema" {
        let schema = &format["json_schema"];
        if !is_name(schema["name"].as_str().unwrap_or_default()) || !schema["schema"].is_object() {
            return Some(("response_format", "Missing required parameter: 'response_format.json_schema'."));
        }
        if schema["strict"] == true && schema["schema"]["additionalProperties"] != false {
            return Some(("response_format", "Invalid schema: 'additionalProperties' is required to be false."));
        }
    }
    let limits = ["max_tokens", "max_completion_tokens"];
    if limits.iter().all(|limit| !body[*limit].is_null()) {
        return Some(("max_tokens", "Setting 'max_tokens' and 'max_completion_tokens' together is not supported."));
    }
    if limits.iter().any(|limit| !body[*limit].is_null() && body[*limit].as_u64().is_none_or(|limit| limit == 0)) {
        return Some(("max_tokens", "Invalid 'max_tokens': integer below minimum value."));
    }
    if body["temperature"].as_f64().is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        return Some(("temperature", "Invalid 'temperature': decimal above maximum value."));
    }
    if !body["stream_options"].is_null() && body["stream"] != true {
        return Some(("stream_options", "The 'stream_options' parameter is only allowed when 'stream' is enabled."));
    }
    None
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// One for each four bytes, begun ones too.
fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

impl About {
    pub(super) fn new(body: &Value, model: String, cached: u64, number: u64) -> Self {
        let texts = body["messages"].as_array().into_iter().flatten().map(|message| match &message["content"] {
            Value::String(text) => tokens(text),
            Value::Null => 0,
            other => tokens(&other.to_string()),
        });
        let prompt_tokens = texts.sum();
        Self {
            id: format!("chatcmpl-{number}"),
            model: format!("{model}-2026-11-20"),
            wants_usage: body["stream_options"]["include_usage"] == true,
            prompt_tokens,
            cached_tokens: cached.min(prompt_tokens),
        }
    }

    /// The completion in one piece.
    pub(super) fn whole(&self, reply: &Reply) -> Value {
        let (text, calls, finish) = reply.said();
        if let Reply::ErrorInside { code, .. } = reply {
            return json!({"error": {"message": "words of the other side", "type": "server_error", "code": code}});
        }
        let calls: Vec<_> = (0..).zip(calls).map(|(n, asks)| self.call(n, &asks.name, &asks.arguments)).collect();
        let mut message = json!({
            "role": "assistant",
            "content": if text.is_empty() { Value::Null } else { text.into() },
            "refusal": null,
        });
        if let Reply::Refusal { text } = reply {
            message["refusal"] = text.as_str().into();
        }
        if matches!(reply, Reply::Endless) || matches!(reply, Reply::Text { text } if text.is_empty()) {
            message["content"] = "".into();
        }
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        let mut whole = self.object(
            "chat.completion",
            json!([{
                "index": 0, "message": message, "logprobs": null, "finish_reason": finish,
            }]),
        );
        if !matches!(reply, Reply::NoUsage { .. }) {
            whole["usage"] = self.usage(reply);
        }
        whole
    }

    /// The pieces of a stream, as far as it gets, without the event at the end.
    pub(super) fn pieces(&self, reply: &Reply) -> Vec<Value> {
        let (text, calls, finish) = reply.said();
        let mut pieces = vec![self.delta(json!({"role": "assistant", "content": "", "refusal": null}), None)];
        let words = text.split_inclusive(' ');
        pieces.extend(words.map(|word| self.piece(word)));
        if let Reply::Refusal { text } = reply {
            pieces.extend(text.split_inclusive(' ').map(|word| self.delta(json!({"refusal": word}), None)));
        }
        for (n, asks) in (0..).zip(calls) {
            let mut begun = self.call(n, &asks.name, "");
            begun["index"] = n.into();
            pieces.push(self.delta(json!({"tool_calls": [begun]}), None));
            for part in chunks(&asks.arguments, 5) {
                let more = json!({"index": n, "function": {"arguments": part}});
                pieces.push(self.delta(json!({"tool_calls": [more]}), None));
            }
        }
        if let Reply::ErrorInside { code, .. } = reply {
            let error = json!({"message": "words of the other side", "type": "server_error", "code": code});
            pieces.push(json!({"error": error}));
        }
        if let Some(finish) = finish {
            pieces.push(self.delta(json!({}), Some(finish)));
            if self.wants_usage && !matches!(reply, Reply::NoUsage { .. }) {
                let mut last = self.object("chat.completion.chunk", json!([]));
                last["usage"] = self.usage(reply);
                pieces.push(last);
            }
        }
        pieces
    }

    /// One piece of words.
    pub(super) fn piece(&self, words: &str) -> Value {
        self.delta(json!({"content": words}), None)
    }

    fn delta(&self, delta: Value, finish: Option<&str>) -> Value {
        let choices = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        let mut piece = self.object("chat.completion.chunk", choices);
        if self.wants_usage {
            piece["usage"] = Value::Null;
        }
        piece
    }

    fn call(&self, n: u64, name: &str, arguments: &str) -> Value {
        let id = format!("call_{}_{n}", self.id.trim_start_matches("chatcmpl-"));
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    fn object(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": CREATED, "model": self.model,
            "system_fingerprint": "fp_double", "choices": choices,
        })
    }

    /// What it costs.
    pub(super) fn usage(&self, reply: &Reply) -> Value {
        let (text, calls, _) = reply.said();
        let calls = calls.iter().map(|asks| tokens(&asks.name) + tokens(&asks.arguments)).sum::<u64>();
        let completion = tokens(text) + calls;
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        })
    }
}

/// `text` in parts of so many characters.
fn chunks(text: &str, chars: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(chars).map(|part| part.iter().collect()).collect()
}

/// The same text has the same direction, of length one.
pub(super) fn embeddings(model: &str, texts: &[String], dimensions: usize, is_base64: bool) -> Value {
    let data = texts.iter().enumerate().map(|(index, text)| {
        let numbers = embedding(text, dimensions);
        let embedding = if is_base64 {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Value::from(BASE64_STANDARD.encode(bytes))
        } else {
            Value::from(numbers)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let tokens: u64 = texts.iter().map(|text| tokens(text)).sum();
    let data: Vec<_> = data.collect();
    json!({"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut numbers = vec![0.0_f32; dimensions];
    for (n, byte) in text.bytes().enumerate() {
        numbers[(n + usize::from(byte)) % dimensions] += f32::from(byte) - 96.0;
    }
    numbers[0] += 1.0;
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    numbers.iter().map(|number| number / length).collect()
}
