//! Rows to values and back.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Serialize, de::DeserializeOwned};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::{Event, EventDetail},
    ids::{CustomerId, TenantId, TicketId},
    ports::{PastDecision, ReviewState, TicketFile, TicketStatus, TicketSummary},
    tickets::{Decision, PriorityLevel, Severity, SyncState, SyncStatus, Ticket, TicketRecord, review::Review},
    time::Timestamp,
};

use crate::db::corrupt;

/// The columns that [`summary`] reads, in its order.
pub(super) const SUMMARY_COLUMNS: &str = "id, ticket_id, customer_id, accepted_at, routed, team, category, priority, score, confidence, review, reviewed, sync";

/// Which tickets wait for review: the condition of the indexes for them.
pub(super) const WAITS_FOR_REVIEW: &str = "review = 1 AND reviewed = 0";

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "a record cannot be written as JSON").caused_by(error))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// An id or another type that is stored as its text.
pub(crate) fn parsed<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|error| corrupt("id", error))
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

pub(crate) fn optional<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(|error| corrupt("id", error))).transpose()
}

/// The position of a word in its enum, as stored.
pub(crate) fn code<T: PartialEq>(all: &[T], value: &T) -> i64 {
    // invariant: the list holds every value of the enum
    all.iter().position(|one| one == value).and_then(|at| i64::try_from(at).ok()).unwrap_or(i64::MAX)
}

/// A number of rows.
pub(crate) fn count(row: &Row<'_>) -> rusqlite::Result<u64> {
    row.get(0).map(i64::unsigned_abs)
}

pub(crate) fn word<T: Copy>(all: &[T], row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    let at: Option<u32> = row.get(column)?;
    Ok(at.and_then(|at| all.get(at as usize).copied()))
}

fn sync_status(row: &Row<'_>) -> rusqlite::Result<SyncStatus> {
    Ok(word(SyncStatus::ALL, row, "sync")?.unwrap_or(SyncStatus::Pending))
}

pub(super) fn ticket(text: &str) -> rusqlite::Result<Ticket> {
    from_json::<TicketRecord>("ticket", text).map(Ticket::from)
}

pub(super) fn ticket_file(
    connection: &Connection,
    tenant: &TenantId,
    id: &TicketId,
) -> rusqlite::Result<Option<TicketFile>> {
    let mut statement = connection.prepare_cached(
        "SELECT t.sync, t.sync_failures, t.sync_receipt, t.sync_error, t.sync_changed_at,
         coalesce(t.sync_of, t.decision_id) AS sync_of, r.record, d.record AS decision, v.record AS review
         FROM tickets t JOIN ticket_records r ON r.ticket = t.id LEFT JOIN decisions d ON d.ticket = t.id
         LEFT JOIN reviews v ON v.ticket = t.id
         WHERE t.tenant = ?1 AND t.ticket_id = ?2",
    )?;
    let read = |row: &Row<'_>| {
        let decision = row.get_ref("decision")?.as_str_or_null()?;
        let review = row.get_ref("review")?.as_str_or_null()?;
        Ok(TicketFile {
            ticket: ticket(row.get_ref("record")?.as_str()?)?,
            decision: decision.map(|text| from_json::<Decision>("decision", text)).transpose()?,
            review: review.map(|text| from_json::<Review>("review", text)).transpose()?,
            sync_of: optional(row, "sync_of")?,
            sync: SyncState {
                status: sync_status(row)?,
                failed_attempts: row.get("sync_failures")?,
                receipt: row.get("sync_receipt")?,
                last_error: row.get("sync_error")?,
                changed_at: row.get::<_, Option<i64>>("sync_changed_at")?.map(Timestamp::from_millis),
            },
        })
    };
    statement.query_row(params![tenant.as_str(), id.as_str()], read).optional()
}

pub(super) fn history(
    connection: &Connection,
    tenant: &TenantId,
    customer: &CustomerId,
    except: &TicketId,
    limit: u32,
) -> rusqlite::Result<Vec<PastDecision>> {
    let mut statement = connection.prepare_cached(
        "SELECT ticket_id, decided_at, category, severity, priority, review FROM tickets
         WHERE tenant = ?1 AND customer_id = ?2 AND ticket_id <> ?3 AND routed = 1
         ORDER BY accepted_at DESC, id DESC LIMIT ?4",
    )?;
    let read = |row: &Row<'_>| {
        Ok(PastDecision {
            ticket_id: parsed(row, "ticket_id")?,
            at: time(row, "decided_at")?,
            category: parsed(row, "category")?,
            severity: word(Severity::ALL, row, "severity")?.unwrap_or_default(),
            priority: word(PriorityLevel::ALL, row, "priority")?.unwrap_or(PriorityLevel::Low),
            requires_manual_review: row.get("review")?,
        })
    };
    statement.query_map(params![tenant.as_str(), customer.as_str(), except.as_str(), limit], read)?.collect()
}

pub(super) fn summary(row: &Row<'_>) -> rusqlite::Result<TicketSummary> {
    Ok(TicketSummary {
        ticket_id: parsed(row, "ticket_id")?,
        customer_id: parsed(row, "customer_id")?,
        accepted_at: time(row, "accepted_at")?,
        status: if row.get("routed")? { TicketStatus::Routed } else { TicketStatus::Accepted },
        assigned_team: optional(row, "team")?,
        primary_category: optional(row, "category")?,
        priority_level: word(PriorityLevel::ALL, row, "priority")?,
        priority_score: row.get("score")?,
        confidence_score: row.get("confidence")?,
        review_state: match (row.get("reviewed")?, row.get("review")?) {
            (true, _) => ReviewState::Done,
            (false, true) => ReviewState::Waiting,
            (false, false) => ReviewState::NotNeeded,
        },
        sync_status: sync_status(row)?,
    })
}

/// The columns that [`event`] reads, in its order.
pub(crate) const EVENT_COLUMNS: &str = "e.id, e.tenant, e.detail_type, e.correlation_id, e.at, e.detail";

pub(crate) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let detail = EventDetail::from_record(row.get_ref("detail_type")?.as_str()?, row.get_ref("detail")?.as_str()?);
    Ok(Event {
        id: parsed(row, "id")?,
        tenant: parsed(row, "tenant")?,
        at: time(row, "at")?,
        correlation_id: parsed(row, "correlation_id")?,
        detail: detail.map_err(|error| corrupt("event", error))?,
    })
}
