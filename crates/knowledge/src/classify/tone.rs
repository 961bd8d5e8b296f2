//! The heads that every tenant has: severity, sentiment and spam, learned from sets written for this project.

use std::{
    str::FromStr,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use switchboard_core::tickets::{Sentiment, Severity};

use super::{
    corpus::{Corpus, LearnOptions},
    cues,
    model::{Reading, TextClassifier, words},
};
use crate::text::{Features, Vocabulary};

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

static TONE: LazyLock<Tone> = LazyLock::new(|| {
    let sentiment = corpus(include_str!("../../data/sentiment.jsonl"), |row| row.sentiment);
    let severity = corpus(include_str!("../../data/severity.jsonl"), |row| row.severity);
    let spam = corpus(include_str!("../../data/spam.jsonl"), |row| {
        row.spam.map(|spam| if spam { SPAM } else { "genuine" }.to_owned())
    });
    // One vocabulary for all: a ticket's words are looked up once, and what only one text has takes no room.
    let all = [&sentiment, &severity, &spam];
    let readings: Vec<Reading<'_>> =
        all.iter().flat_map(|corpus| corpus.examples()).map(|(text, _)| Reading::new(text)).collect();
    let texts: Vec<&Features> = readings.iter().map(Reading::features).collect();
    let labels = all.iter().map(|corpus| corpus.labels().len()).max().unwrap_or_default();
    let vocabulary = Arc::new(words(&texts, labels));
    std::thread::scope(|scope| {
        let sentiment = scope.spawn(|| learn(&sentiment, &vocabulary));
        let severity = scope.spawn(|| learn(&severity, &vocabulary));
        let spam = learn(&spam, &vocabulary);
        // invariant: `learn` panics only where its own invariants break
        let done =
            |head: std::thread::Result<TextClassifier>| head.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Tone { sentiment: done(sentiment.join()), severity: done(severity.join()), spam }
    })
});

const SPAM: &str = "spam";

struct Tone {
    sentiment: TextClassifier,
    severity: TextClassifier,
    spam: TextClassifier,
}

#[derive(Deserialize)]
struct Row {
    text: String,
    #[serde(default)]
    sentiment: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    spam: Option<bool>,
}

fn corpus(lines: &str, label: impl Fn(Row) -> Option<String>) -> Corpus {
    let mut corpus = Corpus::new();
    for line in lines.lines() {
        // invariant: the sets are part of the program, and a test reads every line of them
        let row: Row = serde_json::from_str(line).unwrap_or_else(|error| unreachable!("a line of a set: {error}"));
        let text = row.text.clone();
        if let Some(label) = label(row) {
            corpus.add(text, &label);
        }
    }
    corpus
}

fn learn(corpus: &Corpus, vocabulary: &Arc<Vocabulary>) -> TextClassifier {
    let options =
        LearnOptions { embedder: None, vocabulary: Some(vocabulary), threads: 1, seed: 1, progress: &|_, _| () };
    let learned = corpus.learn(&options);
    // invariant: the sets have examples of a handful of labels
    learned.unwrap_or_else(|error| unreachable!("a set of the program teaches nothing: {error}")).trained.classifier
}

/// Learns the heads now, so that the first ticket need not wait for it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_sets_has_its_label() {
        for (lines, label) in [
            (include_str!("../../data/sentiment.jsonl"), "sentiment"),
            (include_str!("../../data/severity.jsonl"), "severity"),
            (include_str!("../../data/spam.jsonl"), "spam"),
        ] {
            for line in lines.lines() {
                let row: Row = serde_json::from_str(line).expect(line);
                match label {
                    "sentiment" => {
                        assert!(row.sentiment.is_some_and(|word| word.parse::<Sentiment>().is_ok()), "{line}")
                    }
                    "severity" => assert!(row.severity.is_some_and(|word| word.parse::<Severity>().is_ok()), "{line}"),
                    _ => assert!(row.spam.is_some(), "{line}"),
                }
            }
        }
    }

    #[test]
    fn tone_is_heard_in_three_languages() {
        let feels = |text: &str| sentiment(&Reading::new(text)).answer;
        assert_eq!(feels("This is ridiculous, the third time I call and nobody helps"), Sentiment::Negative);
        assert_eq!(feels("Vielen Dank, das war super schnell, tolle Hilfe!"), Sentiment::Positive);
        assert_eq!(feels("¿Cuál es el horario de atención?"), Sentiment::Neutral);
    }

    #[test]
    fn severity_follows_text_and_category() {
        let bad = |text: &str, usual| severity(&Reading::new(text), text, usual).0.answer;
        assert!(
            bad("Someone has hacked my account and is transferring money right now", Some(Severity::Medium))
                >= Severity::High
        );
        assert_eq!(bad("quick question, no rush: where can I see my invoice?", Some(Severity::Low)), Severity::Low);
    }

    #[test]
    fn danger_is_seen_at_a_glance() {
        assert!(speaks_of_danger("Someone has hacked my account and is transferring money right now"));
        assert!(!speaks_of_danger("quick question, no rush: where can I see my invoice?"));
    }

    #[test]
    fn spam_is_told_from_help() {
        assert!(
            spam(&Reading::new("Boost your website ranking! We offer cheap backlinks and SEO, reply for price list"))
                > 0.5
        );
        assert!(spam(&Reading::new("My router has no internet since this morning, please help")) < 0.5);
    }
}
