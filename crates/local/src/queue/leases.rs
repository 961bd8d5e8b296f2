use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, Row, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    jobs::fair,
    limits,
    ports::{Lane, Lease, Leased},
    time::Timestamp,
};

use super::letters;
use crate::{
    db::explain,
    store::{EVENT_COLUMNS, SqliteStore, count, event, millis},
};

const WAITING_FOR_ITS_TIME: i64 = 3;

/// Why an event is buried at whose work the process went on dying.
const DIED: &str = "the process died or stalled each time it worked on this, also alone";

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

/// Archives an event and, when it makes work, queues it in that lane.
pub(crate) fn publish(connection: &Connection, event: &Event, lane: Lane) -> rusqlite::Result<()> {
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
            .prepare_cached("INSERT INTO jobs (event, tenant, ticket_id, lane) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![id, tenant, ticket, lane as i64])?;
    }
    Ok(())
}

/// Begins the epoch of a new server process: what the dead ones held is due again, or dead itself when it was there too
/// often. Returns the epoch's number.
pub(crate) fn begin_epoch(connection: &mut Connection, now: Timestamp, clock: i64) -> rusqlite::Result<u64> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE process SET epoch = epoch + 1", [])?;
    interrupt(&transaction, i64::MAX, now)?;
    // The clock of the process before means nothing any more; no wall clock may make a retry wait longer than it was made to.
    transaction.execute(
        "UPDATE jobs SET due_clock = ?1 + min(max(due_at - ?2, 0), wait_ms) WHERE state = 3",
        params![clock, now.as_millis()],
    )?;
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
    let buried: Vec<String> = connection
        .prepare_cached(&format!(
            "INSERT INTO dead_letters (event, tenant, ticket_id, reason, failed, interrupted, at)
             SELECT event, tenant, ticket_id, ?1, failed, interrupted, ?2 FROM jobs
             WHERE state = 2 AND interrupted >= {last} RETURNING event"
        ))?
        .query_map(params![DIED, now.as_millis()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for event in buried {
        letters::fail_write_back(connection, &event, DIED, now)?;
    }
    connection.prepare_cached(&format!("DELETE FROM jobs WHERE state = 2 AND interrupted >= {last}"))?.execute([])?;
    Ok(())
}

/// A wish for leases.
pub(super) struct Claim {
    max: usize,
    waiting: Waiting,
    token: u64,
    now: Timestamp,
    clock: i64,
    until: i64,
    turns: Arc<Turns>,
}

/// Whose turn it is.
#[derive(Default)]
pub(crate) struct Turns {
    /// The tenant that came last in the last claim.
    last: Mutex<String>,
}

/// Whether a claim would find anything.
pub(super) struct Probe {
    waiting: Waiting,
    clock: i64,
}

impl Claim {
    pub(super) fn new(store: &SqliteStore, max: usize, time: Duration, waiting: Waiting) -> Self {
        let clock = store.lease_clock();
        Self {
            max,
            waiting,
            token: store.next_token(),
            now: store.clock.now(),
            clock,
            until: clock.saturating_add(millis(time)),
            turns: Arc::clone(&store.turns),
        }
    }

    pub(super) fn probe(&self) -> Probe {
        Probe { waiting: self.waiting, clock: self.clock }
    }

    pub(super) fn run(self, connection: &Connection) -> Result<Vec<Leased>> {
        self.lease(connection).map_err(explain)
    }

    fn lease(&self, connection: &Connection) -> rusqlite::Result<Vec<Leased>> {
        interrupt(connection, self.clock, self.now)?;
        connection
            .prepare_cached(&format!(
                "UPDATE jobs INDEXED BY jobs_by_time SET state = {} WHERE state = 3 AND due_clock <= ?1",
                due()
            ))?
            .execute([self.clock])?;
        let mut chosen = Vec::new();
        for (tenant, share) in self.shares(connection)? {
            self.choose(connection, &tenant, share, &mut chosen)?;
        }
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
        Ok(leased)
    }

    /// How many each tenant gets, beginning after the one that came last.
    fn shares(&self, connection: &Connection) -> rusqlite::Result<Vec<(String, usize)>> {
        let mut last = self.turns.last.lock().unwrap_or_else(PoisonError::into_inner);
        let tenants = self.tenants(connection, &last)?;
        let mut held = connection.prepare_cached("SELECT count(*) FROM jobs WHERE state = 1 AND tenant = ?1")?;
        let mut due = connection
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = ?1 AND tenant = ?2 LIMIT ?3)")?;
        let mut waiting = Vec::with_capacity(tenants.len());
        for tenant in &tenants {
            waiting.push(fair::Waiting {
                held: usize::try_from(held.query_row([tenant], count)?).unwrap_or(usize::MAX),
                due: usize::try_from(due.query_row(params![self.waiting as i64, tenant, self.limit()], count)?)
                    .unwrap_or(usize::MAX),
            });
        }
        let all = connection
            .prepare_cached("SELECT count(*) FROM jobs WHERE state = 1")?
            .query_row([], count)
            .map(|all| usize::try_from(all).unwrap_or(usize::MAX))?;
        let free = limits::JOBS_IN_HAND.saturating_sub(all).max(self.max);
        let shares = tenants.into_iter().zip(fair::deal(self.max, free, &waiting)).filter(|(_, share)| *share > 0);
        let shares: Vec<_> = shares.collect();
        if let Some((tenant, _)) = shares.last() {
            last.clone_from(tenant);
        }
        Ok(shares)
    }

    /// Tenants with events due, those after `last` first; no more than can get any.
    fn tenants(&self, connection: &Connection, last: &str) -> rusqlite::Result<Vec<String>> {
        // Each step jumps over all other events of a tenant: the tenants are read, not the events.
        let next = |after, until| {
            format!(
                "WITH RECURSIVE next(tenant) AS (
                    SELECT (SELECT min(tenant) FROM jobs WHERE state = ?1 AND tenant > {after} AND tenant <= {until})
                    UNION ALL
                    SELECT (SELECT min(j.tenant) FROM jobs j WHERE j.state = ?1 AND j.tenant > next.tenant AND j.tenant <= {until})
                    FROM next WHERE next.tenant IS NOT NULL)
                 SELECT tenant FROM next WHERE tenant IS NOT NULL LIMIT ?3"
            )
        };
        let mut tenants = Vec::new();
        for sql in [next("?2", "char(1114111)"), next("''", "?2")] {
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_map(params![self.waiting as i64, last, self.limit()], |row| row.get(0))?;
            tenants.extend(found.collect::<rusqlite::Result<Vec<String>>>()?);
        }
        tenants.truncate(self.max);
        Ok(tenants)
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.max).unwrap_or(i64::MAX)
    }

    fn choose(
        &self,
        connection: &Connection,
        tenant: &str,
        share: usize,
        chosen: &mut Vec<(String, u32, u32)>,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "UPDATE jobs SET state = 1, token = ?1, lease_until = ?2 WHERE id IN
             (SELECT j.id FROM jobs j WHERE j.state = ?3 AND j.tenant = ?4 AND j.lane = ?5
              AND NOT EXISTS (SELECT 1 FROM jobs o WHERE o.tenant = j.tenant AND o.ticket_id = j.ticket_id
                              AND (o.state = 1 OR (o.state = ?3 AND o.id < j.id)))
              ORDER BY j.id LIMIT ?6) RETURNING event, failed, interrupted",
        )?;
        let token = i64::try_from(self.token).unwrap_or(i64::MAX);
        let mut left = share;
        let from_the_last = self.token.is_multiple_of(limits::LANES_TURN);
        for n in 0..Lane::ALL.len() {
            let lane = Lane::ALL[if from_the_last { Lane::ALL.len() - 1 - n } else { n }];
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            let values = params![token, self.until, self.waiting as i64, tenant, lane as i64, limit];
            let before = chosen.len();
            let found = statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            for found in found {
                chosen.push(found?);
            }
            chosen[before..].sort();
            left -= chosen.len() - before;
            if left == 0 {
                break;
            }
        }
        Ok(())
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
                 OR EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_by_time WHERE state = 3 AND due_clock <= ?2)
                 OR EXISTS (SELECT 1 FROM jobs WHERE state = 1 AND lease_until <= ?2)",
            )?
            .query_row(params![self.waiting as i64, self.clock], |row: &Row<'_>| row.get(0))
    }
}

/// Ends a lease: the work is done.
pub(crate) fn complete(connection: &Connection, lease: &Lease, clock: i64) -> Result<()> {
    held(connection, "DELETE FROM jobs", lease, clock, &[])
}

/// When something is due again: by the wall clock, and by the monotonic one of this process.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    at: i64,
    wait: i64,
    clock: i64,
}

impl Due {
    pub(crate) fn new(store: &SqliteStore, at: Timestamp) -> Self {
        let wait = millis(at.since(store.clock.now()).min(limits::RETRY_WAIT));
        Self { at: at.as_millis(), wait, clock: store.lease_clock().saturating_add(wait) }
    }
}

/// Ends a lease: the work failed and is due again.
pub(crate) fn retry(connection: &Connection, lease: &Lease, clock: i64, due: Due, error: &str) -> Result<()> {
    put_off(connection, lease, clock, due, error, 1)
}

/// Ends a lease: nothing was tried, and the event is due again.
pub(crate) fn defer(connection: &Connection, lease: &Lease, clock: i64, due: Due, reason: &str) -> Result<()> {
    put_off(connection, lease, clock, due, reason, 0)
}

fn put_off(connection: &Connection, lease: &Lease, clock: i64, due: Due, why: &str, failures: u32) -> Result<()> {
    let set = format!(
        "UPDATE jobs SET state = {WAITING_FOR_ITS_TIME}, due_at = ?4, due_clock = ?5, wait_ms = ?6, failed = failed + ?7,
                         last_error = ?8"
    );
    held(connection, &set, lease, clock, &[&due.at, &due.clock, &due.wait, &failures, &why])
}

pub(super) fn extend(connection: &Connection, lease: &Lease, clock: i64, time: Duration) -> Result<()> {
    let until = clock.saturating_add(millis(time));
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

/// [`ErrorKind::LeaseLost`] unless the lease still holds.
pub(crate) fn is_held(connection: &Connection, lease: &Lease, clock: i64) -> Result<()> {
    let token = i64::try_from(lease.token).unwrap_or(i64::MAX);
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE event = ?1 AND token = ?2 AND state = 1 AND lease_until > ?3)";
    let held: bool = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(params![lease.event.as_str(), token, clock], |row| row.get(0)))
        .map_err(explain)?;
    if held { Ok(()) } else { Err(lost()) }
}

fn lost() -> Error {
    Error::new(ErrorKind::LeaseLost, "the lease has ended, somebody else may have the event now")
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
        return Err(lost());
    }
    Ok(())
}
