//! What was spent on models. There is one writer at a time, so looking and reserving are one write.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
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

use super::SqliteStore;
use crate::db::explain;

#[async_trait]
impl UsageLedger for SqliteStore {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        let (tenant, ceilings) = (scope.tenant().clone(), *ceilings);
        self.db
            .writer
            .write(move |connection| {
                let reached = reserve(connection, &tenant, &wanted, &ceilings).map_err(explain)?;
                Ok(reached.map_or_else(|| Reserved::Held(Reservation::granted(wanted)), Reserved::Reached))
            })
            .await
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        let tenant = scope.tenant().clone();
        let settle = move |connection: &Connection| settle(connection, &tenant, reservation.wanted(), settlement);
        self.db.writer.write(move |connection| settle(connection).map_err(explain)).await
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        let (tenant, customer) = (scope.tenant().clone(), customer.cloned());
        self.db.look_up(move |connection| spent(connection, &tenant, customer.as_ref(), at)).await
    }
}

/// Puts the amount aside, or says which ceiling has no room for it.
fn reserve(
    connection: &Connection,
    tenant: &TenantId,
    wanted: &Wanted,
    ceilings: &Ceilings,
) -> rusqlite::Result<Option<Ceiling>> {
    let counts = wanted.counts();
    for count in &counts {
        let spent = one(connection, tenant, count)?.unwrap_or_default().spent;
        if !ceilings.has_room(count.ceiling, spent, wanted.amount) {
            return Ok(Some(count.ceiling));
        }
    }
    for count in &counts {
        connection
            .prepare_cached(
                "INSERT INTO model_usage (tenant, customer, period, spent, open, calls) VALUES (?1, ?2, ?3, ?4, ?4, 1)
                 ON CONFLICT (tenant, customer, period) DO UPDATE
                 SET spent = spent + excluded.spent, open = open + excluded.open, calls = calls + 1",
            )?
            .execute(params![tenant.as_str(), count.customer, count.period, nanos(wanted.amount)])?;
    }
    Ok(None)
}

fn settle(connection: &Connection, tenant: &TenantId, wanted: &Wanted, settlement: Settlement) -> rusqlite::Result<()> {
    for count in wanted.counts() {
        // A count that is gone was of a time that is long over.
        let Some(found) = one(connection, tenant, &count)? else { continue };
        let spent = found.spent - wanted.amount + settlement.cost;
        let calls = (found.calls + settlement.calls).saturating_sub(1);
        connection
            .prepare_cached(
                "UPDATE model_usage SET spent = ?4, open = ?5, calls = ?6 WHERE tenant = ?1 AND customer = ?2 AND period = ?3",
            )?
            .execute(params![
                tenant.as_str(),
                count.customer,
                count.period,
                nanos(spent),
                nanos(found.open - wanted.amount),
                i64::try_from(calls).unwrap_or(i64::MAX),
            ])?;
    }
    Ok(())
}

fn one(connection: &Connection, tenant: &TenantId, count: &UsageCount<'_>) -> rusqlite::Result<Option<Spend>> {
    connection
        .prepare_cached(
            "SELECT spent, open, calls FROM model_usage WHERE tenant = ?1 AND customer = ?2 AND period = ?3",
        )?
        .query_row(params![tenant.as_str(), count.customer, count.period], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(Spend { spent: NanoUsd(number(0)?), open: NanoUsd(number(1)?), calls: number(2)? })
        })
        .optional()
}

fn spent(
    connection: &Connection,
    tenant: &TenantId,
    customer: Option<&CustomerId>,
    at: Timestamp,
) -> rusqlite::Result<Spent> {
    // One view of all counts.
    let view = connection.unchecked_transaction()?;
    let mut spent = Spent::default();
    for count in UsageCount::of(customer, at) {
        *spent.of_mut(count.ceiling) = one(&view, tenant, &count)?.unwrap_or_default();
    }
    Ok(spent)
}

/// As the table keeps it; [`Ceilings::has_room`] lets nothing through that is more.
fn nanos(amount: NanoUsd) -> i64 {
    i64::try_from(amount.0).unwrap_or(i64::MAX)
}

/// Customers' days are kept no longer than anybody counts in them, for they name people; the tenant's own for
/// [`limits::USAGE_DAYS`].
pub(crate) fn forget(connection: &Connection, now: Timestamp, at_once: u32) -> rusqlite::Result<usize> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    // Yesterday's are kept: the clock may go back a little.
    let customers = UsageCount::day(now.minus(DAY));
    let own = UsageCount::month(now.minus(DAY * limits::USAGE_DAYS));
    connection
        .prepare_cached(
            "DELETE FROM model_usage WHERE (tenant, customer, period) IN
             (SELECT tenant, customer, period FROM model_usage
              WHERE period < ?1 AND (period < ?2 OR customer <> '') LIMIT ?3)",
        )?
        .execute(params![customers, own, at_once])
}
