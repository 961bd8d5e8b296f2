//! A tenant and everything of it, gone: in bounded steps beside a running server.

use std::{collections::BTreeMap, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    ports::TenantScope,
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows},
    tables::TABLES,
};

/// Rows that one write removes at most, so that others do not wait long.
const AT_ONCE: u32 = 500;
/// How often the log is tried to be emptied while others still read from it.
const EMPTY_TRIES: u32 = 50;
const EMPTY_WAIT: Duration = Duration::from_millis(100);
const BUSY: Duration = Duration::from_secs(5);

/// A tenant that was wiped. As long as this stands, nothing can be stored for a tenant of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiped {
    /// The tenant.
    pub tenant: TenantId,
    /// When the wipe began.
    pub at: Timestamp,
    /// When its last row was gone; `None` when the wipe did not come to its end.
    pub done_at: Option<Timestamp>,
}

impl SqliteStore {
    /// How many rows the tenant has, by kind; kinds without any are left out.
    pub async fn tenant_rows(&self, scope: &TenantScope) -> Result<BTreeMap<&'static str, u64>> {
        let tenant = scope.tenant().clone();
        self.db
            .read(move |connection| {
                let mut counts = BTreeMap::new();
                for table in TABLES {
                    let sql = format!("SELECT count(*) FROM {} WHERE tenant = ?1", table.name);
                    count(&mut counts, table.kind, connection.query_row(&sql, [tenant.as_str()], |row| row.get(0))?);
                    for child in table.children {
                        let sql = format!(
                            "SELECT count(*) FROM {} t JOIN {} c ON c.ticket = t.id WHERE t.tenant = ?1",
                            table.name, child.name
                        );
                        let rows: i64 = connection.query_row(&sql, [tenant.as_str()], |row| row.get(0))?;
                        count(&mut counts, child.name, rows);
                    }
                }
                Ok(counts)
            })
            .await
    }

    /// Marks the tenant as wiped: from now on nothing is stored for it. What is there is removed by [`Self::wipe_step`].
    pub async fn begin_wipe(&self, scope: &TenantScope) -> Result<()> {
        let (tenant, now) = (scope.tenant().clone(), self.clock.now());
        self.db
            .writer
            .write(move |connection| {
                connection
                    .execute(
                        "INSERT INTO wiped_tenants (tenant, at) VALUES (?1, ?2)
                         ON CONFLICT (tenant) DO UPDATE SET done_at = NULL",
                        params![tenant.as_str(), now.as_millis()],
                    )
                    .map(|_| ())
                    .map_err(explain)
            })
            .await?;
        self.keys.invalidate_all();
        Ok(())
    }

    /// Removes some rows of a tenant that is marked, in one write, and says how many of each kind; none when all are gone,
    /// and then the wipe is marked as done. A tenant that is not marked is [`ErrorKind::Conflict`].
    pub async fn wipe_step(&self, scope: &TenantScope) -> Result<BTreeMap<&'static str, u64>> {
        let (tenant, now) = (scope.tenant().clone(), self.clock.now());
        self.db
            .writer
            .write(move |connection| {
                if !is_marked(connection, &tenant).map_err(explain)? {
                    return Err(Error::new(ErrorKind::Conflict, "the tenant is not marked as wiped"));
                }
                let mut removed = BTreeMap::new();
                remove_some(connection, &tenant, &mut removed).map_err(explain)?;
                if removed.is_empty() {
                    connection
                        .execute(
                            "UPDATE wiped_tenants SET done_at = coalesce(done_at, ?2) WHERE tenant = ?1",
                            params![tenant.as_str(), now.as_millis()],
                        )
                        .map_err(explain)?;
                }
                Ok(removed)
            })
            .await
    }

    /// The tenants that were wiped.
    pub async fn wiped(&self) -> Result<Vec<Wiped>> {
        self.db
            .read(|connection| {
                connection
                    .prepare("SELECT tenant, at, done_at FROM wiped_tenants ORDER BY tenant")?
                    .query_map([], |row| {
                        Ok(Wiped {
                            tenant: rows::parsed(row, "tenant")?,
                            at: rows::time(row, "at")?,
                            done_at: row.get::<_, Option<i64>>("done_at")?.map(Timestamp::from_millis),
                        })
                    })?
                    .collect()
            })
            .await
    }

    /// Lets a tenant of a wiped one's name be stored again; `false` when there was none.
    pub async fn readmit(&self, scope: &TenantScope) -> Result<bool> {
        let tenant = scope.tenant().clone();
        let removed = self
            .db
            .writer
            .write(move |connection| {
                connection.execute("DELETE FROM wiped_tenants WHERE tenant = ?1", [tenant.as_str()]).map_err(explain)
            })
            .await?;
        Ok(removed > 0)
    }

    /// How large the database is, in bytes, without its log.
    pub async fn size(&self) -> Result<u64> {
        self.db
            .read(|connection| {
                let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
                let bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
                Ok(pages.saturating_mul(bytes).unsigned_abs())
            })
            .await
    }

    /// Writes the whole database anew and empties its log, so that no byte of what was removed is left in the files. No
    /// other process can write meanwhile: about a second for 100 MB. `false` when others kept reading from the old log, which
    /// is then emptied later.
    pub async fn scrub(&self) -> Result<bool> {
        let (path, clock) = (self.path().to_owned(), self.clock.clone());
        // A connection of its own: it needs one outside of transactions, and temporary files instead of memory.
        let vacuum = move || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.execute_batch("VACUUM")?;
            Ok(connection)
        };
        let stopped = |error| Error::new(ErrorKind::Internal, "rewriting the database stopped").caused_by(error);
        let connection = tokio::task::spawn_blocking(vacuum).await.map_err(stopped)?.map_err(explain)?;
        for _ in 0..EMPTY_TRIES {
            let busy: i64 =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(explain)?;
            if busy == 0 {
                return Ok(true);
            }
            clock.sleep(EMPTY_WAIT).await;
        }
        Ok(false)
    }
}

fn count(counts: &mut BTreeMap<&'static str, u64>, kind: &'static str, rows: i64) {
    if rows > 0 {
        *counts.entry(kind).or_default() += rows.unsigned_abs();
    }
}

fn is_marked(connection: &Connection, tenant: &TenantId) -> rusqlite::Result<bool> {
    let marked: Option<i64> = connection
        .prepare_cached("SELECT 1 FROM wiped_tenants WHERE tenant = ?1")?
        .query_row([tenant.as_str()], |row| row.get(0))
        .optional()?;
    Ok(marked.is_some())
}

/// Removes rows of the first table that has any.
fn remove_some(
    connection: &Connection,
    tenant: &TenantId,
    removed: &mut BTreeMap<&'static str, u64>,
) -> rusqlite::Result<()> {
    for table in TABLES {
        let (name, key) = (table.name, table.order);
        let some = format!("SELECT {key} FROM {name} WHERE tenant = ?1 ORDER BY {key} LIMIT {AT_ONCE}");
        for child in table.children {
            let sql = format!("DELETE FROM {} WHERE ticket IN ({some})", child.name);
            let rows = connection.prepare_cached(&sql)?.execute([tenant.as_str()])?;
            count(removed, child.name, i64::try_from(rows).unwrap_or(i64::MAX));
        }
        let sql = format!("DELETE FROM {name} WHERE tenant = ?1 AND {key} IN ({some})");
        let rows = connection.prepare_cached(&sql)?.execute([tenant.as_str()])?;
        count(removed, table.kind, i64::try_from(rows).unwrap_or(i64::MAX));
        if rows > 0 {
            return Ok(());
        }
    }
    Ok(())
}
