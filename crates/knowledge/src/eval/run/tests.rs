use switchboard_testkit::world::FixedClock;

use super::*;
use crate::eval::audit;

fn row(line: u64, text: String, label: &str) -> Row {
    Row { text, label: label.to_owned(), line, date: None }
}

/// Rows of two teams that are easy to tell apart.
fn easy(from: u64, n: u64) -> Vec<Row> {
    (from..from + n)
        .flat_map(|n| {
            [
                row(2 * n, format!("my invoice number {n} has a wrong amount"), "billing"),
                row(2 * n + 1, format!("router number {n} shows no light and no internet"), "technical"),
            ]
        })
        .collect()
}

fn with_options<T>(work: impl FnOnce(&EvalOptions<'_>) -> T) -> T {
    let clock = FixedClock::new();
    work(&EvalOptions { embedder: None, threads: 2, seed: 1, clock: &clock, progress: &|_| () })
}

#[test]
fn easy_rows_are_easy() {
    let found = with_options(|options| evaluate(&easy(0, 100), &easy(500, 20), options)).unwrap();
    let evaluation = found.evaluation;
    assert_eq!((evaluation.metrics.n, evaluation.metrics.accuracy), (40, 1.0));
    assert_eq!((evaluation.training.examples, evaluation.training.labels), (200, 2));
    assert_eq!(evaluation.training.meaning, "not_there");
    assert_eq!((evaluation.seen_texts.rows, evaluation.seen_texts.unseen_n), (0, 40));
    assert!(evaluation.thresholds["0.97"].precision >= Some(0.97), "{:?}", evaluation.thresholds);
    assert!(found.mistakes.is_empty());
}

#[test]
fn what_training_does_not_know_is_wrong_and_told() {
    let mut test = easy(0, 1);
    test.extend([row(90, "where is my parcel".to_owned(), "delivery"), row(91, "hm".to_owned(), "oos")]);
    test.push(row(92, "the parcel again".to_owned(), " Delivery"));
    let found = with_options(|options| evaluate(&easy(0, 50), &test, options)).unwrap();
    let evaluation = found.evaluation;
    assert_eq!((evaluation.metrics.n, evaluation.metrics.accuracy), (4, 0.5));
    assert_eq!((evaluation.unknown_label_rows, evaluation.metrics.out_of_scope.n), (2, 1));
    assert_eq!(evaluation.metrics.per_class["delivery"].n, 2);
    assert_eq!((evaluation.seen_texts.rows, evaluation.seen_texts.unseen_accuracy), (2, 0.0));
    assert!(found.mistakes.iter().any(|mistake| mistake.line == 90), "{:?}", found.mistakes);
}

#[test]
fn what_cannot_be_measured_is_said() {
    with_options(|options| {
        let one: Vec<Row> = easy(0, 10).into_iter().filter(|row| row.label == "billing").collect();
        let error = evaluate(&one, &easy(50, 1), options).unwrap_err();
        assert_eq!(error, EvalError::OneLabel { label: "billing".to_owned(), rows: 10 });
        let same = evaluate(&easy(0, 10), &easy(0, 10), options).unwrap_err();
        assert_eq!(same, EvalError::AllSeen { rows: 20 });
        assert_eq!(evaluate(&easy(0, 10), &[], options).unwrap_err(), EvalError::NothingToTest);
        assert_eq!(evaluate(&[], &easy(0, 1), options).unwrap_err(), EvalError::Train(TrainError::NoExamples));
    });
}

#[test]
fn an_audit_finds_what_was_put_in() {
    let mut rows = easy(0, 60);
    rows.extend(easy(0, 5));
    rows.push(row(900, "my invoice number 7 has a wrong amount".to_owned(), "technical"));
    rows.extend((0..3).map(|n| row(910 + n, format!("parcel {n} is late"), "delivery")));
    rows.push(row(920, "la la la".to_owned(), "oos"));
    let audited = with_options(|options| audit(rows, None, options)).unwrap();
    let audit = audited.audit;
    assert_eq!((audit.repeated_rows, audit.conflicts.texts), (10, 1));
    assert_eq!(audit.rare_labels.iter().map(|rare| rare.n).collect::<Vec<_>>(), [3]);
    assert_eq!(audit.metrics.n, 124);
    assert!(audit.metrics.accuracy > 0.9, "{}", audit.metrics.accuracy);
    assert!(audit.advice.iter().any(|line| line.contains("fewer than 10 texts")), "{:?}", audit.advice);
    assert!(audited.mistakes.iter().all(|mistake| mistake.line >= 900 || mistake.text.contains("number 7 ")));
}

#[test]
fn percentiles_are_nearest_ranks() {
    let times: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!((percentile(&times, 0.5), percentile(&times, 0.99)), (50.0, 99.0));
    assert_eq!((percentile(&[7.0], 0.99), percentile(&[], 0.5)), (7.0, 0.0));
}
