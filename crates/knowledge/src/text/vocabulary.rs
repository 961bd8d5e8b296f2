use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use serde::{Deserialize, Serialize};

use super::Features;
use crate::learn::Sparse;

type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// Takes a hash as it is.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The features that a model knows, with their weights: TF-IDF with logarithmic counts, each block of length one.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    at: ByHash<(u32, f32)>,
}

/// A vocabulary as it is kept: the row of a feature is its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VocabularyRecord {
    /// The features.
    pub hashes: Vec<u64>,
    /// Their inverse document frequencies: `ln((1 + texts) / (1 + texts with it)) + 1`.
    pub idf: Vec<f32>,
}

impl Vocabulary {
    /// Learns the features that at least `least` of the `texts` have; when there are more than `most`, those of the most texts.
    pub fn learn(texts: &[&Features], most: usize, least: u32) -> Self {
        let mut frequency: ByHash<u32> = ByHash::default();
        for text in texts {
            for (hash, _) in text.words.iter().chain(&text.parts) {
                *frequency.entry(*hash).or_default() += 1;
            }
        }
        let mut found: Vec<(u64, u32)> = frequency.into_iter().collect();
        // By the hash where the frequency is the same: the same texts give the same vocabulary.
        found.sort_unstable_by_key(|(hash, count)| (std::cmp::Reverse(*count), *hash));
        found.retain(|(_, count)| *count >= least);
        found.truncate(most);
        let total = texts.len() as f32;
        let idf = |count: u32| ((1.0 + total) / (1.0 + count as f32)).ln() + 1.0;
        let record = VocabularyRecord {
            hashes: found.iter().map(|(hash, _)| *hash).collect(),
            idf: found.iter().map(|(_, count)| idf(*count)).collect(),
        };
        Self::from_record(&record)
    }

    /// The vocabulary that was kept.
    pub fn from_record(record: &VocabularyRecord) -> Self {
        let rows = record.hashes.iter().zip(&record.idf).zip(0u32..);
        Self { at: rows.map(|((hash, idf), row)| (*hash, (row, *idf))).collect() }
    }

    /// What is kept of it.
    pub fn to_record(&self) -> VocabularyRecord {
        let mut rows: Vec<(u32, u64, f32)> = self.at.iter().map(|(hash, (row, idf))| (*row, *hash, *idf)).collect();
        rows.sort_unstable_by_key(|(row, ..)| *row);
        VocabularyRecord {
            hashes: rows.iter().map(|(_, hash, _)| *hash).collect(),
            idf: rows.iter().map(|(.., idf)| *idf).collect(),
        }
    }

    /// Features known.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The text as a vector over the known features.
    pub fn vector(&self, text: &Features) -> Sparse {
        self.read(text).0
    }

    /// The text as a vector over the known features, and how much of it is known: the share of its words and pairs, 0 to 1,
    /// and 0 for a text without words. Each feature is looked up once: the tables are larger than the processor's caches.
    pub fn read(&self, text: &Features) -> (Sparse, f32) {
        let mut vector = Vec::with_capacity(text.words.len() + text.parts.len());
        let mut known_words = 0;
        for (n, block) in [&text.words, &text.parts].into_iter().enumerate() {
            let start = vector.len();
            for (hash, count) in block {
                if let Some((row, idf)) = self.at.get(hash) {
                    vector.push((*row, (1.0 + (*count as f32).ln()) * idf));
                }
            }
            let length = vector.iter().skip(start).map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
            if length > 0.0 {
                vector.iter_mut().skip(start).for_each(|(_, weight)| *weight /= length);
            }
            if n == 0 {
                known_words = vector.len();
            }
        }
        (Sparse(vector), known_words as f32 / text.words.len().max(1) as f32)
    }
}
