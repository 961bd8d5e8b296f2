//! Text as weighted features: words, pairs of words, and parts of words, each as a hash.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Parts of words, in characters. They carry typing errors, inflections and compound words.
const PART: std::ops::RangeInclusive<usize> = 3..=5;
/// Words of a text that count: what a ticket is about is said early.
const WORDS: usize = 400;

/// The features of `text`, one entry each time a feature occurs.
pub(super) fn features(text: &str) -> Vec<u64> {
    let lower = text.to_lowercase();
    let words = lower.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).take(WORDS);
    let mut found = Vec::with_capacity(1_024);
    let mut before: Option<&str> = None;
    for word in words {
        found.push(hash(&("word", word)));
        if let Some(before) = before {
            found.push(hash(&("pair", before, word)));
        }
        before = Some(word);
        parts(word, &mut found);
    }
    found
}

fn parts(word: &str, found: &mut Vec<u64>) {
    let padded: Vec<char> = std::iter::once('<').chain(word.chars().take(30)).chain(std::iter::once('>')).collect();
    for length in PART {
        found.extend(padded.windows(length).map(|part| hash(&("part", part))));
    }
}

fn hash(value: &impl Hash) -> u64 {
    // The keys of `DefaultHasher::new` are fixed, so a text has the same features in every process.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
