//! A model that makes vectors as a test wants it, without a wire.

use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use switchboard_core::{
    models::{BatchLimits, Embedded, ModelError, Purpose, Usage, embedding::wire},
    ports::Embedder,
    tenants::{EmbedLink, Tenant},
    untrusted::Untrusted,
};

/// What becomes of one call.
#[derive(Debug)]
pub enum Vectors {
    /// Vectors of so many dimensions: the first number says how long the text is. A token for each text.
    Of(usize),
    /// It fails.
    Fail(ModelError),
    /// Nothing, for ever.
    Hang,
}

type Script = dyn Fn(usize, &[String]) -> Vectors + Send + Sync;

/// An embedder that follows a script. A clone is the same embedder.
#[derive(Clone)]
pub struct ScriptedEmbedder {
    script: Arc<Script>,
    batch: BatchLimits,
    calls: Arc<Mutex<Vec<Vec<String>>>>,
}

impl ScriptedEmbedder {
    /// An embedder that takes `batch` in a call, and asks `script` for each what becomes of it: which call it is, from 0, and its
    /// texts.
    pub fn new(batch: BatchLimits, script: impl Fn(usize, &[String]) -> Vectors + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), batch, calls: Arc::default() }
    }

    /// The texts of all calls so far.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Embedder for ScriptedEmbedder {
    async fn embed(
        &self,
        _: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        _: Purpose,
    ) -> Result<Embedded, ModelError> {
        let texts: Vec<_> = texts.iter().map(|text| wire(text).to_owned()).collect();
        let nth = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(texts.clone());
            calls.len() - 1
        };
        match (self.script)(nth, &texts) {
            Vectors::Of(dimensions) => {
                let vector = |text: &String| {
                    let mut vector = vec![0.0; dimensions];
                    vector[0] = text.len() as f32;
                    vector
                };
                let vectors = texts.iter().map(vector).collect();
                Ok(Embedded { vectors, usage: Usage::of_input(texts.len() as u64), model: link.model.clone() })
            }
            Vectors::Fail(error) => Err(error),
            Vectors::Hang => pending().await,
        }
    }

    fn batch(&self, _: &Tenant, _: &EmbedLink) -> BatchLimits {
        self.batch
    }
}
