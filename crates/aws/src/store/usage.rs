//! What was spent on models: counters in `meta`, one for each month, day and customer's day. Their conditions are looked at and
//! their sums written in one transaction, so calls of any number of processes never pass a ceiling together. All calls of a
//! tenant meet in its month: beyond some dozens a second they get in each other's way, and are refused rather than let through.

use std::time::Duration;

use async_trait::async_trait;
use switchboard_core::{
    error::Result,
    ids::{CustomerId, TenantId},
    limits,
    models::NanoUsd,
    ports::{
        Ceiling, Ceilings, Reservation, Reserved, Settlement, Spend, Spent, TenantScope, UsageCount, UsageLedger,
        Wanted,
    },
    time::Timestamp,
};

use super::DynamoStore;
use crate::{
    db::{Item, Read, Write, key, n},
    queue::ttl,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a count is kept: a customer's no longer than anybody counts in it, for it names somebody.
fn kept(ceiling: Ceiling) -> Duration {
    match ceiling {
        Ceiling::Month | Ceiling::Day => DAY * limits::USAGE_DAYS,
        Ceiling::CustomerDay => DAY * 2,
    }
}

/// A tenant's id has no `#` and a period neither, so no two counts have the same name.
fn item_of(tenant: &TenantId, count: &UsageCount<'_>) -> Item {
    key("name", format!("{tenant}#usage#{}#{}", count.period, count.customer))
}

fn spend(item: &Item) -> Spend {
    let number = |name| item.number(name).unwrap_or_default();
    Spend { spent: NanoUsd(number("spent")), open: NanoUsd(number("open")), calls: number("calls") }
}

#[async_trait]
impl UsageLedger for DynamoStore {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        let counts = wanted.counts();
        let write = |count: &UsageCount<'_>| {
            let write = Write::update("meta", item_of(scope.tenant(), count))
                .add("spent", n(wanted.amount.0))
                .add("open", n(wanted.amount.0))
                .add("calls", n(1))
                .set("ttl", ttl(wanted.at, kept(count.ceiling)));
            match ceilings.room(count.ceiling, wanted.amount) {
                Some(room) => write.when("attribute_not_exists(#spent) OR #spent <= :room", [("room", n(room.0))]),
                // Never: what was spent is not less than nothing.
                None => write.when("#spent < :nothing", [("nothing", n(0))]),
            }
        };
        let writes: Vec<Write> = counts.iter().map(write).collect();
        let reached = match self.db.transact("reserving money for a model", &writes).await? {
            Ok(()) => None,
            Err(cancelled) => counts.iter().enumerate().find(|(at, _)| cancelled.failed(*at).is_some()),
        };
        let reached = reached.map(|(_, count)| count.ceiling);
        Ok(reached.map_or_else(|| Reserved::Held(Reservation::granted(wanted)), Reserved::Reached))
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        let wanted = reservation.wanted();
        let mut counts = wanted.counts();
        let reserved = i128::from(wanted.amount.0);
        // A repetition by the SDK is known by its token, and one of ours follows only what was not written.
        while !counts.is_empty() {
            let write = |count: &UsageCount<'_>| {
                Write::update("meta", item_of(scope.tenant(), count))
                    .add("spent", n(i128::from(settlement.cost.0) - reserved))
                    .add("open", n(-reserved))
                    .add("calls", n(i128::from(settlement.calls) - 1))
                    .when("attribute_exists(#spent)", [])
            };
            let writes: Vec<Write> = counts.iter().map(write).collect();
            let Err(cancelled) = self.db.transact("settling the cost of a model", &writes).await? else { break };
            // A count that is gone was of a time that is long over.
            let left = counts.into_iter().enumerate().filter(|(at, _)| cancelled.failed(*at).is_none());
            counts = left.map(|(_, count)| count).collect();
        }
        Ok(())
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        let mut spent = Spent::default();
        for count in UsageCount::of(customer, at) {
            let item = self.db.get("meta", item_of(scope.tenant(), &count)).await?;
            *spent.of_mut(count.ceiling) = item.as_ref().map(spend).unwrap_or_default();
        }
        Ok(spent)
    }
}
