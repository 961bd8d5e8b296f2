use std::{fs, path::Path};

use serde_json::{Value, json};
use switchboard_aws::{emf::METRICS, tables::TABLES};

use crate::emulator;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_can_be_made_as_they_are_described() {
    let clients = emulator::fresh().await;
    for table in TABLES {
        let described =
            clients.dynamo.describe_table().table_name(clients.names.table(table.name)).send().await.unwrap();
        let described = described.table.unwrap();
        assert_eq!(described.global_secondary_indexes().len(), table.indexes.len(), "{}", table.name);
        assert_eq!(described.latest_stream_arn().is_some(), table.stream, "{}", table.name);
    }
}

fn infrastructure(file: &str) -> (std::path::PathBuf, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra").join(file);
    let text = fs::read_to_string(&path).unwrap();
    (path, serde_json::from_str(&text).unwrap())
}

#[test]
fn the_infrastructure_makes_these_tables() {
    let (path, known) = infrastructure("tables.json");
    let ours = json!(TABLES);
    if std::env::var_os("SWITCHBOARD_TEST_UPDATE").is_some() {
        fs::write(path, format!("{ours:#}\n")).unwrap();
        return;
    }
    assert_eq!(known, ours, "SWITCHBOARD_TEST_UPDATE=1 cargo test -p switchboard-aws tables writes infra/tables.json");
}

#[test]
fn alarms_and_dashboard_know_metrics_that_there_are() {
    let (_, known) = infrastructure("metrics.json");
    for metric in known["metrics"].as_array().unwrap() {
        let name = metric["name"].as_str().unwrap();
        assert!(METRICS.iter().any(|ours| ours.name == name), "{name} is in infra/metrics.json alone");
    }
}
