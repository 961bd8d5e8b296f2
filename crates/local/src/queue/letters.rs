//! Dead letters, the archive, and figures.

use rusqlite::{Connection, Row, params, params_from_iter, types::Value};
use switchboard_core::{
    error::Result,
    event::Event,
    ids::{EventId, TenantId},
    ports::{Backlog, DeadLetter, EventFilter, Lease, QueueDepth},
    time::Timestamp,
};

use super::leases::held;
use crate::{
    db::explain,
    maintenance::first_id_of,
    store::{EVENT_COLUMNS, count, event, time},
};

/// Whether event `e` is the one whose write-back the ticket's `sync` tells of: not one that a newer review has superseded.
const IS_WRITTEN_BACK: &str = "(e.detail_type = 'TicketRouted' AND tickets.sync_of IS NULL
    OR e.detail_type = 'TicketReviewed' AND tickets.sync_of = json_extract(e.detail, '$.review_id'))";

/// The tenant and the effect of event `?1`.
const EFFECT_OF_EVENT: &str =
    "SELECT tenant, coalesce(json_extract(detail, '$.review_id'), json_extract(detail, '$.decision_id'))
    FROM events WHERE id = ?1 AND detail_type IN ('TicketRouted', 'TicketReviewed')";

/// Ends a lease: nobody works on the event by himself any more.
pub(crate) fn bury(connection: &Connection, lease: &Lease, clock: i64, reason: &str, now: Timestamp) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (event, tenant, ticket_id, reason, failed, interrupted, at)
             SELECT event, tenant, ticket_id, ?2, failed + 1, interrupted, ?3 FROM jobs WHERE event = ?1",
        )
        .and_then(|mut statement| statement.execute(params![lease.event.as_str(), reason, now.as_millis()]))
        .map_err(explain)?;
    fail_write_back(connection, lease.event.as_str(), reason, now).map_err(explain)?;
    // When the lease does not hold, its error undoes all of this.
    held(connection, "DELETE FROM jobs", lease, clock, &[])
}

/// A write-back that nobody tries again has failed, whatever it failed by, and so has its effect; where an attempt has begun,
/// nobody knows what came of it.
pub(super) fn fail_write_back(
    connection: &Connection,
    event: &str,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "UPDATE tickets SET sync = 2, sync_error = ?2, sync_changed_at = ?3 FROM events e
             WHERE tickets.sync = 0 AND e.id = ?1 AND e.tenant = tickets.tenant AND e.ticket_id = tickets.ticket_id
             AND {IS_WRITTEN_BACK}"
        ))?
        .execute(params![event, reason, now.as_millis()])?;
    connection
        .prepare_cached(&format!(
            "UPDATE effects SET state = iif(state = 1, 4, 3), error = ?2, changed_at = ?3
             WHERE state < 2 AND (tenant, id) = ({EFFECT_OF_EVENT})"
        ))?
        .execute(params![event, reason, now.as_millis()])?;
    Ok(())
}

pub(super) fn list(connection: &Connection, tenant: &TenantId, limit: u32) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, d.reason, d.failed, d.interrupted, d.at AS died_at
         FROM dead_letters d JOIN events e ON e.id = d.event WHERE d.tenant = ?1 ORDER BY d.at DESC, d.event DESC LIMIT ?2"
    );
    let read = |row: &Row<'_>| {
        Ok(DeadLetter {
            event: event(row)?,
            reason: row.get("reason")?,
            failed: row.get("failed")?,
            interrupted: row.get("interrupted")?,
            at: time(row, "died_at")?,
        })
    };
    connection.prepare_cached(&sql)?.query_map(params![tenant.as_str(), limit], read)?.collect()
}

pub(crate) fn revive(connection: &Connection, tenant: &TenantId, id: &EventId) -> Result<bool> {
    let work = || -> rusqlite::Result<bool> {
        let key = params![tenant.as_str(), id.as_str()];
        let queued = connection.execute(
            "INSERT INTO jobs (event, tenant, ticket_id)
             SELECT event, tenant, ticket_id FROM dead_letters WHERE tenant = ?1 AND event = ?2",
            key,
        )?;
        if queued == 0 {
            return Ok(false);
        }
        // A write-back that is tried again is no failed one any more.
        let sql = format!(
            "UPDATE tickets SET sync = 0 FROM events e
             WHERE tickets.sync = 2 AND e.tenant = ?1 AND e.id = ?2 AND e.tenant = tickets.tenant
             AND e.ticket_id = tickets.ticket_id AND {IS_WRITTEN_BACK}"
        );
        connection.execute(&sql, key)?;
        connection.execute("DELETE FROM dead_letters WHERE tenant = ?1 AND event = ?2", key)?;
        Ok(true)
    };
    work().map_err(explain)
}

pub(crate) fn discard(connection: &Connection, tenant: &TenantId, id: &EventId) -> Result<bool> {
    let work = || {
        let sql = "SELECT EXISTS (SELECT 1 FROM dead_letters WHERE tenant = ?1 AND event = ?2)";
        if !connection.prepare_cached(sql)?.query_row([tenant.as_str(), id.as_str()], |row| row.get(0))? {
            return Ok(false);
        }
        give_up(connection, tenant, id)?;
        let sql = format!("UPDATE effects SET state = 6 WHERE state IN (3, 4) AND (tenant, id) = ({EFFECT_OF_EVENT})");
        connection.execute(&sql, [id.as_str()])?;
        Ok(true)
    };
    work().map_err(explain)
}

/// Nobody works on the event any more, whether it is a dead letter or waits in the queue again.
pub(crate) fn give_up(connection: &Connection, tenant: &TenantId, id: &EventId) -> rusqlite::Result<()> {
    let key = params![tenant.as_str(), id.as_str()];
    // Else the sweep would find the ticket unfinished and queue it again. A superseded write-back is no reason to stop.
    let sql = format!(
        "UPDATE tickets SET dropped = 1, sync = iif(sync = 0 AND {IS_WRITTEN_BACK}, 2, sync) FROM events e
         WHERE e.tenant = ?1 AND e.id = ?2 AND e.tenant = tickets.tenant AND e.ticket_id = tickets.ticket_id
         AND (e.detail_type = 'TicketReceived' OR {IS_WRITTEN_BACK})"
    );
    connection.execute(&sql, key)?;
    connection.execute("DELETE FROM dead_letters WHERE tenant = ?1 AND event = ?2", key)?;
    // What is in hand ends by itself.
    connection.execute("DELETE FROM jobs WHERE tenant = ?1 AND event = ?2 AND state <> 1", key)?;
    Ok(())
}

pub(super) fn archived(
    connection: &Connection,
    tenant: &TenantId,
    filter: &EventFilter,
) -> rusqlite::Result<Vec<Event>> {
    let (conditions, values) = conditions(tenant, filter);
    let sql = format!("SELECT {EVENT_COLUMNS} FROM events e WHERE {conditions} ORDER BY e.id LIMIT {}", filter.limit);
    connection.prepare_cached(&sql)?.query_map(params_from_iter(values), event)?.collect()
}

pub(super) fn replay(connection: &Connection, tenant: &TenantId, filter: &EventFilter) -> Result<u64> {
    let (conditions, values) = conditions(tenant, filter);
    let sql = format!(
        "INSERT INTO jobs (event, tenant, ticket_id, lane)
         SELECT e.id, e.tenant, e.ticket_id, 2 FROM events e
         WHERE {conditions} AND (e.detail_type IN ('TicketReceived', 'TicketRouted')
             OR e.detail_type = 'TicketReviewed' AND json_extract(e.detail, '$.write_back'))
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.event = e.id)
         AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.event = e.id)
         ORDER BY e.id LIMIT {}",
        filter.limit
    );
    let queued = connection.execute(&sql, params_from_iter(values)).map_err(explain)?;
    Ok(queued as u64)
}

fn conditions(tenant: &TenantId, filter: &EventFilter) -> (String, Vec<Value>) {
    let given: [(&str, Option<Value>); 6] = [
        // Ids sort by time, so this spares reading what is older.
        ("e.id >= ?", filter.since.map(|since| first_id_of(since).into())),
        ("e.tenant = ?", Some(tenant.as_str().to_owned().into())),
        ("e.at >= ?", filter.since.map(|since| since.as_millis().into())),
        ("e.at < ?", filter.until.map(|until| until.as_millis().into())),
        ("e.detail_type = ?", filter.detail_type.clone().map(Into::into)),
        ("e.ticket_id = ?", filter.ticket.as_ref().map(|ticket| ticket.as_str().to_owned().into())),
    ];
    let (conditions, values): (Vec<_>, Vec<_>) =
        given.into_iter().filter_map(|(condition, value)| value.map(|value| (condition, value))).unzip();
    (conditions.join(" AND "), values)
}

pub(super) fn backlog(connection: &Connection, tenant: &TenantId) -> rusqlite::Result<Backlog> {
    let mut statement =
        connection.prepare_cached("SELECT coalesce((SELECT jobs FROM backlog WHERE tenant = ?1), 0)")?;
    let mut of = |name| statement.query_row([name], count);
    Ok(Backlog { tenant: of(tenant.as_str())?, all: of("")? })
}

pub(super) fn depth(connection: &Connection, now: Timestamp, clock: i64) -> rusqlite::Result<QueueDepth> {
    let of = |sql: &str| -> rusqlite::Result<u64> { connection.prepare_cached(sql)?.query_row([], count) };
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT min(at) FROM (
                SELECT e.at FROM jobs j JOIN events e ON e.id = j.event
                WHERE j.id = (SELECT id FROM jobs NOT INDEXED WHERE state IN (0, 2) ORDER BY id LIMIT 1)
                UNION ALL SELECT ?1 - (?2 - due_clock) FROM jobs INDEXED BY jobs_by_time WHERE state = 3 AND due_clock <= ?2)",
        )?
        .query_row([now.as_millis(), clock], |row| row.get(0))?;
    let leased = of("SELECT count(*) FROM jobs WHERE state = 1")?;
    let waited = oldest.map_or(0, |at| now.since(Timestamp::from_millis(at)).as_millis());
    Ok(QueueDepth {
        waiting: of("SELECT jobs FROM backlog WHERE tenant = ''")?.saturating_sub(leased),
        leased,
        oldest_ms: u64::try_from(waited).unwrap_or(u64::MAX),
        dead: of("SELECT count(*) FROM dead_letters")?,
    })
}
