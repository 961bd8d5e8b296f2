use std::{fs, path::Path};

use serde_json::{Value, json};
use switchboard_aws::{
    emf::{DEPLOYMENT, METRICS, NAMESPACE},
    tables::TABLES,
};

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

/// Holds a file of the infrastructure against the list in the code that it is made from.
fn hold(file: &str, ours: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra").join(file);
    if std::env::var_os("SWITCHBOARD_TEST_UPDATE").is_some() {
        return fs::write(path, format!("{ours:#}\n")).unwrap();
    }
    let known: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(
        known, *ours,
        "SWITCHBOARD_TEST_UPDATE=1 cargo test -p switchboard-aws --test it tables writes infra/{file}"
    );
}

#[test]
fn the_infrastructure_makes_these_tables() {
    hold("tables.json", &json!(TABLES));
}

#[test]
fn alarms_and_dashboard_know_metrics_that_there_are() {
    hold("metrics.json", &json!({ "namespace": NAMESPACE, "dimension": DEPLOYMENT, "metrics": METRICS }));
}
