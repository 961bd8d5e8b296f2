//! The heads that every tenant has: severity, sentiment and spam, learned from sets written for this project.

#[cfg(test)]
mod tests;

use std::{
    str::FromStr,
    sync::{Arc, LazyLock},
};

use serde::{Deserialize, Serialize};
use switchboard_core::tickets::{Sentiment, Severity};

use super::{
    artifact, cues,
    model::{Reading, Record, TextClassifier},
};
use crate::text::{Vocabulary, VocabularyRecord};

/// From this probability on, a ticket counts as spam: a person looks at it, and nothing else follows, so a miss costs little
/// and so does a false alarm.
const SPAM_FROM: f64 = 0.8;
/// How far a category's usual severity pulls: the logarithm of the odds that each step away from it loses, and what is left of
/// the weight of the text. Found on the 300 labelled tickets of the demo tenant.
const PULL: f64 = 1.5;
const TEXT_WEIGHT: f64 = 0.5;
/// What words of danger or patience multiply the odds of the severities that they speak for by.
const CUE: f64 = 6.0;

/// A closed answer with its probability, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said<T> {
    /// The answer.
    pub answer: T,
    /// Its probability.
    pub probability: f64,
}

/// What the sets teach, learned beforehand: see the module `tests`.
static TONE: LazyLock<Tone> = LazyLock::new(|| {
    let whole = |kept: Kept| {
        let vocabulary = Arc::new(Vocabulary::from_record(&kept.vocabulary));
        let head = |record| TextClassifier::over(Arc::clone(&vocabulary), record);
        Some(Tone { sentiment: head(kept.sentiment)?, severity: head(kept.severity)?, spam: head(kept.spam)? })
    };
    let tone = artifact::read(include_bytes!("../../../data/tone.model")).ok().and_then(whole);
    // invariant: the file is part of the program, and a test compares it with what the sets teach
    tone.unwrap_or_else(|| unreachable!("the heads of the program do not fit together"))
});

const SPAM: &str = "spam";

struct Tone {
    sentiment: TextClassifier,
    severity: TextClassifier,
    spam: TextClassifier,
}

/// The heads as they are kept, over words that they share: a ticket's words are looked up once.
#[derive(Serialize, Deserialize)]
struct Kept {
    vocabulary: VocabularyRecord,
    sentiment: Record,
    severity: Record,
    spam: Record,
}

/// Reads the heads now, so that the first ticket need not wait for it.
pub fn prepare() {
    LazyLock::force(&TONE);
}

/// How the customer feels.
pub fn sentiment(reading: &Reading<'_>) -> Said<Sentiment> {
    let said = said::<Sentiment>(&TONE.sentiment, reading);
    most(&said).unwrap_or(Said { answer: Sentiment::Neutral, probability: 0.0 })
}

/// The probability that nobody asks for help.
pub fn spam(reading: &Reading<'_>) -> f64 {
    let at = TONE.spam.labels().iter().position(|label| label == SPAM);
    let said = TONE.spam.predict(reading, None);
    at.and_then(|at| said.probabilities.get(at)).map_or(0.0, |probability| f64::from(*probability))
}

/// Whether that probability is high enough for a person to look.
pub fn is_spam(probability: f64) -> bool {
    probability >= SPAM_FROM
}

/// Whether words of danger, fraud or a whole site down stand in the text.
pub fn speaks_of_danger(text: &str) -> bool {
    matches!(cues::severity(text), cues::Cue::Danger)
}

/// How bad it is, by the text and what is usual for the category, where one is known; with the reason for people.
pub fn severity(reading: &Reading<'_>, text: &str, usual: Option<Severity>) -> (Said<Severity>, &'static str) {
    let cue = cues::severity(text);
    let mut said = said::<Severity>(&TONE.severity, reading);
    for one in &mut said {
        if let Some(usual) = usual {
            let pull = -PULL * f64::from(distance(one.answer, usual));
            one.probability = one.probability.powf(TEXT_WEIGHT) * pull.exp();
        }
        if cue.speaks_for(one.answer) {
            one.probability *= CUE;
        }
    }
    let sum: f64 = said.iter().map(|one| one.probability).sum();
    said.iter_mut().for_each(|one| one.probability /= sum.max(f64::MIN_POSITIVE));
    let most = most(&said).unwrap_or(Said { answer: usual.unwrap_or_default(), probability: 0.0 });
    let reason = match (cue, usual) {
        (cues::Cue::Danger, _) => "words of danger, fraud or a whole site down",
        (cues::Cue::Patience, _) => "the customer says that it can wait",
        (cues::Cue::None, Some(usual)) if usual == most.answer => "usual for the category, and the text agrees",
        (cues::Cue::None, _) => "what the text says weighs more than what is usual",
    };
    (most, reason)
}

fn distance(one: Severity, other: Severity) -> u8 {
    let rank = |severity| Severity::ALL.iter().zip(0u8..).find(|(known, _)| **known == severity).map_or(0, |(_, n)| n);
    rank(one).abs_diff(rank(other))
}

fn said<T: FromStr>(head: &TextClassifier, reading: &Reading<'_>) -> Vec<Said<T>> {
    let said = head.predict(reading, None);
    let both = head.labels().iter().zip(said.probabilities);
    both.filter_map(|(label, probability)| {
        Some(Said { answer: label.parse().ok()?, probability: f64::from(probability) })
    })
    .collect()
}

fn most<T: Copy>(said: &[Said<T>]) -> Option<Said<T>> {
    said.iter().copied().max_by(|one, other| one.probability.total_cmp(&other.probability))
}
