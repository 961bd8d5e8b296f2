//! The audit log in DynamoDB. The signed head is one item, and whoever appends replaces it on condition that it is still the
//! one that he read: so several processes number their entries one after the other, without gaps.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
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
    db::{Db, Find, Item, Read, Tried, Write, b, item, pair, s, to_json},
};

const TABLE: &str = "audit";
/// Partition of the entries.
const ENTRIES: &str = "entries";
/// Partition and sort key of the signed head.
const HEAD: &str = "head";
/// Sort keys before and behind all numbers.
const BEFORE_ALL: &str = "!";
const AFTER_ALL: &str = "~";
/// Entries that are read at a time.
const PAGE: usize = 500;
/// Beginnings of one append, when others append at the same moment.
const TRIES: u32 = 30;
/// From which one on the wait between them grows no longer.
const LONGEST_WAIT: u32 = 3;

/// The audit log of all processes that share the tables. A clone is the same log.
///
/// An entry lies under its number. One about a tenant is also pointed to under the tenant and the number that it has among
/// the tenant's own. Filters read the records themselves, which the chain covers, and [`AuditLog::verify`] looks at the
/// pointers too.
#[derive(Clone)]
pub struct DynamoAudit {
    db: Arc<Db>,
    clock: Arc<dyn Clock>,
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
    pub fn new(clients: &Clients, key: AuditKey, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let db = Arc::new(Db::new(clients, Arc::clone(&clock), ids));
        Self { db, clock, key: Arc::new(key), turn: Arc::default() }
    }

    /// The tables that it is in, for those whose writes take an entry along.
    pub(crate) fn db(&self) -> Arc<Db> {
        Arc::clone(&self.db)
    }

    /// Makes `writes` and appends the entry, in one transaction. Whoever's write has a condition learns whether it held.
    pub(crate) async fn append_with(&self, entry: &NewAuditEntry, writes: &[Write]) -> Result<Appended> {
        let _turn = self.turn.lock().await;
        for attempt in 0..TRIES {
            let place = self.place().await?;
            let own = match &entry.tenant {
                Some(tenant) => Some((tenant, self.highest(&pointers(tenant)).await?.saturating_add(1))),
                None => None,
            };
            let all = [writes, &self.entry(entry, &place, own)?].concat();
            match self.db.try_transact("writing to the audit log", &all).await? {
                Tried::Done => return Ok(Appended::At(place.sequence)),
                Tried::Failed(cancelled) => {
                    if let Some(refused) = cancelled.first_before(writes.len()) {
                        return Ok(Appended::Refused(refused));
                    }
                }
                Tried::InTheWay => {}
            }
            self.db.back_off(attempt.min(LONGEST_WAIT)).await;
        }
        Err(Error::new(ErrorKind::Overloaded, "too many write to the audit log at this moment; try again"))
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
    fn entry(&self, entry: &NewAuditEntry, place: &Place, own: Option<(&TenantId, u64)>) -> Result<Vec<Write>> {
        let record = to_json(&entry.clone().at(place.sequence, self.clock.now()))?;
        let hash = place.last.then(record.as_bytes());
        let signed = self.key.sign(place.sequence, &hash);
        let is_new = |item| Write::put(TABLE, item).when("attribute_not_exists(#log)", []);
        let kept = item([
            ("log", s(ENTRIES)),
            ("sequence", s(padded(place.sequence))),
            ("record", s(record)),
            ("hash", b(hash.0)),
        ]);
        let head = Write::put(
            TABLE,
            item([
                ("log", s(HEAD)),
                ("sequence", s(HEAD)),
                ("newest", s(padded(place.sequence))),
                ("hash", b(signed.hash)),
                ("mac", b(signed.mac)),
            ]),
        );
        let head = match &place.mac {
            Some(mac) => head.when("#mac = :mac", [("mac", b(mac.clone()))]),
            None => head.when("attribute_not_exists(#mac)", []),
        };
        let mut writes = vec![is_new(kept), head];
        writes.extend(own.map(|(tenant, number)| {
            let (number, entry) = (s(padded(number)), s(padded(place.sequence)));
            is_new(item([("log", s(pointers(tenant))), ("sequence", number), ("entry", entry)]))
        }));
        Ok(writes)
    }

    async fn head(&self) -> Result<Option<Head>> {
        let found = self.db.get(TABLE, pair("log", HEAD, "sequence", HEAD)).await?;
        // What is missing was taken away by somebody, and no key has signed that.
        Ok(found.as_ref().map(|item| Head {
            sequence: number(item, "newest"),
            hash: raw(item, "hash"),
            mac: raw(item, "mac"),
        }))
    }

    /// The highest number of a partition; 0 when it is empty.
    async fn highest(&self, partition: &str) -> Result<u64> {
        let (items, _) = self.db.page(&newest(partition, None).at_most(1), None).await?;
        Ok(items.first().map_or(0, |item| number(item, "sequence")))
    }

    /// The entries that a tenant's pointers lead to, in the order of the pointers.
    async fn pointed_to(&self, scope: &TenantScope, pointers: &[Item], own_numbers: bool) -> Result<Vec<AuditEntry>> {
        // Each once, whatever somebody did to the pointers: DynamoDB refuses a call that names a key twice.
        let numbers: BTreeSet<u64> = pointers.iter().map(|pointer| number(pointer, "entry")).collect();
        let keys: Vec<_> = numbers.into_iter().map(|number| pair("log", ENTRIES, "sequence", padded(number))).collect();
        let items = self.db.fetch(TABLE, keys).await?;
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

    /// Checks entries, and notes which are about whom. Gives the last one's number.
    async fn check(
        &self,
        find: &Find,
        check: &mut Check<'_>,
        tenants: &mut HashMap<TenantId, Vec<u64>>,
    ) -> Result<u64> {
        let (mut last, mut from) = (0, None);
        loop {
            let (items, next) = self.db.page(find, from).await?;
            for item in &items {
                last = check_one(item, check, tenants);
            }
            match next {
                Some(next) => from = Some(next),
                None => return Ok(last),
            }
        }
    }

    /// The lowest number of an entry, up to `newest`, that its tenant's pointers do not lead to as they should.
    async fn wrong_pointer(&self, tenants: HashMap<TenantId, Vec<u64>>, newest: u64) -> Result<Option<u64>> {
        let mut wrong = None;
        for (tenant, entries) in tenants {
            let mut expected = (1..).zip(entries);
            let (find, mut from) = (oldest(&pointers(&tenant), None), None);
            loop {
                let (items, next) = self.db.page(&find, from).await?;
                // What was appended meanwhile is beyond.
                for pointer in items.iter().filter(|pointer| number(pointer, "entry") <= newest) {
                    let seen = (number(pointer, "sequence"), number(pointer, "entry"));
                    let meant = expected.next();
                    if meant != Some(seen) {
                        wrong = lower(wrong, meant.unwrap_or(seen).1);
                    }
                }
                match next {
                    Some(next) => from = Some(next),
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

/// What lies in a partition, or what follows a number there.
fn oldest(partition: &str, after: Option<u64>) -> Find {
    let find = Find::of(TABLE, "log", partition).at_most(PAGE);
    match after {
        Some(after) => find.between("sequence", padded(after.saturating_add(1)), AFTER_ALL),
        None => find,
    }
}

/// The same from its end, or from before a number.
fn newest(partition: &str, before: Option<u64>) -> Find {
    let find = Find::of(TABLE, "log", partition).at_most(PAGE).newest_first();
    match before {
        Some(before) => find.between("sequence", BEFORE_ALL, padded(before.saturating_sub(1))),
        None => find,
    }
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
        let partition = scope.map_or_else(|| ENTRIES.to_owned(), |scope| pointers(scope.tenant()));
        let (find, mut from) = (newest(&partition, before), None);
        let mut entries = Vec::new();
        while entries.len() < limit as usize {
            let (items, next) = self.db.page(&find, from).await?;
            let found = match scope {
                Some(scope) => self.pointed_to(scope, &items, filter.own_numbers).await?,
                None => items.iter().map(decoded).collect::<Result<_>>()?,
            };
            entries.extend(found.into_iter().filter(is_meant));
            match next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        entries.truncate(limit as usize);
        Ok(entries)
    }

    async fn verify(&self) -> Result<Verdict> {
        let (mut check, mut tenants) = (Check::new(&self.key), HashMap::new());
        let last = self.check(&oldest(ENTRIES, None), &mut check, &mut tenants).await?;
        // Entries and head change together: what the head tells of beyond was appended meanwhile.
        let head = self.head().await?;
        let newest = head.as_ref().map_or(0, |head| head.sequence);
        let mut after = last;
        while after < newest {
            let (items, _) = self.db.page(&oldest(ENTRIES, Some(after)).at_most(1), None).await?;
            let Some(item) = items.into_iter().next() else { break };
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
    let record = item.text("record").unwrap_or_default().as_bytes().to_vec();
    check.entry(&KeptEntry { sequence, record, hash: raw(item, "hash") });
    if let Some(tenant) = decoded(item).ok().and_then(|entry| entry.tenant) {
        tenants.entry(tenant).or_default().push(sequence);
    }
    sequence
}

fn pointers(tenant: &TenantId) -> String {
    format!("t#{tenant}")
}

fn decoded(item: &Item) -> Result<AuditEntry> {
    item.json("record")
}

/// A number as a sort key: texts sort as the numbers do.
fn padded(number: u64) -> String {
    format!("{number:020}")
}

/// A padded number; 0, which is no number of any entry, when somebody put something else there.
fn number(item: &Item, name: &str) -> u64 {
    item.text(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn raw(item: &Item, name: &str) -> Vec<u8> {
    item.bytes(name).unwrap_or_default().to_vec()
}
