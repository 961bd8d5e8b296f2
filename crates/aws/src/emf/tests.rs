use std::path::Path;

use super::*;

fn recorded(record: impl FnOnce()) -> (Emf, Vec<Value>) {
    let emf = Emf::new(NAMESPACE, "acme");
    metrics::with_local_recorder(&emf, record);
    let lines = flushed(&emf);
    (emf, lines)
}

fn flushed(emf: &Emf) -> Vec<Value> {
    let mut out = Vec::new();
    emf.flush_to(Timestamp::from_millis(1_795_161_600_000), &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What CloudWatch makes of a line: the value of the dimension beside the deployment, then each metric with its values.
fn metrics_of(line: &Value) -> Vec<(String, String, Vec<f64>)> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    let mut seen = Vec::new();
    for directive in directives {
        assert_eq!(directive["Namespace"], "Switchboard");
        assert!(directive["Dimensions"].as_array().unwrap().iter().all(|set| set[0] == "Deployment"));
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for set in directive["Dimensions"].as_array().unwrap() {
            let set: Vec<_> =
                set.as_array().unwrap().iter().map(|name| line[name.as_str().unwrap()].as_str().unwrap()).collect();
            let (deployment, set) = set.split_first().unwrap();
            assert_eq!(*deployment, "acme");
            for metric in metrics {
                let name = metric["Name"].as_str().unwrap();
                let values = match &line[name] {
                    Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
                    value => vec![value.as_f64().unwrap()],
                };
                assert!((1..=VALUES).contains(&values.len()));
                seen.push((set.join(","), name.to_owned(), values));
            }
        }
    }
    seen
}

fn values(lines: &[Value], dimension: &str, name: &str) -> Vec<f64> {
    let all = lines.iter().flat_map(metrics_of);
    all.filter(|(set, metric, _)| set == dimension && metric == name).flat_map(|(_, _, values)| values).collect()
}

#[test]
fn one_line_tells_what_was_recorded_and_the_next_flush_begins_anew() {
    let (emf, lines) = recorded(|| {
        metrics::counter!("switchboard_tickets_accepted_total").increment(3);
        metrics::counter!("switchboard_tickets_accepted_total").increment(2);
        metrics::gauge!("switchboard_queue_waiting").set(7.0);
        metrics::histogram!("switchboard_processing_time_seconds").record(0.25);
        metrics::histogram!("switchboard_processing_time_seconds").record(0.5);
        metrics::histogram!("switchboard_processing_time_seconds").record(f64::NAN);
        metrics::counter!("switchboard_trainings_total", "in_force" => "yes").increment(1);
        metrics::counter!("switchboard_trainings_total", "in_force" => "no").increment(1);
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["_aws"]["Timestamp"], 1_795_161_600_000_i64);
    assert_eq!(values(&lines, "", "TicketsAccepted"), [5.0]);
    assert_eq!(values(&lines, "", "QueueDepth"), [7.0]);
    assert_eq!(values(&lines, "", "ProcessingTime"), [0.25, 0.5]);
    assert_eq!(lines[0]["switchboard_trainings_total"], 2, "no metric, and to be searched for");
    assert_eq!(lines[0]["values_left_out"], 1);
    assert_eq!(flushed(&emf), Vec::<Value>::new());
}

#[test]
fn a_metric_is_there_as_a_whole_and_split() {
    let (_, lines) = recorded(|| {
        metrics::counter!("switchboard_tickets_processed_total", "decided_by" => "local").increment(2);
        metrics::counter!("switchboard_tickets_processed_total", "decided_by" => "rule").increment(1);
    });
    assert_eq!(values(&lines, "", "TicketsProcessed"), [3.0]);
    assert_eq!(values(&lines, "local", "TicketsProcessed"), [2.0]);
    assert_eq!(values(&lines, "rule", "TicketsProcessed"), [1.0]);
    assert_eq!(values(&lines, "", "ManualReviewRate"), [0.0; 3]);
}

#[test]
fn the_average_of_a_share_is_the_share() {
    let (_, lines) = recorded(|| {
        metrics::counter!("switchboard_tickets_processed_total", "decided_by" => "local").increment(250);
        metrics::counter!("switchboard_manual_reviews_total").increment(50);
        metrics::counter!("switchboard_reviews_total", "result" => "confirmed").increment(3);
        metrics::counter!("switchboard_reviews_total", "result" => "corrected").increment(1);
        for (outcome, count) in [("done", 7), ("retried", 1), ("buried", 1), ("left", 1)] {
            let counted =
                metrics::counter!("switchboard_events_handled_total", "event" => "TicketRouted", "outcome" => outcome);
            counted.increment(count);
        }
    });
    let mean = |name: &str| {
        let values = values(&lines, "", name);
        values.iter().sum::<f64>() / values.len() as f64
    };
    assert_eq!(mean("ManualReviewRate"), 0.2);
    assert_eq!(mean("RoutingAccuracy"), 0.75);
    assert_eq!(mean("ErrorRate"), 0.2);
    assert_eq!(values(&lines, "", "EventsHandled"), [10.0]);
    assert_eq!(values(&lines, "retried", "EventsHandled"), [1.0]);
}

#[test]
fn calls_of_models_are_told_apart_from_those_that_failed() {
    let (_, lines) = recorded(|| {
        for (outcome, count) in [("answered", 5), ("refused", 2), ("dropped", 1), ("throttled", 3), ("down", 1)] {
            metrics::counter!("switchboard_model_calls_total", "model" => "gpt-4o", "outcome" => outcome)
                .increment(count);
        }
        for (model, kind, tokens) in
            [("gpt-4o", "input", 100), ("gpt-4o", "cached", 60), ("gpt-4o", "output", 7), ("other", "output", 3)]
        {
            metrics::counter!("switchboard_model_tokens_total", "model" => model, "kind" => kind).increment(tokens);
        }
        metrics::counter!("switchboard_model_cost_nanousd_total").increment(1_250_000_000);
        metrics::histogram!("switchboard_model_seconds", "model" => "gpt-4o").record(0.5);
    });
    assert_eq!((values(&lines, "", "ModelCalls"), values(&lines, "", "ModelErrors")), (vec![12.0], vec![4.0]));
    assert_eq!(values(&lines, "throttled", "ModelErrors"), [3.0]);
    assert_eq!(values(&lines, "answered", "ModelErrors"), [0.0; 0]);
    assert_eq!(values(&lines, "", "ModelTokens"), [110.0], "what was cached is among what went in");
    assert_eq!(values(&lines, "gpt-4o", "ModelTokens"), [107.0]);
    assert_eq!((values(&lines, "", "ModelCost"), values(&lines, "", "ModelLatency")), (vec![1.25], vec![0.5]));
}

#[test]
fn many_values_go_into_several_lines_and_none_is_lost() {
    let (_, lines) = recorded(|| {
        for n in 0..250 {
            metrics::histogram!("switchboard_confidence_score").record(f64::from(n));
        }
        metrics::counter!("switchboard_syncs_total").increment(1);
    });
    assert_eq!(lines.len(), 3);
    assert_eq!(values(&lines, "", "ConfidenceScore"), (0..250).map(f64::from).collect::<Vec<_>>());
    assert_eq!(values(&lines, "", "TicketingSystemSyncs"), [1.0], "once, not in each line");
}

#[test]
fn names_without_end_are_bounded() {
    let (_, lines) = recorded(|| {
        for n in 0..2 * SERIES {
            metrics::counter!("switchboard_tool_failures_total", "tool" => n.to_string()).increment(1);
        }
    });
    assert_eq!(values(&lines, "", "ToolFailures"), [SERIES as f64]);
}

#[test]
fn the_table_fits_cloudwatch_and_names_what_the_code_records() {
    let mut sources = String::new();
    for folder in ["aws", "core", "http", "lambda"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("src"), &mut sources);
    }
    // However it is broken into lines.
    sources.retain(|char| !char.is_whitespace());
    for metric in METRICS {
        assert_eq!(METRICS.iter().filter(|other| other.name == metric.name).count(), 1, "{}", metric.name);
        assert!(["Count", "None", "Seconds"].contains(&metric.unit), "{}", metric.unit);
        let recorded = match metric.source {
            Source::Sum { counter: one, .. } | Source::Dollars(one) | Source::Values(one) | Source::Last(one) => {
                vec![one]
            }
            Source::Share { of, among, .. } => vec![of, among],
        };
        for name in recorded {
            assert!(sources.contains(&format!("!(\"{name}\"")), "{name} is recorded nowhere");
        }
        assert_eq!(matches!(metric.source, Source::Sum { by: Some(_), .. }), metric.dimensions.len() == 1);
    }
    assert!(METRICS.len() <= 100, "more would not fit into one line");
}

fn read(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else if !path.parent().is_some_and(|folder| folder.ends_with("emf")) {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
