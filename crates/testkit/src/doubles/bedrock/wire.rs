//! The service's objects.

use serde_json::{Value, json};

use super::{frame, reply::Reply};

/// What an answer says beside the model's words.
pub(super) struct About {
    number: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    forced: Option<String>,
}

/// One for each four bytes, begun ones too.
pub(super) fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

impl About {
    pub(super) fn new(body: &Value, cached: u64, number: u64) -> Self {
        let blocks =
            body["messages"].as_array().into_iter().flatten().flat_map(|message| message["content"].as_array());
        let prompt_tokens = blocks.flatten().map(|block| tokens(&block.to_string())).sum();
        Self { number, prompt_tokens, cached_tokens: cached.min(prompt_tokens), forced: forced(body) }
    }

    /// The answer in one piece.
    pub(super) fn whole(&self, reply: &Reply) -> Value {
        let said = reply.said(self.forced.as_deref());
        let mut content = Vec::new();
        if !said.text.is_empty() {
            content.push(json!({"text": said.text}));
        }
        for (n, asks) in said.calls.iter().enumerate() {
            let input = serde_json::from_str(&asks.arguments).unwrap_or_else(|_| Value::from(asks.arguments.clone()));
            content.push(json!({"toolUse": {"toolUseId": self.id(n), "name": asks.name, "input": input}}));
        }
        let mut whole = json!({
            "output": {"message": {"role": "assistant", "content": content}},
            "metrics": {"latencyMs": 7},
        });
        if let Some(stop) = said.stop {
            whole["stopReason"] = stop.into();
        }
        if !matches!(reply, Reply::NoUsage { .. }) {
            whole["usage"] = self.usage(reply);
        }
        whole
    }

    /// The frames of a stream, as far as it gets.
    pub(super) fn frames(&self, reply: &Reply) -> Vec<Vec<u8>> {
        let said = reply.said(self.forced.as_deref());
        let mut frames = vec![event("messageStart", json!({"role": "assistant"}))];
        let mut index = 0;
        if !said.text.is_empty() {
            frames.extend(said.text.split_inclusive(' ').map(|word| self.piece(word)));
            if said.stop.is_some() {
                frames.push(event("contentBlockStop", json!({"contentBlockIndex": index})));
            }
            index += 1;
        }
        for (n, asks) in said.calls.iter().enumerate() {
            let start = json!({"toolUse": {"toolUseId": self.id(n), "name": asks.name}});
            frames.push(event("contentBlockStart", json!({"contentBlockIndex": index, "start": start})));
            for part in chunks(&asks.arguments, 5) {
                let delta = json!({"toolUse": {"input": part}});
                frames.push(event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta})));
            }
            frames.push(event("contentBlockStop", json!({"contentBlockIndex": index})));
            index += 1;
        }
        match reply {
            Reply::ErrorInside { kind, .. } => {
                let payload = json!({"message": "words of the other side", "originalStatusCode": 500});
                frames.push(frame::exception(kind, &payload.to_string()));
            }
            Reply::Corrupt { .. } => {
                let mut frame = self.piece("words of the other side");
                *frame.last_mut().expect("a checksum") ^= 1;
                frames.push(frame);
            }
            _ => {}
        }
        if let Some(stop) = said.stop {
            frames.push(event("messageStop", json!({"stopReason": stop})));
            if !matches!(reply, Reply::NoUsage { .. }) {
                let metadata = json!({"usage": self.usage(reply), "metrics": {"latencyMs": 7}});
                frames.push(event("metadata", metadata));
            }
        }
        frames
    }

    /// One frame of words.
    pub(super) fn piece(&self, words: &str) -> Vec<u8> {
        event("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": words}}))
    }

    fn id(&self, n: usize) -> String {
        format!("tooluse_{}_{n}", self.number)
    }

    /// What it costs. Tokens from the cache are not among those of the input.
    pub(super) fn usage(&self, reply: &Reply) -> Value {
        let said = reply.said(self.forced.as_deref());
        let calls = said.calls.iter().map(|asks| tokens(&asks.name) + tokens(&asks.arguments)).sum::<u64>();
        let output = tokens(&said.text) + calls;
        json!({
            "inputTokens": self.prompt_tokens - self.cached_tokens,
            "outputTokens": output,
            "totalTokens": self.prompt_tokens + output,
            "cacheReadInputTokens": self.cached_tokens,
            "cacheWriteInputTokens": 0,
        })
    }
}

fn event(kind: &str, mut payload: Value) -> Vec<u8> {
    // As the service does: filling, so that the length of a frame tells nothing.
    payload["p"] = "abcdefgh"[..1 + kind.len() % 8].into();
    frame::event(kind, &payload.to_string())
}

/// The tool that the caller makes the model ask for: the one that it names, or the last, where any will do.
fn forced(body: &Value) -> Option<String> {
    let config = &body["toolConfig"];
    let last = || config["tools"].as_array().and_then(|tools| tools.last()).map(|tool| &tool["toolSpec"]["name"]);
    let choice = &config["toolChoice"];
    let name = choice.get("tool").map(|tool| &tool["name"]).or_else(|| choice.get("any").and_then(|_| last()));
    name.and_then(Value::as_str).map(str::to_owned)
}

/// `text` in parts of so many characters.
fn chunks(text: &str, chars: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(chars).map(|part| part.iter().collect()).collect()
}
