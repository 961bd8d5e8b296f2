//! Training: folds for held-back predictions, calibration on them, then the model from everything.

use std::sync::Arc;

use super::{
    Prediction, Reading, Stage, StageOne, StageTwo, TextClassifier, likeness, meaning,
    scope::{Scope, Signs},
    top,
};
use crate::{
    embed::DIMENSIONS,
    learn::{Isotonic, Linear, Packed, Random, Sparse, TrainOptions, combined, fit_scales, folds},
    text::{Features, Vocabulary},
};

/// Labels that a model can tell apart.
const MOST_LABELS: usize = 2_000;
/// Weights of one stage: at one byte each, both stages stay below 20 MB.
const MOST_WEIGHTS: usize = 8_000_000;
/// Features of a model with few labels.
const MOST_FEATURES: usize = 200_000;
/// From so many examples on, a feature must occur in two of them.
const MANY_EXAMPLES: usize = 1_000;
/// Examples times labels that training holds in memory, four bytes each.
const MOST_CELLS: usize = 100_000_000;
/// Parts into which the data is cut for held-back predictions.
const FOLDS: usize = 5;
/// Fewer examples of each label are few.
const FEW_PER_LABEL: usize = 30;
/// The parts where examples are few: what is held back must leave enough to learn from.
const FEW_FOLDS: usize = 10;
/// Fewer known strangers teach less than labels that are left out.
const ENOUGH_STRANGERS: usize = 20;
/// Groups of labels that are left out in turn.
const GROUPS: usize = 3;
/// Examples that learn what a left-out label looks like.
const GROUP_EXAMPLES: usize = 6_000;
/// Stage one never answers alone when it is less sure than this.
const LEAST_SURE: f32 = 0.6;
/// Accuracy that the cascade may lose against asking stage two always.
const CASCADE_LOSS: f64 = 0.000_5;

/// What a classifier is trained from. It gets a second stage when the embeddings of all texts are known.
pub struct Training<'a> {
    /// The labels.
    pub labels: Vec<String>,
    /// Texts with the place of their label.
    pub examples: Vec<(Reading<'a>, u32)>,
    /// What each label means, where somebody says so: counts as an example and is never held back.
    pub descriptions: Vec<(Reading<'a>, u32)>,
    /// Texts that are about none of the labels.
    pub strangers: Vec<Reading<'a>>,
    /// The words to tell texts by, where classifiers share them; otherwise they are learned from the texts.
    pub vocabulary: Option<Arc<Vocabulary>>,
    /// Threads to use.
    pub threads: usize,
    /// Where orders and splits come from.
    pub seed: u64,
}

/// Why nothing can be learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to learn from.
    #[error("there is no example with a text and a label")]
    NoExamples,
    /// There are more labels than a model can tell apart.
    #[error(
        "there are {found} labels; at most {MOST_LABELS} can be told apart: choose a coarser label, or merge rare ones"
    )]
    TooManyLabels {
        /// Labels found.
        found: usize,
    },
}

/// A prediction for an example that the model had not learned from.
#[derive(Clone, Debug)]
pub struct HeldBack {
    /// The example, by its place.
    pub example: usize,
    /// What was said of it.
    pub prediction: Prediction,
}

/// A trained classifier and how it did on held-back examples.
#[derive(Debug)]
pub struct Trained {
    /// The classifier, learned from all examples.
    pub classifier: TextClassifier,
    /// Predictions of the models of the folds, one for each example.
    pub held_back: Vec<HeldBack>,
}

impl TextClassifier {
    /// Trains a classifier. With too little to hold back, its probabilities are only as good as the examples.
    pub fn train(training: &Training<'_>) -> Result<Trained, TrainError> {
        let labels = training.labels.len();
        if training.examples.is_empty() && training.descriptions.is_empty() || labels == 0 {
            return Err(TrainError::NoExamples);
        }
        if labels > MOST_LABELS {
            return Err(TrainError::TooManyLabels { found: labels });
        }
        let prepared = Prepared::new(training);
        let held = prepared.hold_back();
        let outsiders = prepared.outsiders(&held);
        let calibration = Calibration::fit(&prepared, &held, &outsiders);
        let held_back = held
            .iter()
            .enumerate()
            .map(|(example, held)| HeldBack { example, prediction: calibration.predict(held) })
            .collect();
        let all: Vec<usize> = (0..prepared.rows.len()).collect();
        let classifier = calibration.assemble(training.labels.clone(), prepared.learn(&all));
        Ok(Trained { classifier, held_back })
    }
}

/// One text with what is known of it.
struct Row<'a> {
    features: &'a Features,
    embedding: Option<&'a [f32]>,
    label: u32,
}

impl Row<'_> {
    fn is_right(&self, said: &[f32]) -> bool {
        top(said).0 == self.label as usize
    }
}

struct Prepared<'a> {
    rows: Vec<Row<'a>>,
    /// Rows that are examples; the descriptions come after them.
    examples: usize,
    strangers: Vec<Row<'a>>,
    labels: usize,
    vocabulary: Option<Arc<Vocabulary>>,
    has_meaning: bool,
    threads: usize,
    seed: u64,
}

/// The scores of one text by a model that had not learned from it.
#[derive(Clone, Default)]
struct Held {
    one: Vec<f32>,
    two: Vec<f32>,
    known: f32,
    /// The embedding and the nearest centres' likeness are needed for the scope only: the likeness to each label.
    near: Vec<f32>,
}

struct Learned {
    vocabulary: Arc<Vocabulary>,
    one: Linear,
    two: Option<(Linear, Vec<Vec<f32>>)>,
}

impl<'a> Prepared<'a> {
    fn new(training: &'a Training<'_>) -> Self {
        let all = training.examples.iter().chain(&training.descriptions);
        let rows: Vec<Row<'a>> = all
            .map(|(reading, label)| Row {
                features: reading.features(),
                embedding: reading.known_embedding(),
                label: *label,
            })
            .collect();
        let strangers: Vec<Row<'a>> = training
            .strangers
            .iter()
            .map(|reading| Row { features: reading.features(), embedding: reading.known_embedding(), label: 0 })
            .collect();
        let has_meaning = rows.iter().chain(&strangers).all(|row| row.embedding.is_some());
        Self {
            examples: training.examples.len(),
            rows,
            strangers,
            labels: training.labels.len(),
            vocabulary: training.vocabulary.clone(),
            has_meaning,
            threads: training.threads.max(1),
            seed: training.seed,
        }
    }

    fn learn(&self, which: &[usize]) -> Learned {
        let which = self.bounded(which);
        let rows: Vec<&Row<'a>> = which.iter().filter_map(|n| self.rows.get(*n)).collect();
        let texts: Vec<&Features> = rows.iter().map(|row| row.features).collect();
        let vocabulary = self.vocabulary.clone().unwrap_or_else(|| {
            let most = (MOST_WEIGHTS / self.labels.max(1)).clamp(100, MOST_FEATURES);
            let least = if rows.len() >= MANY_EXAMPLES { 2 } else { 1 };
            Arc::new(Vocabulary::learn(&texts, most, least))
        });
        let mut vectors: Vec<Sparse> = texts.iter().map(|text| vocabulary.vector(text)).collect();
        let labels: Vec<u32> = rows.iter().map(|row| row.label).collect();
        let options = TrainOptions { seed: self.seed, ..TrainOptions::words() };
        let one = Linear::train(&vectors, &labels, vocabulary.len(), self.labels, options);
        let two = self.has_meaning.then(|| {
            let first = vocabulary.len() as u32;
            for (vector, row) in vectors.iter_mut().zip(&rows) {
                vector.0.extend(meaning(row.embedding.unwrap_or_default(), first).0);
            }
            let options = TrainOptions { seed: self.seed, ..TrainOptions::joined() };
            let joined = Linear::train(&vectors, &labels, vocabulary.len() + DIMENSIONS, self.labels, options);
            (joined, centres(&rows, self.labels))
        });
        Learned { vocabulary, one, two }
    }

    /// As many of the rows as fit into memory, the same share of each label.
    fn bounded(&self, which: &[usize]) -> Vec<usize> {
        let most = (MOST_CELLS / self.labels.max(1)).max(self.labels * 2);
        if which.len() <= most {
            return which.to_vec();
        }
        let labels: Vec<u32> = which.iter().filter_map(|n| self.rows.get(*n)).map(|row| row.label).collect();
        let kept = crate::learn::holdout(&labels, most as f64 / which.len() as f64, self.seed);
        which.iter().zip(kept).filter(|(_, kept)| *kept).map(|(n, _)| *n).collect()
    }

    /// The scores of each example by the model of the folds without its own.
    fn hold_back(&self) -> Vec<Held> {
        let labels: Vec<u32> = self.rows.iter().take(self.examples).map(|row| row.label).collect();
        let parts = if self.examples < FEW_PER_LABEL * self.labels { FEW_FOLDS } else { FOLDS };
        let fold = folds(&labels, parts, self.seed);
        let parts = self.on_threads(parts, |k| {
            let own: Vec<usize> = (0..self.examples).filter(|n| fold.get(*n) == Some(&k)).collect();
            if own.is_empty() {
                return Vec::new();
            }
            let others: Vec<usize> = (0..self.rows.len()).filter(|n| fold.get(*n) != Some(&k)).collect();
            let learned = self.learn(&others);
            own.into_iter().filter_map(|n| self.rows.get(n).map(|row| (n, learned.held(row)))).collect()
        });
        let mut held = vec![Held::default(); self.examples];
        for (n, one) in parts.into_iter().flatten() {
            if let Some(place) = held.get_mut(n) {
                *place = one;
            }
        }
        held
    }

    /// The scores of texts that are about none of the labels: the known ones, or the examples of labels that a model was not
    /// told of.
    fn outsiders(&self, held: &[Held]) -> Vec<Held> {
        if self.strangers.len() >= ENOUGH_STRANGERS {
            // A model of most of the examples, as the held-back scores come from.
            let most: Vec<usize> = (0..self.rows.len()).filter(|n| n % FOLDS != 0).collect();
            let learned = self.learn(&most);
            return self.strangers.iter().map(|row| learned.held(row)).collect();
        }
        if self.labels < 2 * GROUPS || held.is_empty() {
            return Vec::new();
        }
        let mut sample: Vec<usize> = (0..self.rows.len()).collect();
        Random::new(self.seed).shuffle(&mut sample);
        sample.truncate(GROUP_EXAMPLES);
        let group = |n: &usize| self.rows.get(*n).map_or(0, |row| row.label as usize % GROUPS);
        let parts = self.on_threads(GROUPS, |k| {
            let others: Vec<usize> = sample.iter().copied().filter(|n| group(n) != k).collect();
            let learned = self.learn(&others);
            let own = sample.iter().filter(|n| group(n) == k && **n < self.examples);
            own.filter_map(|n| self.rows.get(*n)).map(|row| learned.held(row)).collect()
        });
        parts.into_iter().flatten().collect()
    }

    /// Runs `work` for `0..n`, on the threads that are allowed.
    fn on_threads<T: Send>(&self, n: usize, work: impl Fn(usize) -> Vec<T> + Sync) -> Vec<Vec<T>> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let worker = || {
                let mut own = Vec::new();
                loop {
                    let k = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if k >= n {
                        return own;
                    }
                    own.push(work(k));
                }
            };
            let workers: Vec<_> = (0..self.threads.min(n)).map(|_| scope.spawn(worker)).collect();
            workers
                .into_iter()
                .flat_map(|worker| match worker.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    }

    fn labelled<'h>(
        &self,
        held: &'h [Held],
        scores: impl Fn(&'h Held) -> Vec<&'h [f32]>,
    ) -> Vec<(Vec<&'h [f32]>, u32)> {
        held.iter().zip(&self.rows).map(|(held, row)| (scores(held), row.label)).collect()
    }

    fn scale_of_stage_one(&self, held: &[Held]) -> f32 {
        let rows = self.labelled(held, |held| vec![held.one.as_slice()]);
        fit_scales(&rows, 1).first().copied().unwrap_or(1.0)
    }

    fn scope(
        &self,
        held: &[Held],
        said: &[Vec<f32>],
        outsiders: &[Held],
        signs: impl Fn(&Held) -> Signs,
    ) -> Option<Scope> {
        let own: Vec<(Signs, bool)> = held
            .iter()
            .zip(said)
            .zip(&self.rows)
            .map(|((held, said), row)| (signs(held), row.is_right(said)))
            .collect();
        Scope::fit(&own, &outsiders.iter().map(signs).collect::<Vec<_>>())
    }

    fn scales_of_stage_two(&self, held: &[Held]) -> Vec<f32> {
        fit_scales(&self.labelled(held, |held| vec![held.one.as_slice(), held.two.as_slice()]), 2)
    }
}

fn centres(rows: &[&Row<'_>], labels: usize) -> Vec<Vec<f32>> {
    let mut centres = vec![vec![0.0f32; DIMENSIONS]; labels];
    for row in rows {
        if let (Some(centre), Some(embedding)) = (centres.get_mut(row.label as usize), row.embedding) {
            centre.iter_mut().zip(embedding).for_each(|(sum, x)| *sum += x);
        }
    }
    for centre in &mut centres {
        let length = centre.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
        centre.iter_mut().for_each(|x| *x /= length);
    }
    centres
}

impl Learned {
    fn held(&self, row: &Row<'_>) -> Held {
        let (mut vector, known) = self.vocabulary.read(row.features);
        let one = self.one.scores(&vector);
        let (mut two, mut near) = (Vec::new(), Vec::new());
        if let (Some((joined, centres)), Some(embedding)) = (&self.two, row.embedding) {
            vector.0.extend(meaning(embedding, self.vocabulary.len() as u32).0);
            two = joined.scores(&vector);
            near = centres.iter().map(|centre| likeness(centre, embedding)).collect();
        }
        Held { one, two, known, near }
    }
}

/// What the held-back predictions teach.
struct Calibration {
    one: CalibratedOne,
    two: Option<CalibratedTwo>,
}

#[derive(Default)]
struct CalibratedOne {
    scale: f32,
    scope: Option<Scope>,
    worth: Isotonic,
}

struct CalibratedTwo {
    scales: Vec<f32>,
    scope: Option<Scope>,
    sure_from: f32,
    worth: Isotonic,
}

impl Calibration {
    fn fit(prepared: &Prepared<'_>, held: &[Held], outsiders: &[Held]) -> Self {
        let scale = prepared.scale_of_stage_one(held);
        let ones: Vec<Vec<f32>> = held.iter().map(|held| combined(&[&held.one], &[scale])).collect();
        let signs = |held: &Held| Signs::of_stage_one(&held.one, &combined(&[&held.one], &[scale]), held.known);
        let scope = prepared.scope(held, &ones, outsiders, signs);
        let one = CalibratedOne { scale, scope, worth: Isotonic::default() };
        let two = prepared.has_meaning.then(|| {
            let scales = prepared.scales_of_stage_two(held);
            let said = |held: &Held| combined(&[&held.one, &held.two], &scales);
            let twos: Vec<Vec<f32>> = held.iter().map(said).collect();
            let scope = prepared.scope(held, &twos, outsiders, |held| held.signs_two(&said(held)));
            let answers = ones
                .iter()
                .zip(&twos)
                .zip(&prepared.rows)
                .map(|((one, two), row)| (top(one).1, row.is_right(one), row.is_right(two)));
            let sure_from = sure_from(answers.collect());
            CalibratedTwo { scales, scope, sure_from, worth: Isotonic::default() }
        });
        let mut calibration = Self { one, two };
        calibration.weigh(prepared, held);
        calibration
    }

    /// Learns what the confidence of each stage is worth, on the answers that it gives in the cascade.
    fn weigh(&mut self, prepared: &Prepared<'_>, held: &[Held]) {
        let (mut ones, mut twos) = (Vec::new(), Vec::new());
        for (held, row) in held.iter().zip(&prepared.rows) {
            let said = self.predict(held);
            let answers = if said.stage == Stage::One { &mut ones } else { &mut twos };
            answers.push((said.top().1, row.is_right(&said.probabilities)));
        }
        self.one.worth = Isotonic::fit(&ones);
        if let Some(two) = &mut self.two {
            two.worth = Isotonic::fit(&twos);
        }
    }

    fn predict(&self, held: &Held) -> Prediction {
        let one = &self.one;
        let probabilities = combined(&[&held.one], &[one.scale]);
        let signs = Signs::of_stage_one(&held.one, &probabilities, held.known);
        let mut answer = super::answer(probabilities, one.scope.as_ref(), &signs, Stage::One);
        if let Some(two) = self.two.as_ref().filter(|two| super::is_asked(two.sure_from, &answer)) {
            let probabilities = combined(&[&held.one, &held.two], &two.scales);
            let signs = held.signs_two(&probabilities);
            answer = super::answer(probabilities, two.scope.as_ref(), &signs, Stage::Two);
            two.worth.adjust(&mut answer.probabilities);
        } else {
            one.worth.adjust(&mut answer.probabilities);
        }
        answer
    }

    fn assemble(self, labels: Vec<String>, learned: Learned) -> TextClassifier {
        let Learned { vocabulary, one, two } = learned;
        let two = two.zip(self.two).map(|((joined, centres), CalibratedTwo { scales, scope, sure_from, worth })| {
            let split = vocabulary.len() * joined.classes;
            let (words, meaning) = joined.weights.split_at_checked(split).unwrap_or_default();
            let part = |weights: &[f32]| Packed::of(&Linear { classes: joined.classes, weights: weights.to_vec() });
            StageTwo { words: part(words), meaning: part(meaning), scales, centres, sure_from, worth, scope }
        });
        let CalibratedOne { scale, scope, worth } = self.one;
        let one = StageOne { weights: Packed::of(&one), scale, worth, scope };
        TextClassifier { labels, vocabulary, one, two }
    }
}

impl Held {
    fn signs_two(&self, probabilities: &[f32]) -> Signs {
        let near = self.near.get(top(probabilities).0).copied().unwrap_or_default();
        Signs::of_stage_two(&self.two, probabilities, self.known, near)
    }
}

/// The lowest confidence of stage one from which on it may answer alone: below it, stage two is asked. Each answer has stage
/// one's confidence and whether each stage was right.
fn sure_from(mut answers: Vec<(f32, bool, bool)>) -> f32 {
    answers.sort_by(|one, other| other.0.total_cmp(&one.0));
    let allowed = answers.len() as f64 * CASCADE_LOSS;
    let (mut lost, mut sure_from) = (0.0f64, 1.0f32);
    for (confidence, one, two) in &answers {
        lost += f64::from(u8::from(*two)) - f64::from(u8::from(*one));
        if lost <= allowed && *confidence > LEAST_SURE {
            sure_from = *confidence;
        }
    }
    sure_from
}
