//! The emulator, and an account of its own for each test in it.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use switchboard_aws::{
    Clients, Names, Settings,
    tables::{TABLES, Table},
};

/// The variable that says where the emulator is.
const ENDPOINT: &str = "SWITCHBOARD_TEST_AWS_ENDPOINT";

/// Clients of fresh, empty tables and a fresh bucket. Names differ from test to test, so that all share one emulator.
pub(crate) async fn fresh() -> Clients {
    let all: Vec<_> = TABLES.iter().map(|table| table.name).collect();
    with(&all).await
}

/// The same with these tables alone: for suites that begin anew very often.
pub(crate) async fn with(tables: &[&str]) -> Clients {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("t{}-{number}", std::process::id());
    let clients = Clients::new(&settings(&prefix)).await;
    for table in TABLES.iter().filter(|table| tables.contains(&table.name)) {
        create(&clients, table).await;
    }
    clients.s3.create_bucket().bucket(&clients.names.bucket).send().await.unwrap();
    clients
}

/// What leads to the emulator.
pub(crate) fn settings(prefix: &str) -> Settings {
    let endpoint = std::env::var(ENDPOINT).unwrap_or_else(|_| {
        panic!("{ENDPOINT} is not set: `cargo xtask test` starts the emulator and sets it, `cargo xtask emulator` starts it alone")
    });
    Settings {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.parse().unwrap()),
        names: Names {
            prefix: prefix.to_owned(),
            bucket: format!("{prefix}-bucket"),
            bus: format!("{prefix}-bus"),
            jobs_queue: None,
        },
    }
}

async fn create(clients: &Clients, table: &Table) {
    let mut attributes: Vec<&str> = [Some(table.hash), table.range].into_iter().flatten().collect();
    let mut request = clients.dynamo.create_table().table_name(clients.names.table(table.name));
    request = request.billing_mode(BillingMode::PayPerRequest).set_key_schema(Some(schema(table.hash, table.range)));
    for index in table.indexes {
        attributes.extend([index.hash, index.range]);
        let projection = if index.whole { ProjectionType::All } else { ProjectionType::KeysOnly };
        request = request.global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(schema(index.hash, Some(index.range))))
                .projection(Projection::builder().projection_type(projection).build())
                .build()
                .unwrap(),
        );
    }
    attributes.sort_unstable();
    attributes.dedup();
    for name in attributes {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        request = request.attribute_definitions(attribute.build().unwrap());
    }
    if table.stream {
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
        request = request.stream_specification(stream.build().unwrap());
    }
    // No time to live: the emulator deletes by the true clock, and what a test stores has the time of a clock that stands still.
    request.send().await.unwrap();
}

fn schema(hash: &str, range: Option<&str>) -> Vec<KeySchemaElement> {
    let element = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let mut schema = vec![element(hash, KeyType::Hash)];
    schema.extend(range.map(|name| element(name, KeyType::Range)));
    schema
}
