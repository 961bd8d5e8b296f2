//! What Switchboard reads out of text, CPU-bound and without I/O. Today that is [`NearestExample`], which classifies
//! tickets by the tenant's own categories, descriptions and examples; [`Corpus`], which learns from labelled texts; and
//! [`eval`], which says how well. It knows the core and nothing of storage or HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod classify;
pub mod dataset;
pub mod embed;
pub mod eval;
pub mod learn;
pub mod text;

pub use classify::{
    Corpus, HeldBack, LearnOptions, Learned, Meaning, NearestExample, Prediction, Reading, Stage, TextClassifier,
    TrainError, Trained, Training, is_out_of_scope,
};
