//! `classify_issue` without a model provider: what a ticket is about, whose it is, how bad, in which tone and language.

mod artifact;
mod corpus;
mod cues;
mod local;
mod model;
mod tenant_model;
#[cfg(test)]
mod tests;
pub mod tone;

pub use artifact::ArtifactError;
pub use corpus::{Corpus, LearnOptions, Learned, Meaning, is_out_of_scope};
pub use local::LocalClassifier;
pub use model::*;
