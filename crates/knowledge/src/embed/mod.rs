//! Sentence embeddings of all-MiniLM-L6-v2 on the CPU. The model is optional: it is read from a folder where somebody has
//! installed it, and nothing here downloads anything.

mod bert;
mod files;
mod local;
mod tokens;
mod weights;

use std::path::Path;

pub use files::{EmbedError, MODEL_FILES, ModelFile};
pub use local::{LocalEmbedder, Missing};

use bert::Bert;
use switchboard_core::tenants::OWN_EMBEDDING_MODEL;
use tokens::WordPiece;

/// Numbers of an embedding.
pub const DIMENSIONS: usize = 384;
/// The model, as artifacts remember it.
pub const MODEL_NAME: &str = OWN_EMBEDDING_MODEL;
/// Tokens of a text that are read, with the two around it: what a ticket is about is said early, and the time of a text is
/// proportional to its tokens.
const MOST_TOKENS: usize = 64;
/// The same where all of a text counts: as many as sentence-transformers lets the model read.
const MOST_TOKENS_OF_PASSAGE: usize = 256;
/// Tokens that are computed in one go: enough to keep the multiplications efficient, few enough for the cache.
const BATCH_TOKENS: usize = 512;

/// Turns texts into vectors of length one whose scalar product says how near their meanings are.
pub struct Embedder {
    tokens: WordPiece,
    bert: Bert,
}

impl Embedder {
    /// Reads the model in `folder`, after a look at the hashes of its files.
    pub fn open(folder: &Path) -> Result<Self, EmbedError> {
        let [weights, vocabulary] = files::read(folder)?;
        let tokens = WordPiece::new(&vocabulary)?;
        let bert = Bert::new(&weights)?;
        Ok(Self { tokens, bert })
    }

    /// The embedding of a text.
    pub fn embed(&self, text: &str) -> Vec<f32> {
        let tokens = self.tokens.ids(text, MOST_TOKENS);
        self.bert.embed(&[tokens]).pop().unwrap_or_default()
    }

    /// The embeddings of many texts, in their order, on `threads` threads; `done` is told after each group how many more
    /// are there.
    pub fn embed_all(&self, texts: &[&str], threads: usize, done: &(dyn Fn(usize) + Sync)) -> Vec<Vec<f32>> {
        self.embed_tokens(texts.iter().map(|text| self.tokens.ids(text, MOST_TOKENS)).collect(), threads, done)
    }

    /// The embeddings of texts of which all counts, in their order, on `threads` threads, and the tokens that were read: 256 of
    /// each at most.
    pub fn embed_passages(&self, texts: &[&str], threads: usize) -> (Vec<Vec<f32>>, usize) {
        let tokens: Vec<_> = texts.iter().map(|text| self.tokens.ids(text, MOST_TOKENS_OF_PASSAGE)).collect();
        let read = tokens.iter().map(Vec::len).sum();
        (self.embed_tokens(tokens, threads, &|_| ()), read)
    }

    fn embed_tokens(&self, texts: Vec<Vec<u32>>, threads: usize, done: &(dyn Fn(usize) + Sync)) -> Vec<Vec<f32>> {
        let mut order: Vec<(usize, Vec<u32>)> = texts.into_iter().enumerate().collect();
        // Texts of one length side by side share their work best.
        order.sort_by_key(|(_, tokens)| tokens.len());
        let next = std::sync::Mutex::new(groups(order));
        let mut embedded: Vec<(usize, Vec<f32>)> = std::thread::scope(|scope| {
            let worker = || {
                let mut own = Vec::new();
                loop {
                    let group = next.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
                    let Some(group) = group else { return own };
                    let (places, tokens): (Vec<usize>, Vec<Vec<u32>>) = group.into_iter().unzip();
                    own.extend(places.into_iter().zip(self.bert.embed(&tokens)));
                    done(tokens.len());
                }
            };
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
        });
        embedded.sort_by_key(|(place, _)| *place);
        embedded.into_iter().map(|(_, vector)| vector).collect()
    }
}

impl std::fmt::Debug for Embedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Embedder(all-MiniLM-L6-v2)")
    }
}

fn groups(order: Vec<(usize, Vec<u32>)>) -> Vec<Vec<(usize, Vec<u32>)>> {
    let mut groups = Vec::new();
    let (mut group, mut size) = (Vec::new(), 0);
    for one in order {
        size += one.1.len();
        group.push(one);
        if size >= BATCH_TOKENS {
            groups.push(std::mem::take(&mut group));
            size = 0;
        }
    }
    groups.push(group);
    groups
}
