//! Many items of one table at a time.

use std::time::Duration;

use aws_sdk_dynamodb::types::{KeysAndAttributes, PutRequest, WriteRequest};
use futures_util::future::try_join_all;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ports::Clock,
};

use crate::{Clients, attributes::Item, error::explain};

/// Items that one `BatchWriteItem` takes.
const PUTS: usize = 25;
/// Items that one `BatchGetItem` takes.
const GETS: usize = 100;
/// Calls that are made side by side.
const SIDE_BY_SIDE: usize = 4;
/// Calls for what was left undone because the table is busy; each waits twice as long as the one before.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Puts items, each whole, in no order. Their keys must differ.
pub(crate) async fn put_all(clients: &Clients, clock: &dyn Clock, table: &'static str, items: Vec<Item>) -> Result<()> {
    let mut requests = Vec::with_capacity(items.len());
    for item in items {
        let put = PutRequest::builder().set_item(Some(item)).build().map_err(incomplete)?;
        requests.push(WriteRequest::builder().put_request(put).build());
    }
    let chunks: Vec<_> = requests.chunks(PUTS).map(<[_]>::to_vec).collect();
    for side_by_side in chunks.chunks(SIDE_BY_SIDE) {
        try_join_all(side_by_side.iter().map(|chunk| put(clients, clock, table, chunk.clone()))).await?;
    }
    Ok(())
}

async fn put(clients: &Clients, clock: &dyn Clock, table: &'static str, mut left: Vec<WriteRequest>) -> Result<()> {
    let name = clients.names.table(table);
    for attempt in 0..TRIES {
        wait(clock, attempt).await;
        let sent = clients.dynamo.batch_write_item().request_items(&name, left).send().await;
        let answer = sent.map_err(|error| explain("writing many items", error))?;
        left = answer.unprocessed_items.and_then(|mut tables| tables.remove(&name)).unwrap_or_default();
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(busy(table))
}

/// The items of these keys, in no order, as they are now; what is not there is left out.
pub(crate) async fn get_all(
    clients: &Clients,
    clock: &dyn Clock,
    table: &'static str,
    keys: &[Item],
) -> Result<Vec<Item>> {
    let chunks: Vec<_> = keys.chunks(GETS).collect();
    let mut items = Vec::with_capacity(keys.len());
    for side_by_side in chunks.chunks(SIDE_BY_SIDE) {
        let found = try_join_all(side_by_side.iter().map(|chunk| get(clients, clock, table, chunk))).await?;
        items.extend(found.into_iter().flatten());
    }
    Ok(items)
}

async fn get(clients: &Clients, clock: &dyn Clock, table: &'static str, keys: &[Item]) -> Result<Vec<Item>> {
    let name = clients.names.table(table);
    let wanted = KeysAndAttributes::builder().set_keys(Some(keys.to_vec())).consistent_read(true);
    let mut left = wanted.build().map_err(incomplete)?;
    let mut items = Vec::with_capacity(keys.len());
    for attempt in 0..TRIES {
        wait(clock, attempt).await;
        let sent = clients.dynamo.batch_get_item().request_items(&name, left).send().await;
        let answer = sent.map_err(|error| explain("reading many items", error))?;
        items.extend(answer.responses.and_then(|mut tables| tables.remove(&name)).unwrap_or_default());
        match answer.unprocessed_keys.and_then(|mut tables| tables.remove(&name)) {
            Some(unprocessed) if !unprocessed.keys.is_empty() => left = unprocessed,
            _ => return Ok(items),
        }
    }
    Err(busy(table))
}

async fn wait(clock: &dyn Clock, attempt: u32) {
    if attempt > 0 {
        clock.sleep(FIRST_WAIT * 2_u32.pow(attempt - 1)).await;
    }
}

fn busy(table: &str) -> Error {
    Error::new(ErrorKind::Throttled, format!("table `{table}` takes no more at the moment"))
}

/// What a builder of the SDK says of a field that is missing.
pub(crate) fn incomplete(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::new(ErrorKind::Internal, "a call to DynamoDB is incomplete").caused_by(error)
}
