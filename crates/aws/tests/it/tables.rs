use switchboard_aws::tables::TABLES;

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
