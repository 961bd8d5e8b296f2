//! Counts of tickets that a quota looks at: items of `meta`, there only where a quota is set.

use std::{collections::BTreeMap, time::Duration};

use switchboard_core::{
    error::Error,
    ids::{CustomerId, TenantId},
    ports::NewTicket,
    time::Timestamp,
};

use crate::{
    db::{Item, Read, Write, key, n},
    queue::ttl,
};

/// How long a count is kept: its day, and one more for clocks that are behind.
const KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// A count that a quota is held against, by its item's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Counter(String);

impl Counter {
    /// Of that customer, or of all together, on the ticket's day.
    fn of(tenant: &TenantId, new: &NewTicket, customer: Option<&CustomerId>) -> Self {
        let day = new.ticket.accepted_at.day();
        Self(format!("{tenant}#quota#{day}#{}", customer.map_or("", CustomerId::as_str)))
    }
}

/// What is known of the counts, and what is to be counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    known: BTreeMap<Counter, u32>,
    planned: BTreeMap<Counter, Planned>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    tickets: u32,
    quota: u32,
    day: Timestamp,
}

/// Whether a quota looks at the ticket at all.
pub(super) fn counts(new: &NewTicket) -> bool {
    new.held_against().next().is_some()
}

impl Counts {
    /// Forgets what was to be counted, and keeps what is known.
    pub(super) fn plan_anew(&mut self) {
        self.planned.clear();
    }

    /// Plans to count the ticket, unless it would be one too many by what is known.
    pub(super) fn plan(&mut self, tenant: &TenantId, new: &NewTicket) -> Result<(), Error> {
        for (customer, quota) in new.held_against() {
            let counter = Counter::of(tenant, new, customer);
            let planned = self.planned.get(&counter).map_or(0, |planned| planned.tickets);
            let counted = self.known.get(&counter).copied().unwrap_or(0);
            if counted.saturating_add(planned) >= quota {
                return Err(new.over_quota(customer, quota));
            }
        }
        for (customer, quota) in new.held_against() {
            let counter = Counter::of(tenant, new, customer);
            let day = new.ticket.accepted_at;
            let planned = self.planned.entry(counter).or_insert(Planned { tickets: 0, quota, day });
            planned.tickets += 1;
            planned.quota = planned.quota.min(quota);
        }
        Ok(())
    }

    /// The writes that count what is planned, if it still fits.
    pub(super) fn writes(&self) -> Vec<(Counter, Write)> {
        let write = |(counter, planned): (&Counter, &Planned)| {
            let room = planned.quota.saturating_sub(planned.tickets);
            let write = Write::update("meta", key("name", counter.0.as_str()))
                .add("tickets", n(planned.tickets))
                .set("ttl", ttl(planned.day, KEPT))
                .when("attribute_not_exists(#tickets) OR #tickets <= :room", [("room", n(room))]);
            (counter.clone(), write)
        };
        self.planned.iter().map(write).collect()
    }

    /// Learns what a count is.
    pub(super) fn learn(&mut self, counter: Counter, item: &Item) {
        self.known.insert(counter, item.number("tickets").unwrap_or(0));
    }
}
