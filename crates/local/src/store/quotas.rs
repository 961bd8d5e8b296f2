//! Counts of tickets that a quota looks at.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{CustomerId, TenantId},
    ports::NewTicket,
};

use crate::db::explain;

/// Stands for all customers of the tenant, which no id of a customer does.
const WHOLE_TENANT: &str = "";

/// The counts of one call. They are read when a quota first asks for them, and written once, in the call's write: there is one
/// writer at a time, so nobody counts in between.
pub(super) struct Counts<'a> {
    connection: &'a Connection,
    tenant: &'a TenantId,
    /// Tickets by day and customer.
    read: HashMap<(i64, String), Count>,
}

struct Count {
    tickets: u32,
    changed: bool,
}

impl<'a> Counts<'a> {
    pub(super) fn of(connection: &'a Connection, tenant: &'a TenantId) -> Self {
        Self { connection, tenant, read: HashMap::new() }
    }

    /// Why `new` must not be stored, when it would be one too many.
    pub(super) fn exceeded(&mut self, new: &NewTicket) -> Result<Option<Error>> {
        for (customer, quota) in new.held_against() {
            let count = self.count(new.ticket.accepted_at.day(), customer.map_or(WHOLE_TENANT, CustomerId::as_str))?;
            if count.tickets >= quota {
                return Ok(Some(new.over_quota(customer, quota)));
            }
        }
        Ok(None)
    }

    /// Counts `new`, which [`Self::exceeded`] has let through and which was stored as new.
    pub(super) fn add(&mut self, new: &NewTicket) {
        for (customer, _) in new.held_against() {
            let customer = customer.map_or(WHOLE_TENANT, CustomerId::as_str);
            if let Some(count) = self.read.get_mut(&(new.ticket.accepted_at.day(), customer.to_owned())) {
                count.tickets = count.tickets.saturating_add(1);
                count.changed = true;
            }
        }
    }

    /// Writes what has changed.
    pub(super) fn keep(self) -> Result<()> {
        for ((day, customer), count) in self.read.iter().filter(|(_, count)| count.changed) {
            self.connection
                .prepare_cached(
                    "INSERT INTO quota_counts (day, tenant, customer, tickets) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (day, tenant, customer) DO UPDATE SET tickets = excluded.tickets",
                )
                .and_then(|mut statement| {
                    statement.execute(params![day, self.tenant.as_str(), customer, count.tickets])
                })
                .map_err(explain)?;
        }
        Ok(())
    }

    fn count(&mut self, day: i64, customer: &str) -> Result<&Count> {
        let place = (day, customer.to_owned());
        if !self.read.contains_key(&place) {
            let tickets = self
                .connection
                .prepare_cached("SELECT tickets FROM quota_counts WHERE day = ?1 AND tenant = ?2 AND customer = ?3")
                .and_then(|mut statement| {
                    statement.query_row(params![day, self.tenant.as_str(), customer], |row| row.get(0)).optional()
                })
                .map_err(explain)?;
            self.read.insert(place.clone(), Count { tickets: tickets.unwrap_or(0), changed: false });
        }
        self.read.get(&place).ok_or_else(|| Error::new(ErrorKind::Internal, "a count that was read is gone"))
    }
}
