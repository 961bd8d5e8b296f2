use std::{
    borrow::Cow,
    cell::{OnceCell, RefCell},
    sync::Arc,
};

use crate::{
    embed::Embedder,
    learn::Sparse,
    text::{Features, Vocabulary, features},
};

/// A text over a vocabulary, and the share of its words that the vocabulary knows.
type Told = Arc<(Sparse, f32)>;

/// A text, read once for all heads: its features at once, its embedding when somebody asks.
#[derive(Debug)]
pub struct Reading<'a> {
    text: &'a str,
    features: Features,
    told: RefCell<Option<(Arc<Vocabulary>, Told)>>,
    embedding: OnceCell<Cow<'a, [f32]>>,
}

impl<'a> Reading<'a> {
    /// Reads `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, features: features(text), told: RefCell::default(), embedding: OnceCell::new() }
    }

    /// Reads `text`, whose embedding is known already.
    pub fn with_embedding(text: &'a str, embedding: &'a [f32]) -> Self {
        let embedding = OnceCell::from(Cow::Borrowed(embedding));
        Self { text, features: features(text), told: RefCell::default(), embedding }
    }

    /// The text over `vocabulary`. Heads that share one ask one after the other, and only the first has it looked up.
    pub(super) fn by(&self, vocabulary: &Arc<Vocabulary>) -> Told {
        let mut last = self.told.borrow_mut();
        match last.as_ref() {
            Some((known, told)) if Arc::ptr_eq(known, vocabulary) => Arc::clone(told),
            _ => {
                let told = Arc::new(vocabulary.read(&self.features));
                *last = Some((Arc::clone(vocabulary), Arc::clone(&told)));
                told
            }
        }
    }

    pub(in crate::classify) fn features(&self) -> &Features {
        &self.features
    }

    pub(super) fn embedding(&self, embedder: &Embedder) -> &[f32] {
        self.embedding.get_or_init(|| Cow::Owned(embedder.embed(self.text)))
    }

    pub(super) fn known_embedding(&self) -> Option<&[f32]> {
        self.embedding.get().map(Cow::as_ref)
    }
}
