//! What Switchboard reads out of text, CPU-bound and without I/O: [`LocalClassifier`] classifies tickets and learns;
//! [`embed::LocalEmbedder`] makes vectors; [`Corpus`] learns from any labelled texts, which [`dataset`] reads; and [`eval`] says how well. It knows the core and nothing of storage
//! or HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod classify;
pub mod dataset;
pub mod embed;
pub mod eval;
pub mod learn;
pub mod text;

pub use classify::{
    ArtifactError, Corpus, HeldBack, LearnOptions, Learned, LocalClassifier, Meaning, Prediction, Reading, Stage,
    TextClassifier, TrainError, Trained, Training, is_out_of_scope, tone,
};
