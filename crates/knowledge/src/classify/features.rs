//! Text as weighted features: words, pairs of words, and parts of words, each as a hash.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Parts of words, in characters. They carry typing errors, inflections and compound words.
const PART: std::ops::RangeInclusive<usize> = 3..=5;
/// Words of a text that count: what a ticket is about is said early.
const WORDS: usize = 400;

/// A map by features, which are hashes already.
pub(super) type ByFeature<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// Takes a hash as it is.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| step(hash, u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The features of `text`, one entry each time a feature occurs.
pub(super) fn features(text: &str) -> Vec<u64> {
    let lower = text.to_lowercase();
    let words = lower.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).take(WORDS);
    let mut found = Vec::with_capacity(1_024);
    let mut padded = Vec::with_capacity(32);
    let mut before = None;
    for word in words {
        let this = hash(1, word.chars());
        found.push(this);
        if let Some(before) = before.replace(this) {
            found.push(step(step(2, before), this));
        }
        padded.clear();
        padded.extend(std::iter::once('<').chain(word.chars().take(30)).chain(std::iter::once('>')));
        for length in PART {
            found.extend(padded.windows(length).map(|part| hash(3, part.iter().copied())));
        }
    }
    found
}

/// The same in every process, so that a text always has the same features.
fn hash(kind: u64, chars: impl Iterator<Item = char>) -> u64 {
    let hash = chars.fold(kind, |hash, char| step(hash, u64::from(char)));
    hash ^ (hash >> 29)
}

/// One step of a multiplicative hash; the constant is that of FxHash, whose bits spread well.
fn step(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95)
}
