//! The heads on the sets of `evals/`, which another author wrote. `cargo test -p switchboard-knowledge heads -- --nocapture`
//! prints the figures; the test fails when one falls below what was published.

use std::path::Path;

use serde_json::Value;

use super::{model::Reading, tone};
use crate::{learn::calibration_error, text::detect_language};

fn rows(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../evals").join(name);
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The share that is right, and the calibration error, of a head whose answer and certainty `say` gives.
fn measured(name: &str, label: &str, say: impl Fn(&str) -> (String, f64)) -> (f64, f64) {
    let answers: Vec<(f64, bool)> = rows(name)
        .iter()
        .map(|row| {
            let (answer, certainty) = say(row["text"].as_str().unwrap());
            (certainty, row[label].as_str() == Some(&answer))
        })
        .collect();
    let right = answers.iter().filter(|(_, right)| *right).count() as f64 / answers.len() as f64;
    let error = calibration_error(&answers);
    println!("{label}: {} texts, accuracy {right:.3}, calibration error {error:.3}", answers.len());
    (right, error)
}

#[test]
fn heads_are_as_good_as_published() {
    let (sentiment, _) = measured("sentiment.jsonl", "sentiment", |text| {
        let said = tone::sentiment(&Reading::new(text));
        (said.answer.to_string(), said.probability)
    });
    assert!(sentiment >= 0.80, "{sentiment}");
    let (severity, _) = measured("severity.jsonl", "severity", |text| {
        let (said, _) = tone::severity(&Reading::new(text), text, None);
        (said.answer.to_string(), said.probability)
    });
    assert!(severity >= 0.78, "{severity}");
    let served = ["en", "es", "de", "fr", "it"].map(|code| code.parse().unwrap());
    let (language, _) = measured("language.jsonl", "language", |text| match detect_language(text, &served) {
        Some(found) => (found.language.to_string(), found.probability),
        None => (String::new(), 0.0),
    });
    assert!(language >= 0.80, "{language}");
    let spam = rows("spam.jsonl");
    let flagged = |wanted: bool| {
        let those: Vec<_> = spam.iter().filter(|row| row["spam"] == wanted).collect();
        let hits = those.iter().filter(|row| tone::is_spam(tone::spam(&Reading::new(row["text"].as_str().unwrap()))));
        hits.count() as f64 / those.len() as f64
    };
    let (recall, false_alarms) = (flagged(true), flagged(false));
    println!("spam: {} texts, recall {recall:.3}, false alarms {false_alarms:.3}", spam.len());
    assert!(recall >= 0.80 && false_alarms <= 0.04, "{recall} {false_alarms}");
}
