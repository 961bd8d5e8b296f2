use rusqlite::{Connection, OptionalExtension, params};
use switchboard_core::{
    error::Result,
    ids::TenantId,
    limits,
    ports::{Accepted, NewTicket},
    tickets::Ticket,
};

use super::{quotas::Counts, rows};
use crate::{db::explain, queue};

/// The inner results are of single tickets; a failure of the outer one undoes them all.
pub(super) fn accept(
    connection: &Connection,
    tenant: &TenantId,
    tickets: Vec<NewTicket>,
) -> Result<Vec<Result<Accepted>>> {
    let mut counts = Counts::of(connection, tenant);
    let mut outcomes = Vec::with_capacity(tickets.len());
    for new in tickets {
        outcomes.push(accept_one(connection, tenant, &new, &mut counts)?);
    }
    counts.keep()?;
    Ok(outcomes)
}

fn accept_one(
    connection: &Connection,
    tenant: &TenantId,
    new: &NewTicket,
    counts: &mut Counts<'_>,
) -> Result<Result<Accepted>> {
    let ticket = &new.ticket;
    if let Some(key) = &new.idempotency_key
        && let Some(stored) = stored(connection, tenant, "idempotency_key", key.as_str())?
    {
        return Ok(Ok(Accepted::SameKey(Box::new(stored))));
    }
    if let Some(exceeded) = counts.exceeded(new)? {
        // A repetition is told as ever: nothing is stored, so nothing is counted.
        let stored = stored(connection, tenant, "ticket_id", ticket.id.as_str())?;
        return Ok(stored.map_or(Err(exceeded), |stored| Ok(Accepted::SameId(Box::new(stored)))));
    }
    let inserted = connection
        .prepare_cached(
            "INSERT INTO tickets (tenant, ticket_id, customer_id, accepted_at, expires_at, idempotency_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant, ticket_id) DO NOTHING",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                tenant.as_str(),
                ticket.id.as_str(),
                ticket.customer_id.as_str(),
                ticket.accepted_at.as_millis(),
                ticket.accepted_at.plus(limits::TICKET_RETENTION).as_millis(),
                new.idempotency_key.as_ref().map(|key| key.as_str()),
            ])
        })
        .map_err(explain)?;
    if inserted == 0
        && let Some(stored) = stored(connection, tenant, "ticket_id", ticket.id.as_str())?
    {
        return Ok(Ok(Accepted::SameId(Box::new(stored))));
    }
    let row = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO ticket_records (ticket, record) VALUES (?1, ?2)")
        .and_then({
            let record = rows::to_json(&ticket.to_record())?;
            move |mut statement| statement.execute(params![row, record])
        })
        .map_err(explain)?;
    queue::publish(connection, &new.event, new.lane).map_err(explain)?;
    counts.add(new);
    Ok(Ok(Accepted::New))
}

fn stored(connection: &Connection, tenant: &TenantId, column: &str, value: &str) -> Result<Option<Ticket>> {
    let sql = format!(
        "SELECT r.record FROM tickets t JOIN ticket_records r ON r.ticket = t.id WHERE t.tenant = ?1 AND t.{column} = ?2"
    );
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| {
            statement
                .query_row(params![tenant.as_str(), value], |row| rows::ticket(row.get_ref(0)?.as_str()?))
                .optional()
        })
        .map_err(explain)
}
