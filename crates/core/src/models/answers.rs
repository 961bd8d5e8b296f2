//! Answers that are given again when the same is asked.

use std::{sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use super::{Answer, Message, Part, Prompt};
use crate::{
    limits,
    ports::Clock,
    tenants::{ModelLink, Tenant},
};

/// Answers by the hash of all that was asked, bounded in bytes and time. Only what could be read is kept.
pub(super) struct Answers {
    kept: moka::sync::Cache<Key, Arc<Kept>>,
    clock: Arc<dyn Clock>,
}

/// SHA-256 of tenant, provider, model and prompt.
pub(super) type Key = [u8; 32];

struct Kept {
    answer: Answer,
    at: Duration,
}

/// What an answer takes beside its words.
const OVERHEAD: usize = 512;

impl Answers {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let weight = |_: &Key, kept: &Arc<Kept>| {
            let calls = kept.answer.calls.iter().map(|call| call.wire_input().len() + call.name.len() + call.id.len());
            let bytes = OVERHEAD + kept.answer.text.for_model().len() + calls.sum::<usize>();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self {
            kept: moka::sync::Cache::builder().max_capacity(limits::MODEL_CACHE_BYTES).weigher(weight).build(),
            clock,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Answer> {
        let kept = self.kept.get(key)?;
        let age = self.clock.monotonic().saturating_sub(kept.at);
        (age < limits::MODEL_CACHE_TIME).then(|| kept.answer.clone())
    }

    pub(super) fn keep(&self, key: Key, answer: Answer) {
        self.kept.insert(key, Arc::new(Kept { answer, at: self.clock.monotonic() }));
    }
}

/// The key of a question. Every part is hashed with its length, so that no two questions run together.
pub(super) fn key(tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Key {
    let mut hash = Hash(Sha256::new());
    hash.text(tenant.id.as_str());
    hash.text(link.provider.as_str());
    hash.text(&link.model);
    hash.text(&prompt.system);
    hash.number(prompt.messages.len());
    for message in &prompt.messages {
        hash.message(message);
    }
    hash.number(prompt.tools.len());
    for tool in &prompt.tools {
        hash.text(&tool.name);
        hash.text(&tool.description);
        hash.text(&tool.input.to_string());
    }
    match &prompt.schema {
        Some(schema) => {
            hash.text(&schema.name);
            hash.text(&schema.schema.to_string());
        }
        None => hash.text(""),
    }
    hash.number(prompt.max_tokens as usize);
    hash.text(&prompt.temperature.map(|temperature| temperature.to_string()).unwrap_or_default());
    hash.0.finalize().into()
}

struct Hash(Sha256);

impl Hash {
    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text);
    }

    fn message(&mut self, message: &Message) {
        match message {
            Message::User(parts) => {
                self.text("user");
                self.number(parts.len());
                for part in parts {
                    // As a quoted part and a trusted one can look alike.
                    self.text(if matches!(part, Part::Trusted(_)) { "trusted" } else { "quoted" });
                    self.text(&part.wire());
                }
            }
            Message::Assistant { text, calls } => {
                self.text("assistant");
                self.text(text.for_model());
                self.number(calls.len());
                for call in calls {
                    self.text(&call.id);
                    self.text(&call.name);
                    self.text(call.wire_input());
                }
            }
            Message::Tools(results) => {
                self.text("tools");
                self.number(results.len());
                for result in results {
                    self.text(&result.id);
                    self.text(result.wire());
                    self.text(if result.is_error { "error" } else { "output" });
                }
            }
        }
    }
}
