//! DynamoDB, as far as the stores need it: consistent reads, pages of an index, and writes that happen together or not at
//! all. Every request goes through here, so that requests can be counted.

mod item;
mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, KeysAndAttributes, PutRequest, Select, WriteRequest},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard_core::{
    error::{Error, ErrorKind, Result, Retry},
    ports::{Clock, Ids},
};

pub(crate) use item::{Item, Read, b, corrupt, decimal, flag, from_json, item, key, millis, n, pair, s, to_json};
pub(crate) use write::Write;

use crate::{Clients, Names, error::explain};

/// Items of one transaction: the service's limit.
pub(crate) const TRANSACTION_ITEMS: usize = 100;
/// Bytes of one transaction as we count them: well under the service's 4 MB, whatever the escapes on the wire make of it.
pub(crate) const TRANSACTION_BYTES: usize = 1_200_000;
/// Tries of a transaction that others are in the way of.
const CONFLICT_TRIES: u32 = 6;
/// The wait after the first conflict; it doubles, and half of it is drawn at random.
const CONFLICT_WAIT: Duration = Duration::from_millis(25);
/// Keys of one `BatchGetItem`: the service's limit.
const FETCHED_AT_ONCE: usize = 100;
/// Items of one `BatchWriteItem`: the service's limit.
const PUT_AT_ONCE: usize = 25;
/// Batches at the same time.
const BATCHES_AT_ONCE: usize = 4;

/// Requests since the process began.
#[derive(Debug, Default)]
pub struct Requests {
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Requests {
    /// Requests that read: `GetItem`, `BatchGetItem`, a page of a `Query`.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Requests that write: a transaction or a single write, each try of ours.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Why a transaction wrote nothing: for each of its writes `None` when its condition held, else the item as it is (empty when
/// there is none).
#[derive(Debug)]
pub(crate) struct Cancelled(Vec<Option<Item>>);

impl Cancelled {
    /// The first of the writes, up to this one, whose condition failed.
    pub(crate) fn first_before(&self, end: usize) -> Option<usize> {
        self.0.iter().take(end).position(Option::is_some)
    }

    /// The item of the `at`th write when its condition failed.
    pub(crate) fn failed(&self, at: usize) -> Option<&Item> {
        self.0.get(at).and_then(Option::as_ref)
    }
}

/// What came of one try of a transaction.
#[derive(Debug)]
pub(crate) enum Tried {
    /// All of it is written.
    Done,
    /// Nothing is: conditions failed.
    Failed(Cancelled),
    /// Nothing is: others are in the way, and it may go through in a moment.
    InTheWay,
}

/// Which items of a table or an index: those of one partition, in the order of the sort key.
#[derive(Clone, Debug)]
pub(crate) struct Find {
    table: &'static str,
    index: Option<&'static str>,
    hash: (&'static str, String),
    range: Option<(&'static str, String, String)>,
    newest_first: bool,
    limit: Option<i32>,
}

impl Find {
    /// Those of a table's partition, read consistently.
    pub(crate) fn of(table: &'static str, hash: &'static str, value: impl Into<String>) -> Self {
        Self { table, index: None, hash: (hash, value.into()), range: None, newest_first: false, limit: None }
    }

    /// Those of an index's partition. Indexes follow the table after a moment.
    pub(crate) fn by(table: &'static str, index: &'static str, hash: &'static str, value: impl Into<String>) -> Self {
        Self { index: Some(index), ..Self::of(table, hash, value) }
    }

    /// With a sort key from `low` to `high`, both inside.
    pub(crate) fn between(self, range: &'static str, low: impl Into<String>, high: impl Into<String>) -> Self {
        Self { range: Some((range, low.into(), high.into())), ..self }
    }

    /// With a sort key that begins with `prefix` and `#`.
    pub(crate) fn under(self, range: &'static str, prefix: &str) -> Self {
        // `$` follows `#`.
        self.between(range, format!("{prefix}#"), format!("{prefix}$"))
    }

    /// The last ones first.
    pub(crate) fn newest_first(self) -> Self {
        Self { newest_first: true, ..self }
    }

    /// At most so many of one page.
    pub(crate) fn at_most(self, limit: usize) -> Self {
        Self { limit: Some(i32::try_from(limit).unwrap_or(i32::MAX).max(1)), ..self }
    }

    fn is_empty(&self) -> bool {
        self.range.as_ref().is_some_and(|(_, low, high)| low > high)
    }
}

/// The tables. The SDK's futures are many kilobytes large, so each is boxed where it is made.
pub(crate) struct Db {
    client: aws_sdk_dynamodb::Client,
    names: Names,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    pub(crate) requests: Arc<Requests>,
}

impl Db {
    pub(crate) fn new(clients: &Clients, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let (client, names) = (clients.dynamo.clone(), clients.names.clone());
        Self { client, names, clock, ids, requests: Arc::default() }
    }

    fn read(&self, operation: &'static str) {
        self.requests.reads.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("switchboard_aws_requests_total", "operation" => operation).increment(1);
    }

    fn wrote(&self, operation: &'static str) {
        self.requests.writes.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("switchboard_aws_requests_total", "operation" => operation).increment(1);
    }

    /// One item, as the last write left it.
    pub(crate) async fn get(&self, table: &'static str, key: Item) -> Result<Option<Item>> {
        self.read("GetItem");
        let request = self.client.get_item().table_name(self.names.table(table)).set_key(Some(key));
        let answer = Box::pin(request.consistent_read(true).send()).await;
        Ok(answer.map_err(|error| explain("reading an item", error))?.item)
    }

    /// Those of the items that there are, in no order, as the last writes left them.
    pub(crate) async fn fetch(&self, table: &'static str, keys: Vec<Item>) -> Result<Vec<Item>> {
        let chunks: Vec<Vec<Item>> = keys.chunks(FETCHED_AT_ONCE).map(<[Item]>::to_vec).collect();
        let fetched = stream::iter(chunks).map(|keys| self.fetch_some(table, keys)).buffer_unordered(BATCHES_AT_ONCE);
        Ok(fetched.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn fetch_some(&self, table: &'static str, keys: Vec<Item>) -> Result<Vec<Item>> {
        let name = self.names.table(table);
        let mut found = Vec::with_capacity(keys.len());
        let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build().ok();
        for turn in 0..CONFLICT_TRIES {
            let Some(keys) = wanted.take() else { return Ok(found) };
            self.read("BatchGetItem");
            let answer = Box::pin(self.client.batch_get_item().request_items(&name, keys).send()).await;
            let answer = answer.map_err(|error| explain("reading items", error))?;
            found.extend(answer.responses.into_iter().flatten().flat_map(|(_, items)| items));
            wanted = answer.unprocessed_keys.into_iter().flatten().map(|(_, keys)| keys).next();
            if wanted.is_none() {
                return Ok(found);
            }
            self.back_off(turn).await;
        }
        Err(throttled("the tables give not all that was asked for"))
    }

    /// A page, and where the next one begins.
    pub(crate) async fn page(&self, find: &Find, from: Option<Item>) -> Result<(Vec<Item>, Option<Item>)> {
        if find.is_empty() {
            return Ok((Vec::new(), None));
        }
        self.read("Query");
        let answer = Box::pin(self.query(find).set_exclusive_start_key(from).send()).await;
        let answer = answer.map_err(|error| explain("reading an index", error))?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.filter(|key| !key.is_empty())))
    }

    /// All of them, up to `most`.
    pub(crate) async fn all(&self, find: &Find, most: usize) -> Result<Vec<Item>> {
        let (mut all, mut from) = self.page(find, None).await?;
        while let Some(next) = from.take().filter(|_| all.len() < most) {
            let (more, then) = self.page(find, Some(next)).await?;
            all.extend(more);
            from = then;
        }
        all.truncate(most);
        Ok(all)
    }

    /// How many there are; from `most` on it does not count further.
    pub(crate) async fn count(&self, find: &Find, most: u64) -> Result<u64> {
        let mut count = 0;
        let mut from = None;
        loop {
            self.read("Query");
            let request = self.query(find).select(Select::Count).set_exclusive_start_key(from);
            let answer = Box::pin(request.send()).await;
            let answer = answer.map_err(|error| explain("counting in an index", error))?;
            count += u64::try_from(answer.count).unwrap_or(0);
            from = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() || count >= most {
                return Ok(count);
            }
        }
    }

    fn query(&self, find: &Find) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
        let (hash, value) = &find.hash;
        let mut request = self
            .client
            .query()
            .table_name(self.names.table(find.table))
            .set_index_name(find.index.map(str::to_owned))
            .consistent_read(find.index.is_none())
            .scan_index_forward(!find.newest_first)
            .set_limit(find.limit)
            .expression_attribute_names("#hash", *hash)
            .expression_attribute_values(":hash", s(value.as_str()));
        let mut condition = "#hash = :hash".to_owned();
        if let Some((range, low, high)) = &find.range {
            condition.push_str(" AND #range BETWEEN :low AND :high");
            request = request
                .expression_attribute_names("#range", *range)
                .expression_attribute_values(":low", s(low.as_str()))
                .expression_attribute_values(":high", s(high.as_str()));
        }
        request.key_condition_expression(condition)
    }

    /// Puts items, each whole, in no order. Their keys must differ.
    pub(crate) async fn put_all(&self, table: &'static str, items: Vec<Item>) -> Result<()> {
        let mut requests = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(incomplete)?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        let chunks: Vec<Vec<WriteRequest>> = requests.chunks(PUT_AT_ONCE).map(<[_]>::to_vec).collect();
        let put = stream::iter(chunks).map(|requests| self.put_some(table, requests));
        put.buffer_unordered(BATCHES_AT_ONCE).try_collect::<()>().await
    }

    async fn put_some(&self, table: &'static str, mut left: Vec<WriteRequest>) -> Result<()> {
        let name = self.names.table(table);
        for turn in 0..CONFLICT_TRIES {
            self.wrote("BatchWriteItem");
            let answer = Box::pin(self.client.batch_write_item().request_items(&name, left).send()).await;
            let answer = answer.map_err(|error| explain("writing items", error))?;
            left = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, requests)| requests).collect();
            if left.is_empty() {
                return Ok(());
            }
            self.back_off(turn).await;
        }
        Err(throttled("the tables take not all that they were given"))
    }

    /// Writes all of it or nothing. When another transaction is in the way it tries again, a few times.
    pub(crate) async fn transact(&self, what: &'static str, writes: &[Write]) -> Result<Result<(), Cancelled>> {
        for turn in 0..CONFLICT_TRIES {
            match self.try_transact(what, writes).await? {
                Tried::Done => return Ok(Ok(())),
                Tried::Failed(cancelled) => return Ok(Err(cancelled)),
                Tried::InTheWay => self.back_off(turn).await,
            }
        }
        Err(throttled("others write the same items all the time"))
    }

    /// One try to write all of it or nothing.
    pub(crate) async fn try_transact(&self, what: &'static str, writes: &[Write]) -> Result<Tried> {
        self.wrote("TransactWriteItems");
        let items = writes.iter().map(|write| write.in_transaction(&self.names)).collect::<Result<Vec<_>>>()?;
        // The SDK gives each call a token, by which its own repetitions are known.
        let request = self.client.transact_write_items().set_transact_items(Some(items));
        let error = match Box::pin(request.send()).await {
            Ok(_) => return Ok(Tried::Done),
            Err(error) => error,
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            return Err(explain(what, error));
        };
        let mut in_the_way = false;
        let mut failed = Vec::with_capacity(writes.len());
        for reason in cancelled.cancellation_reasons() {
            let code = reason.code().unwrap_or("None");
            in_the_way |= IN_THE_WAY.contains(&code);
            let old = (code == "ConditionalCheckFailed").then(|| reason.item().cloned().unwrap_or_default());
            failed.push(old);
        }
        if failed.iter().any(Option::is_some) {
            return Ok(Tried::Failed(Cancelled(failed)));
        }
        if !in_the_way {
            return Err(explain(what, error));
        }
        metrics::counter!("switchboard_aws_conflicts_total").increment(1);
        Ok(Tried::InTheWay)
    }

    /// One write by itself: half the price of a transaction. `false` when its condition failed.
    pub(crate) async fn write(&self, what: &'static str, write: &Write) -> Result<bool> {
        self.wrote("UpdateItem");
        write.alone(&self.client, &self.names, what).await
    }

    /// Waits before the next try; the longer, the more there were.
    pub(crate) async fn back_off(&self, turn: u32) {
        let mut random = [0; 2];
        self.ids.fill(&mut random);
        let part = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
        self.clock.sleep(CONFLICT_WAIT.saturating_mul(1 << turn.min(8)).mul_f64(0.5 + part / 2.0)).await;
    }
}

/// What a builder of the SDK says of a field that is missing.
fn incomplete(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::new(ErrorKind::Internal, "a call to DynamoDB is incomplete").caused_by(error)
}

/// Reasons that pass: the same transaction may go through in a moment.
const IN_THE_WAY: &[&str] = &["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

pub(crate) fn throttled(message: &'static str) -> Error {
    Error::new(ErrorKind::Throttled, message).with_retry(Retry::After(Duration::from_secs(1)))
}

/// The text of an attribute's value, `None` for another type.
pub(crate) fn text_of(value: &AttributeValue) -> Option<&str> {
    value.as_s().ok().map(String::as_str)
}
