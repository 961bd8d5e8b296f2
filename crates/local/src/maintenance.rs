//! What time does to the data: retention, and the search for what is unfinished and has no job.

use rusqlite::{Connection, params};
use switchboard_core::{error::Result, limits, time::Timestamp};
use ulid::Ulid;

use crate::{db::explain, store::SqliteStore};

/// Rows that one write removes or queues at most, so that others do not wait long.
const AT_ONCE: u32 = 500;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tickets whose time had come.
    pub expired: usize,
    /// Events whose archive time had come.
    pub unarchived: usize,
    /// Counts of days that are over.
    pub uncounted: usize,
    /// Events queued again, because their ticket was unfinished and nothing was on its way.
    pub queued_again: usize,
}

impl SqliteStore {
    /// One sweep: a bounded part of what there is to do; call it again while it finds something.
    pub async fn sweep(&self) -> Result<Swept> {
        let now = self.clock.now();
        let swept = self
            .db
            .writer
            .write(move |connection| {
                Ok(Swept {
                    queued_again: queue_again(connection, now).map_err(explain)?,
                    expired: expire(connection, now).map_err(explain)?,
                    unarchived: unarchive(connection, now).map_err(explain)?,
                    uncounted: uncount(connection, now).map_err(explain)?,
                })
            })
            .await?;
        if swept.queued_again > 0 {
            tracing::warn!(count = swept.queued_again, "unfinished tickets without a job were queued again");
            self.queued.notify_one();
        }
        Ok(swept)
    }
}

/// The table is the truth and the queue a hint: an old ticket that is not decided, or decided or reviewed and not written
/// back, gets the job of the event that leads on, when it has no job and that event is no dead letter.
fn queue_again(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO jobs (event, tenant, ticket_id)
             SELECT (SELECT e.id FROM events e WHERE e.tenant = t.tenant AND e.ticket_id = t.ticket_id
                     AND e.detail_type = iif(t.sync_of IS NOT NULL, 'TicketReviewed',
                                             iif(t.routed, 'TicketRouted', 'TicketReceived'))
                     AND (t.sync_of IS NULL OR t.sync_of = json_extract(e.detail, '$.review_id'))
                     ORDER BY e.id DESC LIMIT 1)
                    AS wanted, t.tenant, t.ticket_id
             FROM tickets t INDEXED BY tickets_unfinished
             WHERE t.sync = 0 AND t.dropped = 0 AND t.accepted_at <= ?1 AND wanted IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant = t.tenant AND j.ticket_id = t.ticket_id)
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.event = wanted)
             LIMIT ?2",
        )?
        .execute(params![now.minus(limits::UNFINISHED_AGE).as_millis(), AT_ONCE])
}

/// A ticket that is not written back yet is kept however old it is: its time is counted by a clock that may be wrong.
fn expire(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let rows: Vec<(i64, String, String)> = connection
        .prepare_cached(
            "SELECT id, tenant, ticket_id FROM tickets WHERE expires_at <= ?1 AND (sync <> 0 OR dropped = 1)
             ORDER BY expires_at LIMIT ?2",
        )?
        .query_map(params![now.as_millis(), AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (row, tenant, ticket) in &rows {
        for table in ["jobs", "dead_letters", "events"] {
            connection
                .prepare_cached(&format!("DELETE FROM {table} WHERE tenant = ?1 AND ticket_id = ?2"))?
                .execute([tenant, ticket])?;
        }
        connection.prepare_cached("DELETE FROM ticket_records WHERE ticket = ?1")?.execute([row])?;
        connection.prepare_cached("DELETE FROM decisions WHERE ticket = ?1")?.execute([row])?;
        connection.prepare_cached("DELETE FROM effects WHERE ticket = ?1")?.execute([row])?;
        connection.prepare_cached("DELETE FROM reviews WHERE ticket = ?1")?.execute([row])?;
        connection.prepare_cached("DELETE FROM tickets WHERE id = ?1")?.execute([row])?;
    }
    Ok(rows.len())
}

/// Events leave the archive after their time, but never while somebody has to work on them.
fn unarchive(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM events WHERE id IN (
                SELECT e.id FROM events e WHERE e.id < ?1
                AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.event = e.id)
                AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.event = e.id)
                AND NOT EXISTS (SELECT 1 FROM tickets t WHERE t.tenant = e.tenant AND t.ticket_id = e.ticket_id
                                AND t.sync = 0 AND t.dropped = 0)
                ORDER BY e.id LIMIT ?2)",
        )?
        .execute(params![first_id_of(now.minus(limits::EVENT_RETENTION)), AT_ONCE])
}

/// Yesterday's counts are kept: the clock may go back a little.
fn uncount(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM quota_counts WHERE (day, tenant, customer) IN
             (SELECT day, tenant, customer FROM quota_counts WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![now.day() - 1, AT_ONCE])
}

/// The smallest id that an event of that time can have: ids are ULIDs and sort by time.
pub(crate) fn first_id_of(time: Timestamp) -> String {
    Ulid::from_parts(u64::try_from(time.as_millis()).unwrap_or(0), 0).to_string()
}
