//! The audit log in DynamoDB. The signed head is one item, and whoever appends replaces it on condition that it is still the
//! one that he read: so several processes number their entries one after the other, without gaps.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Put, TransactWriteItem},
};
use switchboard_core::{
    access::audit::{
        AuditEntry, NewAuditEntry,
        chain::{AuditKey, ChainHash, Check, Fault, Head, KeptEntry, Verdict},
    },
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    ports::{AuditFilter, AuditLog, Clock, Ids, TenantScope},
};
use tokio::sync::Mutex;

use crate::{
    Clients,
    attributes::{Item, Row, bytes, item, json, text},
    bulk::{self, incomplete},
    error::explain,
};

const TABLE: &str = "audit";
/// Partition of the entries.
const ENTRIES: &str = "entries";
/// Partition and sort key of the signed head.
const HEAD: &str = "head";
/// Entries that are read at a time.
const PAGE: i32 = 500;
/// Beginnings of one append, when others append at the same moment.
const TRIES: u32 = 30;
/// The longest first wait between them; each may be twice as long as the one before, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// The audit log of all processes that share the tables. A clone is the same log.
///
/// An entry lies under its number. One about a tenant is also pointed to under the tenant and the number that it has among
/// the tenant's own. Filters read the records themselves, which the chain covers, and [`AuditLog::verify`] looks at the
/// pointers too.
#[derive(Clone)]
pub struct DynamoAudit {
    clients: Clients,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    key: Arc<AuditKey>,
    /// Those of one process need not run against each other.
    turn: Arc<Mutex<()>>,
}

/// What came of a write that takes an entry along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Both are kept; the entry has this number.
    At(u64),
    /// Neither is: the condition of this write does not hold.
    Refused(usize),
}

/// Where the next entry goes.
struct Place {
    sequence: u64,
    last: ChainHash,
    /// The signature of the head that is to be replaced.
    mac: Option<Vec<u8>>,
}

impl DynamoAudit {
    /// The log whose head is signed with `key`.
    pub fn new(clients: Clients, key: AuditKey, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { clients, clock, ids, key: Arc::new(key), turn: Arc::default() }
    }

    /// Makes `writes` and appends the entry, in one transaction. Whoever's write has a condition learns whether it held.
    pub(crate) async fn append_with(&self, entry: &NewAuditEntry, writes: &[TransactWriteItem]) -> Result<Appended> {
        let _turn = self.turn.lock().await;
        for attempt in 0..TRIES {
            let place = self.place().await?;
            let own = match &entry.tenant {
                Some(tenant) => Some((tenant, self.highest(&pointers(tenant)).await?.saturating_add(1))),
                None => None,
            };
            let all = [writes, &self.entry(entry, &place, own)?].concat();
            let sent = self.clients.dynamo.transact_write_items().set_transact_items(Some(all)).send().await;
            let Err(error) = sent else { return Ok(Appended::At(place.sequence)) };
            let reasons = reasons(error.as_service_error());
            let refused = reasons.iter().take(writes.len()).position(|reason| reason == "ConditionalCheckFailed");
            if let Some(refused) = refused {
                return Ok(Appended::Refused(refused));
            }
            if !reasons.iter().any(|reason| matches!(reason.as_str(), "ConditionalCheckFailed" | "TransactionConflict"))
            {
                return Err(explain("writing to the audit log", error));
            }
            self.clock.sleep(self.pause(attempt)).await;
        }
        Err(Error::new(ErrorKind::Overloaded, "too many write to the audit log at this moment; try again"))
    }

    /// A random part of a time that grows, so that two processes do not meet again and again.
    fn pause(&self, attempt: u32) -> Duration {
        let mut random = [0; 4];
        self.ids.fill(&mut random);
        let longest = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST_WAIT);
        longest.mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
    }

    async fn place(&self) -> Result<Place> {
        let head = self.head().await?;
        let mac = head.as_ref().map(|head| head.mac.clone()).filter(|mac| !mac.is_empty());
        let (sequence, last) = match &head {
            Some(head) if self.key.has_signed(head) => {
                let hash: [u8; 32] = head.hash.as_slice().try_into().unwrap_or_default();
                (head.sequence.saturating_add(1), ChainHash(hash))
            }
            None if self.highest(ENTRIES).await? == 0 => (1, ChainHash::default()),
            // Somebody changed the head. Signing a new one as if nothing had happened would hide what was done: a number is
            // left out, and every check finds the gap from now on.
            _ => {
                tracing::error!("the audit log was tampered with; see `switchboard audit-log verify`");
                let highest = self.highest(ENTRIES).await?;
                (highest.max(head.map_or(0, |head| head.sequence)).saturating_add(2), ChainHash::default())
            }
        };
        Ok(Place { sequence, last, mac })
    }

    /// The writes of an entry: itself, the new head, and who it is about with his own number.
    fn entry(
        &self,
        entry: &NewAuditEntry,
        place: &Place,
        own: Option<(&TenantId, u64)>,
    ) -> Result<Vec<TransactWriteItem>> {
        let record = json(&entry.clone().at(place.sequence, self.clock.now()))?;
        let hash = place.last.then(record.as_bytes());
        let signed = self.key.sign(place.sequence, &hash);
        let kept = item([
            ("log", text(ENTRIES)),
            ("sequence", text(padded(place.sequence))),
            ("record", text(record)),
            ("hash", bytes(hash.0)),
        ]);
        let head = item([
            ("log", text(HEAD)),
            ("sequence", text(HEAD)),
            ("newest", text(padded(place.sequence))),
            ("hash", bytes(signed.hash)),
            ("mac", bytes(signed.mac)),
        ]);
        let head = match &place.mac {
            Some(mac) => self
                .put(head)
                .condition_expression("mac = :mac")
                .expression_attribute_values(":mac", bytes(mac.clone())),
            None => self.put(head).condition_expression("attribute_not_exists(mac)"),
        };
        let new = "attribute_not_exists(#log)";
        let is_new = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
            put.condition_expression(new).expression_attribute_names("#log", "log")
        };
        let mut puts = vec![is_new(self.put(kept)), head];
        puts.extend(own.map(|(tenant, number)| {
            let number = text(padded(number));
            let entry = text(padded(place.sequence));
            is_new(self.put(item([("log", text(pointers(tenant))), ("sequence", number), ("entry", entry)])))
        }));
        let write = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
            put.build().map(|put| TransactWriteItem::builder().put(put).build()).map_err(incomplete)
        };
        puts.into_iter().map(write).collect()
    }

    fn put(&self, item: Item) -> aws_sdk_dynamodb::types::builders::PutBuilder {
        Put::builder().table_name(self.clients.names.table(TABLE)).set_item(Some(item))
    }

    async fn head(&self) -> Result<Option<Head>> {
        let request = self.clients.dynamo.get_item().table_name(self.clients.names.table(TABLE)).consistent_read(true);
        let found = request.key("log", text(HEAD)).key("sequence", text(HEAD)).send().await;
        let found = found.map_err(|error| explain("reading the audit log", error))?.item;
        // What is missing was taken away by somebody, and no key has signed that.
        Ok(found.as_ref().map(|item| Head {
            sequence: number(item, "newest"),
            hash: raw(item, "hash"),
            mac: raw(item, "mac"),
        }))
    }

    /// The highest number of a partition; 0 when it is empty.
    async fn highest(&self, partition: &str) -> Result<u64> {
        let page = self.page(partition, &Span { newest_first: true, limit: 1, ..Span::default() }).await?;
        Ok(page.items.first().map_or(0, |item| number(item, "sequence")))
    }

    async fn page(&self, partition: &str, span: &Span) -> Result<PageOf> {
        let mut request = self.clients.dynamo.query().table_name(self.clients.names.table(TABLE)).consistent_read(true);
        request =
            request.expression_attribute_names("#log", "log").expression_attribute_values(":log", text(partition));
        let mut condition = "#log = :log".to_owned();
        for (bound, comparison) in [(span.after, " AND #sequence > :bound"), (span.before, " AND #sequence < :bound")] {
            if let Some(bound) = bound {
                condition.push_str(comparison);
                request = request
                    .expression_attribute_names("#sequence", "sequence")
                    .expression_attribute_values(":bound", text(padded(bound)));
            }
        }
        let request = request.key_condition_expression(condition).scan_index_forward(!span.newest_first);
        let request = request.limit(span.limit).set_exclusive_start_key(span.from.clone());
        let answer = request.send().await.map_err(|error| explain("reading the audit log", error))?;
        Ok(PageOf { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
    }

    /// The entries that a tenant's pointers lead to, in the order of the pointers.
    async fn pointed_to(&self, scope: &TenantScope, pointers: &[Item], own_numbers: bool) -> Result<Vec<AuditEntry>> {
        // Each once, whatever somebody did to the pointers: DynamoDB refuses a call that names a key twice.
        let numbers: BTreeSet<u64> = pointers.iter().map(|pointer| number(pointer, "entry")).collect();
        let keys: Vec<_> = numbers.into_iter().map(entry_key).collect();
        let items = bulk::get_all(&self.clients, self.clock.as_ref(), TABLE, &keys).await?;
        let items: HashMap<u64, &Item> = items.iter().map(|item| (number(item, "sequence"), item)).collect();
        let mut entries = Vec::with_capacity(pointers.len());
        for pointer in pointers {
            let (own, sequence) = (number(pointer, "sequence"), number(pointer, "entry"));
            let entry = items.get(&sequence).map(|item| decoded(item)).transpose()?;
            // The pointers are not in the chain. One that points elsewhere shows nobody what is not his.
            match entry.filter(|entry| entry.tenant.as_ref() == Some(scope.tenant())) {
                Some(entry) => entries.push(AuditEntry { sequence: if own_numbers { own } else { sequence }, ..entry }),
                None => {
                    tracing::error!(sequence, "the audit log was tampered with; see `switchboard audit-log verify`")
                }
            }
        }
        Ok(entries)
    }

    /// Checks the entries of a span, and notes which are about whom. Gives the last one's number.
    async fn check(
        &self,
        mut span: Span,
        check: &mut Check<'_>,
        tenants: &mut HashMap<TenantId, Vec<u64>>,
    ) -> Result<u64> {
        let mut last = 0;
        loop {
            let page = self.page(ENTRIES, &span).await?;
            for item in &page.items {
                last = check_one(item, check, tenants);
            }
            match page.next {
                Some(next) => span.from = Some(next),
                None => return Ok(last),
            }
        }
    }

    /// The lowest number of an entry, up to `newest`, that its tenant's pointers do not lead to as they should.
    async fn wrong_pointer(&self, tenants: HashMap<TenantId, Vec<u64>>, newest: u64) -> Result<Option<u64>> {
        let mut wrong = None;
        for (tenant, entries) in tenants {
            let mut expected = (1..).zip(entries);
            let mut span = Span { limit: PAGE, ..Span::default() };
            loop {
                let page = self.page(&pointers(&tenant), &span).await?;
                // What was appended meanwhile is beyond.
                for pointer in page.items.iter().filter(|pointer| number(pointer, "entry") <= newest) {
                    let seen = (number(pointer, "sequence"), number(pointer, "entry"));
                    let next = expected.next();
                    if next != Some(seen) {
                        wrong = lower(wrong, next.unwrap_or(seen).1);
                    }
                }
                match page.next {
                    Some(next) => span.from = Some(next),
                    None => break,
                }
            }
            if let Some((_, missing)) = expected.next() {
                wrong = lower(wrong, missing);
            }
        }
        Ok(wrong)
    }
}

fn lower(one: Option<u64>, other: u64) -> Option<u64> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// A part of a partition: after one number, or before one, and from where the page before ended.
#[derive(Clone, Debug, Default)]
struct Span {
    after: Option<u64>,
    before: Option<u64>,
    from: Option<Item>,
    newest_first: bool,
    limit: i32,
}

struct PageOf {
    items: Vec<Item>,
    next: Option<Item>,
}

#[async_trait]
impl AuditLog for DynamoAudit {
    async fn append(&self, entry: NewAuditEntry) -> Result<u64> {
        match self.append_with(&entry, &[]).await? {
            Appended::At(sequence) => Ok(sequence),
            Appended::Refused(_) => Err(Error::new(ErrorKind::Internal, "an entry alone has no condition to fail")),
        }
    }

    async fn list(&self, scope: Option<&TenantScope>, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>> {
        let is_meant = |entry: &AuditEntry| {
            filter.since.is_none_or(|since| entry.at >= since)
                && filter.action.is_none_or(|action| entry.action == action)
                && filter.before.is_none_or(|before| entry.sequence < before)
        };
        // A tenant's pointers are in the order of its own numbers, so only those can say where to begin.
        let before = filter.before.filter(|_| scope.is_none() || filter.own_numbers);
        let mut span = Span { before, newest_first: true, limit: PAGE, ..Span::default() };
        let partition = scope.map_or_else(|| ENTRIES.to_owned(), |scope| pointers(scope.tenant()));
        let mut entries = Vec::new();
        while entries.len() < limit as usize {
            let page = self.page(&partition, &span).await?;
            let found = match scope {
                Some(scope) => self.pointed_to(scope, &page.items, filter.own_numbers).await?,
                None => page.items.iter().map(decoded).collect::<Result<_>>()?,
            };
            entries.extend(found.into_iter().filter(is_meant));
            match page.next {
                Some(next) => span.from = Some(next),
                None => break,
            }
        }
        entries.truncate(limit as usize);
        Ok(entries)
    }

    async fn verify(&self) -> Result<Verdict> {
        let (mut check, mut tenants) = (Check::new(&self.key), HashMap::new());
        let all = Span { limit: PAGE, ..Span::default() };
        let last = self.check(all.clone(), &mut check, &mut tenants).await?;
        // Entries and head change together: what the head tells of beyond was appended meanwhile.
        let head = self.head().await?;
        let newest = head.as_ref().map_or(0, |head| head.sequence);
        let mut after = last;
        while after < newest {
            let span = Span { after: Some(after), limit: 1, ..Span::default() };
            let Some(item) = self.page(ENTRIES, &span).await?.items.into_iter().next() else { break };
            after = check_one(&item, &mut check, &mut tenants).max(after + 1);
        }
        let verdict = check.finish(head.as_ref());
        if matches!(verdict, Verdict::Whole { .. })
            && let Some(sequence) = self.wrong_pointer(tenants, newest).await?
        {
            return Ok(Verdict::Broken { sequence, fault: Fault::Changed });
        }
        Ok(verdict)
    }
}

fn check_one(item: &Item, check: &mut Check<'_>, tenants: &mut HashMap<TenantId, Vec<u64>>) -> u64 {
    let sequence = number(item, "sequence");
    let record = item.get("record").and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    check.entry(&KeptEntry { sequence, record: record.into_bytes(), hash: raw(item, "hash") });
    if let Some(tenant) = decoded(item).ok().and_then(|entry| entry.tenant) {
        tenants.entry(tenant).or_default().push(sequence);
    }
    sequence
}

fn pointers(tenant: &TenantId) -> String {
    format!("t#{tenant}")
}

fn entry_key(sequence: u64) -> Item {
    item([("log", text(ENTRIES)), ("sequence", text(padded(sequence)))])
}

fn decoded(item: &Item) -> Result<AuditEntry> {
    Row { table: TABLE, item }.json("record")
}

/// A number as a sort key: texts sort as the numbers do.
fn padded(number: u64) -> String {
    format!("{number:020}")
}

/// A padded number; 0, which is no number of any entry, when somebody put something else there.
fn number(item: &Item, name: &str) -> u64 {
    item.get(name).and_then(|value| value.as_s().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn raw(item: &Item, name: &str) -> Vec<u8> {
    item.get(name)
        .and_then(|value: &AttributeValue| value.as_b().ok())
        .map(|blob| blob.as_ref().to_vec())
        .unwrap_or_default()
}

/// Why a transaction was cancelled, write by write; empty when it was not.
fn reasons(error: Option<&TransactWriteItemsError>) -> Vec<String> {
    match error {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            let reasons = cancelled.cancellation_reasons().iter();
            reasons.map(|reason| reason.code().unwrap_or_default().to_owned()).collect()
        }
        _ => Vec::new(),
    }
}
