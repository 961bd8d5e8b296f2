//! What the heads learn from: sets written for this project. `data/tone.model` is what they teach, and is written by
//! `SWITCHBOARD_TEST_UPDATE=1 cargo test -p switchboard-knowledge tone`.

use std::{fs, path::Path};

use super::{
    super::corpus::{Corpus, LearnOptions},
    *,
};
use crate::text::Features;

/// Features that the heads know: with all 60,000 that two texts have they are no better and half as large again, with 20,000 severity
/// is right for three in a hundred less.
const FEATURES: usize = 40_000;

#[derive(Deserialize)]
struct Row {
    text: String,
    #[serde(default)]
    sentiment: Option<Sentiment>,
    #[serde(default)]
    severity: Option<Severity>,
    #[serde(default)]
    spam: Option<bool>,
}

fn corpus(lines: &str, label: impl Fn(&Row) -> Option<String>) -> Corpus {
    let mut corpus = Corpus::new();
    for line in lines.lines() {
        let row: Row = serde_json::from_str(line).expect(line);
        let label = label(&row).expect(line);
        corpus.add(row.text, &label);
    }
    corpus
}

fn learn(corpus: &Corpus, vocabulary: &Arc<Vocabulary>) -> Record {
    let options =
        LearnOptions { embedder: None, vocabulary: Some(vocabulary), threads: 2, seed: 1, progress: &|_, _| () };
    corpus.learn(&options).unwrap().trained.classifier.to_record_without_words()
}

fn taught() -> Vec<u8> {
    let word = |word: &dyn ToString| Some(word.to_string());
    let sentiment = corpus(include_str!("../../../data/sentiment.jsonl"), |row| word(&row.sentiment?));
    let severity = corpus(include_str!("../../../data/severity.jsonl"), |row| word(&row.severity?));
    let spam = corpus(include_str!("../../../data/spam.jsonl"), |row| word(&if row.spam? { SPAM } else { "genuine" }));
    let all = [&sentiment, &severity, &spam];
    let readings: Vec<Reading<'_>> =
        all.iter().flat_map(|corpus| corpus.examples()).map(|(text, _)| Reading::new(text)).collect();
    let texts: Vec<&Features> = readings.iter().map(Reading::features).collect();
    let vocabulary = Arc::new(Vocabulary::learn(&texts, FEATURES, 2));
    let kept = Kept {
        sentiment: learn(&sentiment, &vocabulary),
        severity: learn(&severity, &vocabulary),
        spam: learn(&spam, &vocabulary),
        vocabulary: vocabulary.to_record(),
    };
    artifact::write(&kept).unwrap()
}

#[test]
fn the_heads_are_what_the_sets_teach() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/tone.model");
    let taught = taught();
    if std::env::var_os("SWITCHBOARD_TEST_UPDATE").is_some() {
        fs::write(&file, &taught).unwrap();
    }
    let kept = fs::read(&file).unwrap();
    assert!(kept == taught, "the sets or the learning have changed: SWITCHBOARD_TEST_UPDATE=1 writes the heads anew");
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
        spam(&Reading::new("Boost your website ranking! We offer cheap backlinks and SEO, reply for price list")) > 0.5
    );
    assert!(spam(&Reading::new("My router has no internet since this morning, please help")) < 0.5);
}
