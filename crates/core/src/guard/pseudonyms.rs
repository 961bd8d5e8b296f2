//! Covers a text for a model, so that our own side can put back what was covered.

use std::{collections::HashMap, fmt};

use super::redact::{self, Redaction};
use crate::untrusted::Untrusted;

/// The stand-ins of one conversation and what they stand for: `[email_1]`, `[email_2]`. The same words get the same stand-in
/// in every text. Kept in memory only: it has no `Display` and no `Serialize`, and `Debug` tells only how many there are.
#[derive(Default)]
pub struct Pseudonyms {
    originals: HashMap<String, String>,
    by_original: HashMap<(String, String), String>,
    counts: HashMap<String, usize>,
}

impl Pseudonyms {
    /// `text` with each piece of personal data replaced by its stand-in. The rest is still words from outside.
    pub fn cover(&mut self, text: &Untrusted<String>, redaction: &Redaction<'_>) -> Untrusted<String> {
        let text = text.for_redaction();
        let pieces = redact::pieces(text, redaction);
        let there = redact::stand_ins(text, redaction);
        let covered = redact::replace(text, &pieces, |piece| {
            let key = (piece.stand_in.to_owned(), text[piece.range.clone()].to_owned());
            if let Some(known) = self.by_original.get(&key) {
                return known.clone();
            }
            let count = self.counts.entry(key.0.clone()).or_default();
            // What a customer typed in brackets must not become somebody's address.
            let stand_in = loop {
                *count += 1;
                let stand_in = format!("[{}_{count}]", key.0);
                if !there.contains(stand_in.as_str()) {
                    break stand_in;
                }
            };
            self.originals.insert(stand_in.clone(), key.1.clone());
            self.by_original.insert(key, stand_in.clone());
            stand_in
        });
        Untrusted::new(covered)
    }

    /// `text`, a model's answer for instance, with what the stand-ins stand for. Unknown ones stay as they are.
    pub fn restore(&self, text: &Untrusted<String>) -> Untrusted<String> {
        let text = text.for_redaction();
        let mut restored = String::with_capacity(text.len());
        let mut from = 0;
        for (open, _) in text.match_indices('[') {
            let Some(length) = text[open..].bytes().take(LONGEST).position(|byte| byte == b']') else { continue };
            if let Some(original) = self.originals.get(&text[open..=open + length]) {
                restored.push_str(&text[from..open]);
                restored.push_str(original);
                from = open + length + 1;
            }
        }
        restored.push_str(&text[from..]);
        Untrusted::new(restored)
    }
}

/// Bytes of the longest stand-in: a kind's name, a number, brackets.
const LONGEST: usize = 64 + 24;

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pseudonyms({})", self.originals.len())
    }
}
