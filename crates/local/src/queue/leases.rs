use std::time::Duration;

use rusqlite::{Connection, Row, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    limits,
    ports::{Lease, Leased},
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{EVENT_COLUMNS, SqliteStore, event},
};

const WAITING_FOR_ITS_TIME: i64 = 3;

/// Where a due event waits: the `state` of its row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Ordinary = 0,
    Alone = 2,
}

/// The state of an event that is due, as SQL.
fn due() -> String {
    format!("iif(interrupted >= {}, 2, 0)", limits::JOB_INTERRUPTIONS_BEFORE_ALONE)
}

/// Archives an event and, when it makes work, queues it.
pub(crate) fn publish(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let (id, tenant, ticket) = (event.id.as_str(), event.tenant.as_str(), event.detail.ticket_id().as_str());
    connection
        .prepare_cached(
            "INSERT INTO events (id, tenant, detail_type, ticket_id, correlation_id, at, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            id,
            tenant,
            event.detail.detail_type(),
            ticket,
            event.correlation_id.as_str(),
            event.at.as_millis(),
            event.detail_json(),
        ])?;
    if event.detail.makes_work() {
        connection
            .prepare_cached("INSERT INTO jobs (event, tenant, ticket_id) VALUES (?1, ?2, ?3)")?
            .execute(params![id, tenant, ticket])?;
    }
    Ok(())
}

/// Begins the epoch of a new server process: what the dead ones held is due again, or dead itself when it was there too
/// often. Returns the epoch's number.
pub(crate) fn begin_epoch(connection: &mut Connection, now: Timestamp) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE process SET epoch = epoch + 1", [])?;
    interrupt(&transaction, i64::MAX, now)?;
    let epoch: i64 = transaction.query_row("SELECT epoch FROM process", [], |row| row.get(0))?;
    transaction.commit()?;
    Ok(u64::try_from(epoch).unwrap_or(0))
}

/// Takes leases that ended by `until` away without blame: counts an interruption, sends what was interrupted often to wait alone, and buries
/// what kept on dying there.
fn interrupt(connection: &Connection, until: i64, now: Timestamp) -> rusqlite::Result<()> {
    let alone = limits::JOB_INTERRUPTIONS_BEFORE_ALONE;
    let last = alone + limits::JOB_INTERRUPTIONS_ALONE;
    connection
        .prepare_cached(&format!(
            "UPDATE jobs SET interrupted = interrupted + 1, state = iif(interrupted + 1 >= {alone}, 2, 0)
             WHERE state = 1 AND lease_until <= ?1"
        ))?
        .execute([until])?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO dead_letters (event, tenant, ticket_id, reason, failed, interrupted, at)
             SELECT event, tenant, ticket_id, 'the process died or stalled each time it worked on this, also alone',
             failed, interrupted, ?1 FROM jobs WHERE state = 2 AND interrupted >= {last}"
        ))?
        .execute([now.as_millis()])?;
    connection.prepare_cached(&format!("DELETE FROM jobs WHERE state = 2 AND interrupted >= {last}"))?.execute([])?;
    Ok(())
}

/// A wish for leases.
pub(super) struct Claim {
    max: i64,
    waiting: Waiting,
    token: u64,
    now: Timestamp,
    clock: i64,
    until: i64,
}

/// Whether a claim would find anything.
pub(super) struct Probe {
    waiting: Waiting,
    now: Timestamp,
    clock: i64,
}

impl Claim {
    pub(super) fn new(store: &SqliteStore, max: usize, time: Duration, waiting: Waiting) -> Self {
        let clock = store.lease_clock();
        Self {
            max: i64::try_from(max).unwrap_or(i64::MAX),
            waiting,
            token: store.next_token(),
            now: store.clock.now(),
            clock,
            until: clock.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    pub(super) fn probe(&self) -> Probe {
        Probe { waiting: self.waiting, now: self.now, clock: self.clock }
    }

    pub(super) fn run(self, connection: &Connection) -> Result<Vec<Leased>> {
        self.lease(connection).map_err(explain)
    }

    fn lease(&self, connection: &Connection) -> rusqlite::Result<Vec<Leased>> {
        interrupt(connection, self.clock, self.now)?;
        connection
            .prepare_cached(&format!(
                "UPDATE jobs INDEXED BY jobs_by_time SET state = {} WHERE state = 3 AND due_at <= ?1",
                due()
            ))?
            .execute([self.now.as_millis()])?;
        let mut choose = connection.prepare_cached(
            "UPDATE jobs SET state = 1, token = ?1, lease_until = ?2 WHERE id IN
             (SELECT j.id FROM jobs j WHERE j.state = ?3
              AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.tenant = j.tenant AND o.ticket_id = j.ticket_id
                              AND (o.state = 1 OR (o.state = ?3 AND o.id < j.id)))
              ORDER BY j.id LIMIT ?4) RETURNING event, failed, interrupted",
        )?;
        let token = i64::try_from(self.token).unwrap_or(i64::MAX);
        let values = params![token, self.until, self.waiting as i64, self.max];
        let chosen = choose
            .query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<Vec<(String, u32, u32)>>>()?;
        let mut load = connection.prepare_cached(&format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.id = ?1"))?;
        let mut leased = Vec::with_capacity(chosen.len());
        for (id, failed, interrupted) in chosen {
            let event = load.query_row([&id], event)?;
            leased.push(Leased {
                lease: Lease { event: event.id.clone(), token: self.token },
                event,
                failed,
                interrupted,
            });
        }
        leased.sort_by(|one, other| one.event.id.cmp(&other.event.id));
        Ok(leased)
    }
}

impl Probe {
    /// Whether an event waits in that place, whatever leases may have expired.
    pub(super) fn finds_waiting(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM jobs WHERE state = ?1)")?
            .query_row([self.waiting as i64], |row| row.get(0))
    }

    pub(super) fn finds_any(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM jobs WHERE state = ?1)
                 OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_by_time WHERE state = 3 AND due_at <= ?2)
                 OR EXISTS (SELECT 1 FROM jobs WHERE state = 1 AND lease_until <= ?3)",
            )?
            .query_row(params![self.waiting as i64, self.now.as_millis(), self.clock], |row: &Row<'_>| row.get(0))
    }
}

/// Ends a lease: the work is done.
pub(crate) fn complete(connection: &Connection, lease: &Lease, clock: i64) -> Result<()> {
    held(connection, "DELETE FROM jobs", lease, clock, &[])
}

/// Ends a lease: the work failed and is due again.
pub(crate) fn retry(connection: &Connection, lease: &Lease, clock: i64, at: Timestamp, error: &str) -> Result<()> {
    let set =
        format!("UPDATE jobs SET state = {WAITING_FOR_ITS_TIME}, due_at = ?4, failed = failed + 1, last_error = ?5");
    held(connection, &set, lease, clock, &[&at.as_millis(), &error])
}

pub(super) fn extend(connection: &Connection, lease: &Lease, clock: i64, time: Duration) -> Result<()> {
    let until = clock.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    held(connection, "UPDATE jobs SET lease_until = ?4", lease, clock, &[&until])
}

pub(super) fn release(connection: &Connection, leases: &[Lease], clock: i64) -> Result<()> {
    let set = format!("UPDATE jobs SET state = {}", due());
    for lease in leases {
        match held(connection, &set, lease, clock, &[]) {
            Err(error) if error.kind() != ErrorKind::LeaseLost => return Err(error),
            // Somebody else has it, which is all that giving it back wants.
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Does something to a job whose lease still holds; [`ErrorKind::LeaseLost`] when it does not.
pub(super) fn held(
    connection: &Connection,
    change: &str,
    lease: &Lease,
    clock: i64,
    more: &[&dyn rusqlite::ToSql],
) -> Result<()> {
    let sql = format!("{change} WHERE event = ?1 AND token = ?2 AND state = 1 AND lease_until > ?3");
    let token = i64::try_from(lease.token).unwrap_or(i64::MAX);
    let event = lease.event.as_str();
    let mut values: Vec<&dyn rusqlite::ToSql> = vec![&event, &token, &clock];
    values.extend(more);
    let changed = connection
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.execute(values.as_slice()))
        .map_err(explain)?;
    if changed == 0 {
        return Err(Error::new(ErrorKind::LeaseLost, "the lease has ended, somebody else may have the event now"));
    }
    Ok(())
}
