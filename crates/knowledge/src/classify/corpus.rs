//! From labelled texts to a classifier: which label a text has, what labels mean, and whether the embeddings are worth their
//! time.

use std::{collections::HashMap, sync::Arc};

use super::model::{Reading, Stage, TextClassifier, TrainError, Trained, Training};
use crate::{embed::Embedder, learn::holdout, text::Vocabulary};

/// Labels that stand for "none of the others", in lower case without separators.
const OUT_OF_SCOPE: [&str; 5] = ["oos", "ood", "outofscope", "outofdomain", "noneoftheabove"];
/// From so many examples on, a sample tells first whether embeddings help.
const MANY_EXAMPLES: usize = 3_000;
/// The size of that sample.
const SAMPLE: usize = 2_000;
/// The held-back accuracy that embeddings must add to be worth their time.
const WORTH: f64 = 0.003;

/// Texts with labels, as data brings them.
#[derive(Debug, Default)]
pub struct Corpus {
    names: Vec<String>,
    meanings: Vec<Option<String>>,
    by_key: HashMap<String, u32>,
    texts: Vec<(String, Option<u32>)>,
    merged: Vec<(String, String)>,
}

/// How a corpus is learned.
#[derive(Clone, Copy)]
pub struct LearnOptions<'a> {
    /// The embedding model, when it is installed and wanted.
    pub embedder: Option<&'a Embedder>,
    /// The words to tell texts by, where classifiers share them.
    pub vocabulary: Option<&'a Arc<Vocabulary>>,
    /// Threads to use.
    pub threads: usize,
    /// Where orders and splits come from.
    pub seed: u64,
    /// Is told how many of how many texts are embedded.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

/// Whether the embeddings came into it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// No embedding model.
    NotInstalled,
    /// On held-back examples they added less than a third of a percentage point: stage one answers alone.
    NotWorthIt,
    /// Stage two is there.
    Used,
}

/// What was learned from a corpus.
#[derive(Debug)]
pub struct Learned {
    /// The classifier and its held-back predictions; examples are numbered as [`Corpus::examples`] gives them.
    pub trained: Trained,
    /// Whether the embeddings came into it.
    pub meaning: Meaning,
}

impl Corpus {
    /// An empty corpus.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a label with what it means; the same label in another case is the same.
    pub fn add_label(&mut self, name: &str, meaning: Option<&str>) -> u32 {
        let key = name.trim().to_lowercase();
        if let Some(known) = self.by_key.get(&key) {
            let first = self.names.get(*known as usize).cloned().unwrap_or_default();
            if first != name.trim() && !self.merged.iter().any(|(_, other)| other == name.trim()) {
                self.merged.push((first, name.trim().to_owned()));
            }
            return *known;
        }
        let at = self.names.len() as u32;
        self.names.push(name.trim().to_owned());
        self.meanings.push(meaning.map(str::to_owned));
        self.by_key.insert(key, at);
        at
    }

    /// Adds a text of a label.
    pub fn add(&mut self, text: String, label: &str) {
        if is_out_of_scope(label) {
            self.add_stranger(text);
        } else {
            let label = self.add_label(label, None);
            self.texts.push((text, Some(label)));
        }
    }

    /// Adds a text that is about none of the labels.
    pub fn add_stranger(&mut self, text: String) {
        self.texts.push((text, None));
    }

    /// The labels.
    pub fn labels(&self) -> &[String] {
        &self.names
    }

    /// The label of that name.
    pub fn label(&self, name: &str) -> Option<u32> {
        self.by_key.get(&name.trim().to_lowercase()).copied()
    }

    /// Labels that differed by case only and count as one: the first spelling and the other.
    pub fn merged(&self) -> &[(String, String)] {
        &self.merged
    }

    /// Texts that are about none of the labels.
    pub fn strangers(&self) -> usize {
        self.texts.iter().filter(|(_, label)| label.is_none()).count()
    }

    /// Texts with a label, in order.
    pub fn examples(&self) -> impl Iterator<Item = (&str, u32)> {
        self.texts.iter().filter_map(|(text, label)| label.map(|label| (text.as_str(), label)))
    }

    /// Learns a classifier. With an embedding model, a second stage is added where held-back examples show that it helps.
    pub fn learn(&self, options: &LearnOptions<'_>) -> Result<Learned, TrainError> {
        let Some(embedder) = options.embedder else {
            return Ok(Learned { trained: self.train(None, options)?, meaning: Meaning::NotInstalled });
        };
        let not_worth_it = || Ok(Learned { trained: self.train(None, options)?, meaning: Meaning::NotWorthIt });
        if self.texts.len() > MANY_EXAMPLES {
            let sample = self.sample(options.seed);
            let (with, without) = (sample.with_meaning(embedder, options)?, sample.train(None, options)?);
            if sample.accuracy(&with) < sample.accuracy(&without) + WORTH {
                return not_worth_it();
            }
        }
        let trained = self.with_meaning(embedder, options)?;
        // Where the first stage is as good, nobody is ever unsure enough to ask the second.
        if !trained.held_back.is_empty() && trained.held_back.iter().all(|held| held.prediction.stage == Stage::One) {
            return not_worth_it();
        }
        Ok(Learned { trained, meaning: Meaning::Used })
    }

    fn with_meaning(&self, embedder: &Embedder, options: &LearnOptions<'_>) -> Result<Trained, TrainError> {
        let spoken = self.spoken();
        let texts: Vec<&str> = self.texts.iter().map(|(text, _)| text).chain(&spoken).map(String::as_str).collect();
        let (done, all) = (std::sync::atomic::AtomicUsize::new(0), texts.len());
        let embedded = embedder.embed_all(&texts, options.threads, &|more| {
            let done = done.fetch_add(more, std::sync::atomic::Ordering::Relaxed) + more;
            (options.progress)(done, all);
        });
        self.train(Some(&embedded), options)
    }

    /// What each label means: what somebody said, or else its name in words.
    fn spoken(&self) -> Vec<String> {
        let named = |name: &String| name.replace(['_', '-', '.', '/'], " ");
        let both = self.names.iter().zip(&self.meanings);
        both.map(|(name, meaning)| meaning.clone().unwrap_or_else(|| named(name))).collect()
    }

    /// `embedded` are the embeddings of all texts, then of what the labels mean.
    fn train(&self, embedded: Option<&[Vec<f32>]>, options: &LearnOptions<'_>) -> Result<Trained, TrainError> {
        let spoken = self.spoken();
        let reading = |text, place: usize| match embedded.and_then(|embedded| embedded.get(place)) {
            Some(embedding) => Reading::with_embedding(text, embedding),
            None => Reading::new(text),
        };
        let (mut examples, mut strangers) = (Vec::new(), Vec::new());
        for (place, (text, label)) in self.texts.iter().enumerate() {
            match label {
                Some(label) => examples.push((reading(text, place), *label)),
                None => strangers.push(reading(text, place)),
            }
        }
        let descriptions =
            spoken.iter().enumerate().map(|(n, text)| (reading(text, self.texts.len() + n), n as u32)).collect();
        TextClassifier::train(&Training {
            labels: self.names.clone(),
            examples,
            descriptions,
            strangers,
            vocabulary: options.vocabulary.cloned(),
            threads: options.threads,
            seed: options.seed,
        })
    }

    /// A part of the texts with the proportions of the whole.
    fn sample(&self, seed: u64) -> Self {
        let labels: Vec<u32> = self.texts.iter().map(|(_, label)| label.map_or(0, |label| label + 1)).collect();
        let kept = holdout(&labels, SAMPLE as f64 / self.texts.len() as f64, seed);
        let texts = self.texts.iter().zip(kept).filter(|(_, kept)| *kept).map(|(text, _)| text.clone()).collect();
        Self {
            names: self.names.clone(),
            meanings: self.meanings.clone(),
            by_key: self.by_key.clone(),
            texts,
            merged: Vec::new(),
        }
    }

    fn accuracy(&self, trained: &Trained) -> f64 {
        let labels: Vec<u32> = self.examples().map(|(_, label)| label).collect();
        let right = trained
            .held_back
            .iter()
            .filter(|held| labels.get(held.example).is_some_and(|label| held.prediction.top().0 == *label as usize));
        right.count() as f64 / labels.len().max(1) as f64
    }
}

/// Whether a label stands for "none of the others".
pub fn is_out_of_scope(label: &str) -> bool {
    let plain: String = label.chars().filter(|char| char.is_alphanumeric()).collect::<String>().to_lowercase();
    OUT_OF_SCOPE.contains(&plain.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: LearnOptions<'static> =
        LearnOptions { embedder: None, vocabulary: None, threads: 2, seed: 1, progress: &|_, _| () };

    #[test]
    fn labels_that_differ_by_case_are_one() {
        let mut corpus = Corpus::new();
        for label in ["Billing", "billing ", "BILLING", "Access", "oos", "Out-of-Scope"] {
            corpus.add(format!("a text of {label}"), label);
        }
        assert_eq!(corpus.labels(), ["Billing", "Access"]);
        assert_eq!(corpus.merged().len(), 2);
        assert_eq!(corpus.strangers(), 2);
        assert_eq!(corpus.label(" bILLING"), Some(0));
    }

    #[test]
    fn odd_corpora_are_answered() {
        let corpus = Corpus::new();
        assert_eq!(corpus.learn(&OPTIONS).err(), Some(TrainError::NoExamples));
        let mut corpus = Corpus::new();
        corpus.add("only one".to_owned(), "a");
        let learned = corpus.learn(&OPTIONS).expect("one label is trivial");
        let said = learned.trained.classifier.predict(&Reading::new("anything"), None);
        assert_eq!(said.probabilities, [1.0]);
        let mut corpus = Corpus::new();
        for n in 0..3_000 {
            corpus.add(format!("text {n}"), &format!("label {n}"));
        }
        assert_eq!(corpus.learn(&OPTIONS).err(), Some(TrainError::TooManyLabels { found: 3_000 }));
        let mut corpus = Corpus::new();
        for n in 0..40 {
            corpus.add(String::new(), if n % 2 == 0 { "a" } else { "b" });
        }
        let learned = corpus.learn(&OPTIONS).expect("empty texts teach nothing and break nothing");
        let said = learned.trained.classifier.predict(&Reading::new(""), None);
        assert!((said.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{said:?}");
    }

    #[test]
    fn what_was_learned_is_told_apart_and_repeats() {
        let mut corpus = Corpus::new();
        for n in 0..40 {
            corpus.add(format!("my invoice number {n} has a wrong amount"), "billing");
            corpus.add(format!("router number {n} shows no light and no internet"), "technical");
        }
        let learned = corpus.learn(&OPTIONS).expect("two labels");
        let said = learned.trained.classifier.predict(&Reading::new("the amount on the invoice"), None);
        assert_eq!(said.top().0, 0);
        assert!(said.top().1 > 0.8, "{said:?}");
        let again = corpus.learn(&OPTIONS).expect("two labels");
        assert_eq!(again.trained.classifier.predict(&Reading::new("the amount on the invoice"), None), said);
    }
}
