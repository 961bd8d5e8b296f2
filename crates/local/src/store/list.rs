use rusqlite::{Connection, params_from_iter, types::Value};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{TenantId, TicketId},
    ports::{Page, ReviewState, TicketFilter, TicketStatus, TicketSummary},
    tickets::{PriorityLevel, SyncStatus},
};

use super::rows;

/// A list of tickets as SQL: newest first, then by row, so that the order is total and a cursor can name a place in it.
pub(super) struct Query {
    sql: String,
    values: Vec<Value>,
    limit: usize,
}

impl Query {
    pub(super) fn new(tenant: &TenantId, filter: &TicketFilter, cursor: Option<&str>, limit: u32) -> Result<Self> {
        let mut conditions = vec!["tenant = ?".to_owned()];
        let mut values: Vec<Value> = vec![tenant.as_str().to_owned().into()];
        let given: [(&str, Option<Value>); 4] = [
            ("team = ?", filter.team.as_ref().map(|team| team.as_str().to_owned().into())),
            ("customer_id = ?", filter.customer.as_ref().map(|customer| customer.as_str().to_owned().into())),
            ("accepted_at >= ?", filter.since.map(|since| since.as_millis().into())),
            ("accepted_at < ?", filter.until.map(|until| until.as_millis().into())),
        ];
        for (condition, value) in given {
            if let Some(value) = value {
                conditions.push(condition.to_owned());
                values.push(value);
            }
        }
        if let Some(cursor) = cursor {
            let (at, ticket) = parse_cursor(cursor)?;
            // Of a ticket that is gone: those of its moment may come again, none is left out.
            let row = "coalesce((SELECT id FROM tickets WHERE tenant = ? AND ticket_id = ?), 9223372036854775807)";
            conditions.push(format!("(accepted_at, id) < (?, {row})"));
            values.extend([at.into(), tenant.as_str().to_owned().into(), ticket.as_str().to_owned().into()]);
        }
        // Written out, because SQLite takes a partial index only when it can prove the index's own condition.
        if let Some(priority) = filter.priority {
            conditions.push(format!("priority = {}", rows::code(PriorityLevel::ALL, &priority)));
        }
        if let Some(sync) = filter.sync {
            conditions.push(format!("sync = {}", rows::code(SyncStatus::ALL, &sync)));
            if sync != SyncStatus::Success {
                conditions.push("sync <> 1".to_owned());
            }
        }
        if let Some(review) = filter.review {
            let condition = match review {
                ReviewState::NotNeeded => "review = 0 AND reviewed = 0",
                ReviewState::Waiting => rows::WAITS_FOR_REVIEW,
                ReviewState::Done => "reviewed = 1",
            };
            conditions.push(condition.to_owned());
        }
        if let Some(status) = filter.status {
            conditions.push(format!("routed = {}", i32::from(status == TicketStatus::Routed)));
        }
        let conditions = conditions.join(" AND ");
        let limit = limit as usize;
        let sql = format!(
            "SELECT {} FROM tickets WHERE {conditions} ORDER BY accepted_at DESC, id DESC LIMIT {}",
            rows::SUMMARY_COLUMNS,
            limit + 1
        );
        Ok(Self { sql, values, limit })
    }

    pub(super) fn run(self, connection: &Connection) -> rusqlite::Result<Page<TicketSummary>> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut items = statement
            .query_map(params_from_iter(self.values), rows::summary)?
            .collect::<rusqlite::Result<Vec<TicketSummary>>>()?;
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next_cursor = items
            .last()
            .filter(|_| more)
            .map(|last| format!("{}-{}", last.accepted_at.as_millis(), rows::ticket_mark(&last.ticket_id)));
        Ok(Page { items, next_cursor })
    }
}

fn parse_cursor(cursor: &str) -> Result<(i64, TicketId)> {
    let parts = cursor.split_once('-').and_then(|(at, mark)| Some((at.parse().ok()?, rows::ticket_of_mark(mark)?)));
    parts.ok_or_else(|| Error::new(ErrorKind::Invalid, "the cursor is not one that a page of this list gave"))
}
