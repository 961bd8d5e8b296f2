//! Learning from rows and measuring on others.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;
use switchboard_core::ports::Clock;

use super::{
    Metrics,
    metrics::{Answer, measure, share},
    routing::{self, Curve, LearnedThreshold},
    split::text_key,
};
use crate::{
    Corpus, LearnOptions, Learned, Meaning, Reading, Stage, TrainError, dataset::Row, embed::Embedder, is_out_of_scope,
};

/// Mistakes that are kept for people to read.
const MISTAKES: usize = 20;
/// Characters of a text that are kept with them.
const MISTAKE_CHARS: usize = 300;

/// How to learn and measure.
#[derive(Clone, Copy)]
pub struct EvalOptions<'a> {
    /// The embedding model, when it is installed and wanted.
    pub embedder: Option<&'a Embedder>,
    /// Threads to learn with. Latency is measured on one.
    pub threads: usize,
    /// Where orders and splits come from.
    pub seed: u64,
    /// The clock to measure with.
    pub clock: &'a dyn Clock,
    /// Is told how far the work is.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

/// How far the work is: done and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Texts are embedded.
    Embedding(usize, usize),
    /// The model is trained.
    Training,
    /// Test texts are classified.
    Testing(usize, usize),
}

/// Why nothing can be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Nothing can be learned.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// There is nothing to tell apart.
    #[error("all {rows} rows to learn from have the label `{label}`: two labels at least are needed")]
    OneLabel {
        /// The only one.
        label: String,
        /// Rows to learn from.
        rows: usize,
    },
    /// There is nothing to test with.
    #[error("there is no row to test with: each label occurs only once, so that nothing can be held back")]
    NothingToTest,
    /// All test texts are known.
    #[error(
        "all {rows} texts to test with are also learned from, which measures memory and nothing else: test with other texts"
    )]
    AllSeen {
        /// Rows to test with.
        rows: usize,
    },
}

/// The figures of one evaluation, as `switchboard eval --json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// How good the answers are.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The time of one answer.
    pub latency_ms: Latency,
    /// What one answer costs in US dollars: nothing, it is computed here.
    pub cost_usd_per_item: f64,
    /// By precision: thresholds that were learned from held-back training texts, and what they give on the test.
    pub thresholds: BTreeMap<String, LearnedThreshold>,
    /// Test texts that were learned from too.
    pub seen_texts: SeenTexts,
    /// Test rows whose label does not occur in training; they count as wrong.
    pub unknown_label_rows: usize,
    /// What was learned from.
    pub training: TrainingFacts,
}

/// The time from a text to its answer in milliseconds, embedding included; one text at a time on one core.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    /// Half of the answers were quicker.
    pub p50: f64,
    /// 99 of 100 answers were quicker.
    pub p99: f64,
    /// The same for each stage that answered.
    pub stages: BTreeMap<&'static str, Percentiles>,
}

/// The time of some answers in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the answers were quicker.
    pub p50: f64,
    /// 99 of 100 answers were quicker.
    pub p99: f64,
}

/// Test texts that were learned from too: possible with a test file of its own only.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SeenTexts {
    /// Test rows whose text occurs in training.
    pub rows: usize,
    /// The accuracy over the other test rows in scope.
    pub unseen_accuracy: f64,
    /// The number of these.
    pub unseen_n: usize,
}

/// What was learned from, and how.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrainingFacts {
    /// Rows with a label.
    pub examples: usize,
    /// Rows that are out of scope.
    pub out_of_scope: usize,
    /// Labels.
    pub labels: usize,
    /// The time to learn, embedding included.
    pub seconds: f64,
    /// What became of the embeddings: `used`, `not_worth_it`, `not_there`.
    pub meaning: &'static str,
    /// Where orders and splits came from.
    pub seed: u64,
}

/// A test text that was answered wrongly.
#[derive(Clone, Debug, Serialize)]
pub struct Mistake {
    /// The line of the file.
    pub line: u64,
    /// The beginning of the text.
    pub text: String,
    /// The true label.
    pub label: String,
    /// The answered one.
    pub predicted: String,
    /// How sure the answer was.
    pub confidence: f64,
}

/// An evaluation with texts for people to read.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The figures.
    pub evaluation: Evaluation,
    /// The wrong answers that were surest.
    pub mistakes: Vec<Mistake>,
}

/// Learns from `train` and measures on `test`.
pub fn evaluate(train: &[Row], test: &[Row], options: &EvalOptions<'_>) -> Result<Evaluated, EvalError> {
    if test.is_empty() {
        return Err(EvalError::NothingToTest);
    }
    let known: HashSet<u64> = train.iter().map(|row| text_key(&row.text)).collect();
    let seen: Vec<bool> = test.iter().map(|row| known.contains(&text_key(&row.text))).collect();
    if seen.iter().all(|seen| *seen) {
        return Err(EvalError::AllSeen { rows: test.len() });
    }
    let studied = study(train, options)?;
    let mut names = studied.corpus.labels().to_vec();
    let trained = names.len() as u32;
    let truths = truths(&studied.corpus, &mut names, test);
    let mut latencies = Vec::with_capacity(test.len());
    let mut answers = Vec::with_capacity(test.len());
    for (n, (row, truth)) in test.iter().zip(truths).enumerate() {
        let before = options.clock.monotonic();
        let prediction = studied.learned.trained.classifier.predict(&Reading::new(&row.text), options.embedder);
        latencies.push((prediction.stage, options.clock.monotonic().saturating_sub(before)));
        answers.push(Answer::new(truth, &prediction));
        (options.progress)(Progress::Testing(n + 1, test.len()));
    }
    let unseen = answers.iter().zip(&seen).filter(|(answer, seen)| !**seen && answer.truth.is_some());
    let (unseen_n, unseen_right) =
        unseen.fold((0, 0), |(n, right), (answer, _)| (n + 1, right + usize::from(answer.is_right())));
    let evaluation = Evaluation {
        metrics: measure(&names, &answers),
        latency_ms: latency(&latencies),
        cost_usd_per_item: 0.0,
        thresholds: routing::learned(&Curve::of(&studied.held_back()), &answers),
        seen_texts: SeenTexts {
            rows: seen.iter().filter(|seen| **seen).count(),
            unseen_accuracy: share(unseen_right, unseen_n),
            unseen_n,
        },
        unknown_label_rows: answers.iter().filter(|answer| answer.truth.is_some_and(|at| at >= trained)).count(),
        training: studied.facts,
    };
    let mistakes = surest_mistakes(test, &answers, &names);
    Ok(Evaluated { evaluation, mistakes })
}

/// What was learned from rows.
pub(super) struct Studied {
    pub(super) corpus: Corpus,
    pub(super) learned: Learned,
    pub(super) facts: TrainingFacts,
}

impl Studied {
    /// The predictions for the examples by models that had not learned from them, in the order of the examples.
    pub(super) fn held_back(&self) -> Vec<Answer> {
        let labels: Vec<u32> = self.corpus.examples().map(|(_, label)| label).collect();
        let held = self.learned.trained.held_back.iter();
        held.map(|held| Answer::new(labels.get(held.example).copied(), &held.prediction)).collect()
    }
}

pub(super) fn study(rows: &[Row], options: &EvalOptions<'_>) -> Result<Studied, EvalError> {
    let mut corpus = Corpus::new();
    for row in rows {
        corpus.add(row.text.clone(), &row.label);
    }
    if let [only] = corpus.labels() {
        return Err(EvalError::OneLabel { label: only.clone(), rows: rows.len() });
    }
    let before = options.clock.monotonic();
    (options.progress)(Progress::Training);
    let embedding = |done, all| {
        (options.progress)(if done == all { Progress::Training } else { Progress::Embedding(done, all) });
    };
    let learned = corpus.learn(&LearnOptions {
        embedder: options.embedder,
        vocabulary: None,
        threads: options.threads,
        seed: options.seed,
        progress: &embedding,
    })?;
    let facts = TrainingFacts {
        examples: corpus.examples().count(),
        out_of_scope: corpus.strangers(),
        labels: corpus.labels().len(),
        seconds: options.clock.monotonic().saturating_sub(before).as_secs_f64(),
        meaning: match learned.meaning {
            Meaning::Used => "used",
            Meaning::NotWorthIt => "not_worth_it",
            Meaning::NotInstalled => "not_there",
        },
        seed: options.seed,
    };
    Ok(Studied { corpus, learned, facts })
}

/// The true labels of the test; those that training does not know get places behind the others.
fn truths(corpus: &Corpus, names: &mut Vec<String>, test: &[Row]) -> Vec<Option<u32>> {
    let mut unknown: HashMap<String, u32> = HashMap::new();
    test.iter()
        .map(|row| {
            if is_out_of_scope(&row.label) {
                return None;
            }
            Some(corpus.label(&row.label).unwrap_or_else(|| {
                *unknown.entry(row.label.trim().to_lowercase()).or_insert_with(|| {
                    names.push(row.label.clone());
                    names.len() as u32 - 1
                })
            }))
        })
        .collect()
}

fn latency(measured: &[(Stage, Duration)]) -> Latency {
    let of = |stage: Option<Stage>| {
        let mut times: Vec<f64> = measured
            .iter()
            .filter(|(one, _)| stage.is_none_or(|stage| *one == stage))
            .map(|(_, time)| time.as_secs_f64() * 1_000.0)
            .collect();
        times.sort_by(f64::total_cmp);
        (!times.is_empty()).then(|| Percentiles { p50: percentile(&times, 0.5), p99: percentile(&times, 0.99) })
    };
    let all = of(None).unwrap_or_default();
    let stages = [("one", Stage::One), ("two", Stage::Two)];
    let stages = stages.into_iter().filter_map(|(name, stage)| of(Some(stage)).map(|found| (name, found)));
    Latency { p50: all.p50, p99: all.p99, stages: stages.collect() }
}

/// The smallest value that at least `share` of the `sorted` values do not exceed (nearest rank).
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The wrong answers that were surest, out-of-scope texts that were answered among them.
pub(super) fn surest_mistakes(rows: &[Row], answers: &[Answer], names: &[String]) -> Vec<Mistake> {
    let is_rightly_rejected = |answer: &Answer| answer.truth.is_none() && answer.rejected;
    let wrong = |answer: &Answer| !answer.is_right() && !is_rightly_rejected(answer);
    let mut mistakes: Vec<_> = rows.iter().zip(answers).filter(|(_, answer)| wrong(answer)).collect();
    mistakes.sort_by(|one, other| other.1.confidence.total_cmp(&one.1.confidence));
    let of = |(row, answer): (&Row, &Answer)| Mistake {
        line: row.line,
        text: row.text.chars().take(MISTAKE_CHARS).collect(),
        label: row.label.clone(),
        predicted: names.get(answer.label as usize).cloned().unwrap_or_default(),
        confidence: answer.confidence,
    };
    mistakes.into_iter().take(MISTAKES).map(of).collect()
}

#[cfg(test)]
mod tests;
