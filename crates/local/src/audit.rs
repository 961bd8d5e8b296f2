//! The audit log in SQLite. Whoever appends holds the write lock of the file, so that several processes number their
//! entries one after the other.

use std::{cell::RefCell, future::Future};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};
use switchboard_core::{
    access::audit::{
        AuditEntry, NewAuditEntry,
        chain::{AuditKey, ChainHash, Check, Head, KeptEntry, Verdict},
    },
    error::{Error, ErrorKind, Result},
    ports::{AuditFilter, AuditLog, TenantScope},
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows},
};

/// Entries that are read at a time when the whole log is checked.
const CHECKED_AT_ONCE: u32 = 1_000;

tokio::task_local! {
    /// The act that the next write of this task is.
    static ACT: RefCell<Option<Act>>;
}

/// An entry that goes along with a write, in the same transaction.
pub(crate) struct Act {
    entry: NewAuditEntry,
    seal: Seal,
}

/// Signs the log and gives its time.
#[derive(Clone)]
pub(crate) struct Seal {
    key: std::sync::Arc<AuditKey>,
    now: Timestamp,
}

impl Act {
    /// The act of this task, if one is waiting for its write.
    pub(crate) fn of_this_task() -> Option<Self> {
        ACT.try_with(|act| act.borrow_mut().take()).ok().flatten()
    }

    /// Appends the entry when the write changed something; `before` is what [`Connection::total_changes`] said before it.
    pub(crate) fn record(self, connection: &Connection, before: u64) -> Result<()> {
        if connection.total_changes() > before {
            self.seal.append(connection, self.entry)?;
        }
        Ok(())
    }
}

impl SqliteStore {
    /// Runs `change`, whose first write takes `entry` along into the audit log: both are kept, or neither. A write that
    /// changes nothing leaves no entry.
    pub async fn audited<T>(&self, entry: NewAuditEntry, change: impl Future<Output = Result<T>>) -> Result<T> {
        let act = Act { entry, seal: self.seal()? };
        ACT.scope(RefCell::new(Some(act)), change).await
    }

    pub(crate) fn seal(&self) -> Result<Seal> {
        let key = self.audit_key.get().ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the audit log has no key, so nothing that belongs there can be done")
        })?;
        Ok(Seal { key: key.clone(), now: self.clock.now() })
    }
}

impl Seal {
    /// Appends an entry within the transaction that is open.
    pub(crate) fn append(&self, connection: &Connection, entry: NewAuditEntry) -> Result<u64> {
        let head = head(connection).map_err(explain)?;
        let (sequence, last) = match &head {
            Some(head) if self.key.has_signed(head) => {
                let hash: [u8; 32] = head.hash.as_slice().try_into().unwrap_or_default();
                (head.sequence + 1, ChainHash(hash))
            }
            None if highest(connection).map_err(explain)? == 0 => (1, ChainHash::default()),
            // Somebody changed the head. Signing a new one as if nothing had happened would hide what was done: a number is
            // left out, and every check finds the gap from now on.
            _ => {
                tracing::error!("the audit log was tampered with; see `switchboard audit-log verify`");
                let highest = highest(connection).map_err(explain)?;
                (highest.max(head.map_or(0, |head| head.sequence)) + 2, ChainHash::default())
            }
        };
        let record = rows::to_json(&entry.at(sequence, self.now))?;
        let hash = last.then(record.as_bytes());
        let signed = self.key.sign(sequence, &hash);
        connection
            .prepare_cached("INSERT INTO audit_log (sequence, record, hash) VALUES (?1, ?2, ?3)")
            .and_then(|mut statement| statement.execute(params![number(sequence), record, hash.0]))
            .map_err(explain)?;
        connection
            .prepare_cached(
                "INSERT INTO audit_head (one, sequence, hash, mac) VALUES (1, ?1, ?2, ?3)
                 ON CONFLICT (one) DO UPDATE SET sequence = ?1, hash = ?2, mac = ?3",
            )
            .and_then(|mut statement| statement.execute(params![number(sequence), signed.hash, signed.mac]))
            .map_err(explain)?;
        Ok(sequence)
    }
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append(&self, entry: NewAuditEntry) -> Result<u64> {
        let seal = self.seal()?;
        self.db.writer.write(move |connection| seal.append(connection, entry)).await
    }

    async fn list(&self, scope: Option<&TenantScope>, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>> {
        let tenant: Option<Value> = scope.map(|scope| scope.tenant().as_str().to_owned().into());
        let given: [(&str, Option<Value>); 4] = [
            ("tenant = ?", tenant.clone()),
            // Times have one form, so their texts sort as they do.
            ("at >= ?", filter.since.map(|since| since.to_string().into())),
            ("action = ?", filter.action.map(|action| action.name().to_owned().into())),
            ("number < ?", filter.before.map(|before| number(before).into())),
        ];
        let (conditions, mut values): (Vec<_>, Vec<_>) =
            given.into_iter().filter_map(|(condition, value)| value.map(|value| (condition, value))).unzip();
        let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        // Counting reads the index alone. Nothing is ever removed, so the numbers stay.
        let numbered = match tenant.filter(|_| filter.own_numbers) {
            Some(tenant) => {
                values.insert(0, tenant);
                "(SELECT sequence, row_number() OVER (ORDER BY sequence) AS number FROM audit_log WHERE tenant = ?)
                 JOIN audit_log USING (sequence)"
            }
            None => "(SELECT *, sequence AS number FROM audit_log)",
        };
        let sql =
            format!("SELECT number, record FROM {numbered} WHERE {conditions} ORDER BY number DESC LIMIT {limit}");
        self.db
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_map(params_from_iter(values), |row| {
                        let entry: AuditEntry = rows::from_json("audit entry", row.get_ref("record")?.as_str()?)?;
                        let number = row.get::<_, i64>("number")?;
                        Ok(AuditEntry { sequence: u64::try_from(number).unwrap_or(0), ..entry })
                    })?
                    .collect()
            })
            .await
    }

    async fn verify(&self) -> Result<Verdict> {
        let seal = self.seal()?;
        self.db
            .read(move |connection| {
                // One transaction, so that the head belongs to the entries.
                let transaction = connection.unchecked_transaction()?;
                let mut check = Check::new(&seal.key);
                let mut after = i64::MIN;
                loop {
                    let page = page(&transaction, after)?;
                    let Some((last, _)) = page.last() else { break };
                    after = *last;
                    page.iter().for_each(|(_, kept)| check.entry(kept));
                }
                Ok(check.finish(head(&transaction)?.as_ref()))
            })
            .await
    }
}

/// Entries as they are, whatever type somebody gave them.
fn page(connection: &Connection, after: i64) -> rusqlite::Result<Vec<(i64, KeptEntry)>> {
    connection
        .prepare_cached(
            "SELECT sequence, CAST(record AS BLOB) AS record, CAST(hash AS BLOB) AS hash FROM audit_log
             WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
        )?
        .query_map(params![after, CHECKED_AT_ONCE], |row| {
            let sequence: i64 = row.get("sequence")?;
            let kept = KeptEntry {
                // What is below 1 was never given out; 0 is no number of any entry either.
                sequence: u64::try_from(sequence).unwrap_or(0),
                record: row.get("record")?,
                hash: row.get("hash")?,
            };
            Ok((sequence, kept))
        })?
        .collect()
}

fn head(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached("SELECT sequence, CAST(hash AS BLOB), CAST(mac AS BLOB) FROM audit_head")?
        .query_row([], |row| {
            let sequence: i64 = row.get(0)?;
            Ok(Head { sequence: u64::try_from(sequence).unwrap_or(0), hash: row.get(1)?, mac: row.get(2)? })
        })
        .optional()
}

fn highest(connection: &Connection) -> rusqlite::Result<u64> {
    let highest: Option<i64> =
        connection.prepare_cached("SELECT max(sequence) FROM audit_log")?.query_row([], |row| row.get(0))?;
    Ok(highest.and_then(|highest| u64::try_from(highest).ok()).unwrap_or(0))
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}
