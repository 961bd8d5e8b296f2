//! Counts of tickets that a quota looks at: items of `meta`, there only where a quota is set.

use std::{collections::BTreeMap, time::Duration};

use switchboard_core::{
    error::{Error, ErrorKind, Retry},
    ids::TenantId,
    ports::NewTicket,
    time::Timestamp,
};

use crate::{
    db::{Item, Read, Write, key, n},
    queue::ttl,
};

/// How long a count is kept: its day, and one more for clocks that are behind.
const KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// A count that a quota is held against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Counter {
    /// The item's key.
    name: String,
    /// Whether it counts all customers of the tenant.
    whole: bool,
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

/// Whose count is held against which quota.
fn quotas(tenant: &TenantId, new: &NewTicket) -> Vec<(Counter, u32)> {
    let day = new.ticket.accepted_at.day();
    let whole = Counter { name: format!("{tenant}#quota#{day}#"), whole: true };
    let customer = Counter { name: format!("{tenant}#quota#{day}#{}", new.ticket.customer_id), whole: false };
    let of_tenant = new.quotas.tickets_per_day.map(|quota| (whole, quota));
    let of_customer = new.quotas.tickets_per_customer_per_day.map(|quota| (customer, quota));
    of_tenant.into_iter().chain(of_customer).collect()
}

/// Whether a quota looks at the ticket at all.
pub(super) fn counts(new: &NewTicket) -> bool {
    new.quotas.tickets_per_day.is_some() || new.quotas.tickets_per_customer_per_day.is_some()
}

impl Counts {
    /// Forgets what was to be counted, and keeps what is known.
    pub(super) fn plan_anew(&mut self) {
        self.planned.clear();
    }

    /// Plans to count the ticket, unless it would be one too many by what is known.
    pub(super) fn plan(&mut self, tenant: &TenantId, new: &NewTicket) -> Result<(), Error> {
        let quotas = quotas(tenant, new);
        for (counter, quota) in &quotas {
            let planned = self.planned.get(counter).map_or(0, |planned| planned.tickets);
            let counted = self.known.get(counter).copied().unwrap_or(0);
            if counted.saturating_add(planned) >= *quota {
                return Err(exceeded(new, counter, *quota));
            }
        }
        for (counter, quota) in quotas {
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
            let write = Write::update("meta", key("name", counter.name.as_str()))
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

fn exceeded(new: &NewTicket, counter: &Counter, quota: u32) -> Error {
    let whose = if counter.whole { "tenant" } else { "customer" };
    let message = format!("the {whose}'s quota of {quota} tickets a day is used up; it begins anew at midnight UTC");
    Error::new(ErrorKind::QuotaExceeded, message).with_retry(Retry::After(new.ticket.accepted_at.until_midnight()))
}
