use std::{borrow::Cow, cell::OnceCell};

use crate::{
    embed::Embedder,
    text::{Features, features},
};

/// A text, read once for all heads: its features at once, its embedding when somebody asks.
#[derive(Debug)]
pub struct Reading<'a> {
    text: &'a str,
    features: Features,
    embedding: OnceCell<Cow<'a, [f32]>>,
}

impl<'a> Reading<'a> {
    /// Reads `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, features: features(text), embedding: OnceCell::new() }
    }

    /// Reads `text`, whose embedding is known already.
    pub fn with_embedding(text: &'a str, embedding: &'a [f32]) -> Self {
        Self { text, features: features(text), embedding: OnceCell::from(Cow::Borrowed(embedding)) }
    }

    pub(super) fn features(&self) -> &Features {
        &self.features
    }

    pub(super) fn embedding(&self, embedder: &Embedder) -> &[f32] {
        self.embedding.get_or_init(|| Cow::Owned(embedder.embed(self.text)))
    }

    pub(super) fn known_embedding(&self) -> Option<&[f32]> {
        self.embedding.get().map(Cow::as_ref)
    }
}
