//! Text as numbers: n-grams by hash, their weights, and the language.

mod features;
mod language;
mod vocabulary;

pub use features::{Features, features};
pub use language::{Detected, detect_language};
pub use vocabulary::{Vocabulary, VocabularyRecord};
