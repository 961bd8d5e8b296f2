//! A ledger of spend in memory, for worlds without a disk, and as the model that others are compared with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use switchboard_core::{
    error::Result,
    ids::CustomerId,
    ports::{Ceilings, Reservation, Reserved, Settlement, Spend, Spent, TenantScope, UsageCount, UsageLedger, Wanted},
    time::Timestamp,
};

/// Tenant, period, customer.
type Place = (String, String, String);

/// A ledger that is kept as long as the process runs. A clone is the same ledger.
#[derive(Clone, Default)]
pub struct MemoryUsage(Arc<Mutex<BTreeMap<Place, Spend>>>);

fn place(scope: &TenantScope, count: &UsageCount<'_>) -> Place {
    (scope.tenant().to_string(), count.period.clone(), count.customer.to_owned())
}

#[async_trait]
impl UsageLedger for MemoryUsage {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for count in wanted.counts() {
            let spent = counts.get(&place(scope, &count)).copied().unwrap_or_default().spent;
            if !ceilings.has_room(count.ceiling, spent, wanted.amount) {
                return Ok(Reserved::Reached(count.ceiling));
            }
        }
        for count in wanted.counts() {
            let spend = counts.entry(place(scope, &count)).or_default();
            *spend =
                Spend { spent: spend.spent + wanted.amount, open: spend.open + wanted.amount, calls: spend.calls + 1 };
        }
        Ok(Reserved::Held(Reservation::granted(wanted)))
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        let (mut counts, wanted) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), reservation.wanted());
        for count in wanted.counts() {
            if let Some(spend) = counts.get_mut(&place(scope, &count)) {
                spend.spent = spend.spent - wanted.amount + settlement.cost;
                spend.open = spend.open - wanted.amount;
                spend.calls = (spend.calls + settlement.calls).saturating_sub(1);
            }
        }
        Ok(())
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        let (counts, mut spent) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Spent::default());
        for count in UsageCount::of(customer, at) {
            *spent.of_mut(count.ceiling) = counts.get(&place(scope, &count)).copied().unwrap_or_default();
        }
        Ok(spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{self, UnderTest};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_ledger_in_memory_keeps_the_contract() {
        contracts::usage_ledger(async || {
            let ledger = MemoryUsage::default();
            UnderTest::open(move || {
                let ledger = ledger.clone();
                async move { Arc::new(ledger) as Arc<dyn UsageLedger> }
            })
            .await
        })
        .await;
    }
}
