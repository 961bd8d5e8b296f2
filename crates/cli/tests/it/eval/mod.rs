//! `switchboard eval` and `switchboard audit`, on small data made here. They never see an embedding model, so that every
//! machine finds the same.

mod audit;
mod bad_data;

use std::{fmt::Write, fs, path::PathBuf};

use serde_json::Value;

use crate::server::{Home, Ran};

/// A home without an embedding model.
pub(crate) fn home() -> Home {
    let home = Home::new();
    let nowhere = home.beside("no-model");
    home.env("SWITCHBOARD_EMBEDDING_MODEL", nowhere.to_str().unwrap())
}

const TEAMS: [(&str, [&str; 3]); 3] = [
    ("billing", ["my invoice has a wrong amount", "charged twice this month", "refund of my payment"]),
    ("network", ["no internet since this morning", "the router shows no light", "connection is slow again"]),
    ("<script>alert(1)</script>", ["cannot log in to my account", "password reset does not arrive", "locked out"]),
];
const WORDS: [&str; 7] = ["please", "help", "again", "today", "urgent", "hello", "thanks"];

/// Rows that are mostly easy: every eighth says nothing about its team.
pub(crate) fn rows(from: usize, to: usize) -> Vec<(String, &'static str)> {
    (from..to)
        .map(|n| {
            let (team, texts) = TEAMS[n % 3];
            let text = if n % 8 == 4 { "it does not work" } else { texts[n / 3 % 3] };
            (format!("{text} {} {} number {n}", WORDS[n % 7], WORDS[n / 7 % 7]), team)
        })
        .collect()
}

pub(crate) fn csv(rows: &[(String, &str)]) -> String {
    rows.iter().fold("text,team\n".to_owned(), |mut file, (text, team)| {
        writeln!(file, "{text},{team}").unwrap();
        file
    })
}

pub(crate) fn put(home: &Home, name: &str, content: impl AsRef<[u8]>) -> String {
    let path: PathBuf = home.beside(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Times differ from run to run, and with them the widths of their columns.
pub(crate) fn timeless(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let is_time = line.contains(" ms") || line.contains(" s ");
        let words = line.split_whitespace().map(|word| match word.chars().next() {
            Some('┌' | '╞' | '└') => "---",
            _ if is_time && word.contains(|char: char| char.is_ascii_digit()) => "#",
            _ => word,
        });
        writeln!(out, "{}", words.collect::<Vec<_>>().join(" ")).unwrap();
    }
    out
}

#[test]
fn people_get_tables() {
    let home = home();
    let file = put(&home, "tickets.csv", csv(&rows(0, 300)));
    let text = home.ok(&["eval", &file]);
    insta::assert_snapshot!("eval_table", timeless(&text).replace(&file, "FILE"));
    assert!(!home.data().exists(), "nothing is stored");
}

#[test]
fn programs_get_one_object_with_all_figures() {
    let home = home();
    let mut train = rows(0, 240);
    train.extend((0..30).map(|n| (format!("la la la {n} tralala {}", n * 7), "oos")));
    let mut test = rows(300, 360);
    test.extend((50..60).map(|n| (format!("la la la {n} tralala"), "oos")));
    test.extend([("where is my parcel".to_owned(), "delivery"), (train[0].0.clone(), train[0].1)]);
    let train = put(&home, "train.csv", csv(&train));
    let lines: String =
        test.iter().map(|(text, team)| format!("{}\n", serde_json::json!({ "text": text, "label": team }))).collect();
    let test = put(&home, "test.jsonl", lines);
    let found = home.json(&["eval", "--train", &train, "--test", &test, "--seed", "3"]);
    assert_eq!(found["n"], 62);
    let accuracy = found["accuracy"].as_f64().unwrap();
    assert!((0.8..1.0).contains(&accuracy), "{accuracy}");
    let ci = found["accuracy_ci95"].as_array().unwrap();
    assert!(ci[0].as_f64().unwrap() < accuracy && accuracy < ci[1].as_f64().unwrap());
    for name in ["macro_f1", "ece", "cost_usd_per_item"] {
        assert!(found[name].is_number(), "{name}");
    }
    for precision in ["0.95", "0.97", "0.98"] {
        assert!(found["coverage_at_precision"][precision].is_number(), "{precision}");
        assert!(found["thresholds"][precision]["coverage"].is_number(), "{precision}");
    }
    for name in ["recall", "precision", "in_scope_accuracy", "n"] {
        assert!(found["out_of_scope"][name].is_number(), "out_of_scope.{name}");
    }
    for name in ["p50", "p99"] {
        assert!(found["latency_ms"][name].as_f64().unwrap() > 0.0, "latency_ms.{name}");
        assert!(found["latency_ms"]["stages"]["one"][name].is_number());
    }
    assert_eq!((&found["cost_usd_per_item"], &found["stage"]), (&0.0.into(), &"one".into()));
    assert_eq!(found["training"]["examples"], 240);
    assert_eq!((found["training"]["out_of_scope"].as_u64(), found["training"]["seed"].as_u64()), (Some(30), Some(3)));
    assert_eq!((found["unknown_label_rows"].as_u64(), found["seen_texts"]["rows"].as_u64()), (Some(1), Some(1)));
    assert_eq!(found["per_class"]["delivery"]["f1"], 0.0);
    assert_eq!(found["data"]["files"][1]["format"], "JSON lines");
    let mut again = home.json(&["eval", "--train", &train, "--test", &test, "--seed", "3"]);
    for measured in ["latency_ms", "training"] {
        again[measured] = found[measured].clone();
    }
    assert_eq!(found, again, "the same seed gives the same figures");
}

#[test]
fn no_text_is_trained_and_tested() {
    let home = home();
    let mut all = rows(0, 120);
    all.extend(rows(0, 60));
    let file = put(&home, "twice.csv", csv(&all));
    let found = home.json(&["eval", &file, "--holdout", "0.25"]);
    assert_eq!((found["data"]["repeated_rows"].as_u64(), found["seen_texts"]["rows"].as_u64()), (Some(60), Some(0)));
    assert_eq!(found["data"]["test_rows"], 30);
    let few = home.json(&["eval", &file, "--shots", "5"]);
    assert_eq!(few["training"]["examples"], 15);
    assert_eq!(few["n"], 24, "the test stays as large as it was");
}

#[test]
fn large_files_are_sampled() {
    let home = home();
    let file = put(&home, "large.csv", csv(&rows(0, 3_000)));
    let found = home.json(&["eval", &file, "--limit", "200"]);
    assert_eq!((&found["data"]["files"][0]["rows"], &found["data"]["files"][0]["taken"]), (&3_000.into(), &200.into()));
    assert!(found["notes"][0].as_str().unwrap().contains("a sample of 200 of 3000 rows"), "{}", found["notes"]);
}

#[test]
fn gates_decide_the_exit_code() {
    let home = home();
    let file = put(&home, "tickets.csv", csv(&rows(0, 300)));
    let passed = home.run(&["eval", &file, "--gate", "accuracy>=0.5", "--gate", "ece < 0.9", "--json"]);
    assert_eq!((passed.code, passed.stderr.as_str()), (Some(0), ""));
    assert_eq!(json(&passed)["gates"][0]["passed"], true);
    let failed = home.run(&["eval", &file, "--gate", "accuracy>1", "--gate", "out_of_scope.recall>=0.5", "--json"]);
    assert_eq!(failed.code, Some(1));
    let lines: Vec<&str> = failed.stderr.lines().collect();
    assert!(lines[0].starts_with("gate not passed: wanted accuracy > 1, found 0."), "{lines:?}");
    assert_eq!(lines[1], "gate not passed: wanted out_of_scope.recall >= 0.5, found nothing to measure it on");
    assert_eq!(json(&failed)["gates"][1]["found"], Value::Null);
    let unknown = home.run(&["eval", &file, "--gate", "acuracy>=0.9"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("there is no metric `acuracy`; there are: accuracy,"), "{}", unknown.stderr);
    let label = home.run(&["eval", &file, "--gate", "per_class.nobody.f1>=0.9"]);
    assert_eq!(label.code, Some(1));
    assert!(label.stderr.contains("no metric `per_class.nobody.f1`"), "{}", label.stderr);
}

#[test]
fn the_report_is_one_file_that_nothing_can_be_put_into() {
    let home = home();
    let mut all = rows(0, 300);
    all.push(("<img src=x onerror=alert(1)> {{ 7 * 7 }} invoice router".to_owned(), "network"));
    let file = put(&home, "tickets.csv", csv(&all));
    let report = home.beside("report.html");
    for command in ["eval", "audit"] {
        home.ok(&[command, &file, "--html", report.to_str().unwrap()]);
        let html = fs::read_to_string(&report).unwrap();
        for part in ["<script", "<img", "http:", "https:", "//", "url(", "@import"] {
            assert!(!html.contains(part), "{part} is in the report of {command}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)"), "the label is shown as it is");
        for part in ["Reliability diagram", "Coverage and precision", "Histogram", "Confusion matrix", "prefers-color"]
        {
            assert!(html.contains(part), "{part} is not in the report of {command}");
        }
    }
    let nowhere = home.beside("no/such/folder/report.html");
    let refused = home.run(&["eval", &file, "--html", nowhere.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("make it first"), "{}", refused.stderr);
}
