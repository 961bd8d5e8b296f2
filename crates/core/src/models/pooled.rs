//! Budgets of busy conversations in fewer writes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::NanoUsd;
use crate::{
    error::Result,
    ids::{CustomerId, ReservationId, TenantId},
    limits,
    ports::{
        Ceilings, Clock, Ids, Reservation, Reserved, Settlement, Spent, TenantScope, UsageCount, UsageLedger, Wanted,
    },
    time::Timestamp,
};

/// A ledger that reserves for many calls of one tenant and customer in one write where they come thick and fast, and lends out of
/// that. What is lent was reserved, so no ceiling is passed that the ledger behind it would not let pass; what a process that
/// dies had in its purses stays spent, which is [`limits::POOL_SHARE`] of a ceiling for each at most. Who asks now and then is
/// paid by the ledger itself, call by call.
///
/// For a shell whose process lives on: [`Pooled::give_back`] is to be called every second or so, and [`Pooled::close`] at the end.
pub struct Pooled {
    ledger: Arc<dyn UsageLedger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    purses: Mutex<Purses>,
}

/// Tenant, customer and day.
type Key = (TenantId, Option<CustomerId>, String);

#[derive(Default)]
struct Purses {
    open: HashMap<u64, Purse>,
    /// Those that lend no more, until they are settled: a call that is dropped must not take one along.
    ended: Vec<Purse>,
    of: HashMap<Key, Busy>,
    /// All that is out. What is not here any more is settled by nobody, and stays spent.
    out: HashMap<ReservationId, Loan>,
    numbers: u64,
}

/// Money that is with a call.
struct Loan {
    /// None when it is the ledger's own.
    purse: Option<u64>,
    amount: NanoUsd,
    at: Duration,
}

/// Money that was reserved for many calls.
struct Purse {
    scope: TenantScope,
    key: Key,
    reservation: Reservation,
    /// Of the whole, what is with calls on their way.
    lent: NanoUsd,
    /// And what calls have cost.
    spent: NanoUsd,
    calls: u64,
    made: Duration,
    used: Duration,
}

/// How often is asked.
#[derive(Default)]
struct Busy {
    purses: Vec<u64>,
    since: Duration,
    calls: u64,
}

impl Pooled {
    /// Lends what `ledger` reserves.
    pub fn new(ledger: Arc<dyn UsageLedger>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { ledger, clock, ids, purses: Mutex::default() }
    }

    /// Settles the purses that nobody has used for [`limits::POOL_IDLE`], and those whose calls cannot come back any more.
    pub async fn give_back(&self) {
        let now = self.clock.monotonic();
        let over = |purse: &Purse| {
            let is_idle = purse.lent == NanoUsd::ZERO && now.saturating_sub(purse.used) >= limits::POOL_IDLE;
            is_idle || now.saturating_sub(purse.made) >= limits::POOL_TIME
        };
        {
            let mut purses = self.lock();
            purses.end(over);
            purses.forget(now);
        }
        self.settle_ended().await;
    }

    /// Settles all purses: no call is on its way any more that could be settled.
    pub async fn close(&self) {
        self.lock().end(|_| true);
        self.settle_ended().await;
    }

    /// Settles the purses of a tenant that nobody uses right now; whether there was one.
    async fn free(&self, tenant: &TenantId) -> bool {
        let is_any = {
            let mut purses = self.lock();
            purses.end(|purse| &purse.key.0 == tenant && purse.lent == NanoUsd::ZERO);
            !purses.ended.is_empty()
        };
        self.settle_ended().await;
        is_any
    }

    async fn settle_ended(&self) {
        loop {
            let Some(purse) = self.lock().ended.pop() else { return };
            // What is still lent will never be settled: its calls have gone.
            let settlement = Settlement { cost: purse.spent + purse.lent, calls: purse.calls };
            if let Err(error) = self.ledger.settle(&purse.scope, purse.reservation, settlement).await {
                // The whole stays reserved, which is the safe side.
                tracing::warn!(tenant = %purse.scope.tenant(), error = error.report(), "the cost of calls could not be settled");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Purses> {
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Purses {
    /// Lends the amount out of a purse that has it.
    fn lend(&mut self, key: &Key, wanted: &Wanted, now: Duration) -> bool {
        let Self { open, of, out, .. } = self;
        let numbers = of.get(key).map(|busy| busy.purses.as_slice()).unwrap_or_default();
        for number in numbers {
            if let Some(purse) = open.get_mut(number)
                && purse.lend(wanted.amount, now)
            {
                out.insert(wanted.id.clone(), Loan { purse: Some(*number), amount: wanted.amount, at: now });
                return true;
            }
        }
        false
    }

    /// Counts the call, and says for how many at once money is to be reserved.
    fn times(&mut self, key: &Key, now: Duration) -> u64 {
        let busy = self.of.entry(key.clone()).or_default();
        if now.saturating_sub(busy.since) >= limits::POOL_LOOK {
            // Half of what was is remembered, so that a steady stream stays one.
            (busy.since, busy.calls) = (now, busy.calls.min(limits::POOL_CALLS) / 2);
        }
        busy.calls += 1;
        if busy.calls < limits::POOL_FROM || busy.purses.len() >= limits::POOL_PURSES {
            return 1;
        }
        busy.calls.min(limits::POOL_CALLS)
    }

    fn add(&mut self, scope: &TenantScope, key: &Key, reservation: Reservation, now: Duration) {
        self.numbers += 1;
        let purse = Purse {
            scope: scope.clone(),
            key: key.clone(),
            reservation,
            lent: NanoUsd::ZERO,
            spent: NanoUsd::ZERO,
            calls: 0,
            made: now,
            used: now,
        };
        self.open.insert(self.numbers, purse);
        self.of.entry(key.clone()).or_default().purses.push(self.numbers);
    }

    /// Takes a call's cost, when it was lent here; gives the reservation back when it is the ledger's to settle.
    fn settle(&mut self, reservation: Reservation, settlement: Settlement, now: Duration) -> Option<Reservation> {
        let loan = self.out.remove(&reservation.wanted().id)?;
        let Some(number) = loan.purse else { return Some(reservation) };
        // A purse that is gone has settled its loans at their worst.
        if let Some(purse) = self.open.get_mut(&number) {
            purse.lent = purse.lent - loan.amount;
            purse.spent = purse.spent + settlement.cost;
            purse.used = now;
        }
        None
    }

    /// Ends those purses that are `over`.
    fn end(&mut self, over: impl Fn(&Purse) -> bool) {
        for (number, purse) in self.open.extract_if(|_, purse| over(purse)) {
            if let Some(busy) = self.of.get_mut(&purse.key) {
                busy.purses.retain(|one| *one != number);
            }
            self.ended.push(purse);
        }
    }

    /// Forgets who has not asked for a while, and loans whose calls have gone.
    fn forget(&mut self, now: Duration) {
        self.of.retain(|_, busy| !busy.purses.is_empty() || now.saturating_sub(busy.since) < limits::POOL_LOOK * 2);
        self.out.retain(|_, loan| now.saturating_sub(loan.at) < limits::POOL_TIME);
    }
}

impl Purse {
    fn lend(&mut self, amount: NanoUsd, now: Duration) -> bool {
        let whole = self.reservation.wanted().amount;
        if self.spent + self.lent + amount > whole || now.saturating_sub(self.made) >= limits::POOL_LENDS {
            return false;
        }
        self.lent = self.lent + amount;
        self.calls += 1;
        self.used = now;
        true
    }
}

/// What is reserved at once for `times` calls: no more than a share of the tightest ceiling, and no less than one call.
fn whole(amount: NanoUsd, times: u64, ceilings: &Ceilings) -> NanoUsd {
    let tightest = [ceilings.month, ceilings.day, ceilings.customer_day].into_iter().flatten().min();
    let share = tightest.map_or(u64::MAX, |ceiling| ceiling.0 / limits::POOL_SHARE);
    let times = times.min(share.checked_div(amount.0).unwrap_or(1)).max(1);
    NanoUsd(amount.0.saturating_mul(times))
}

#[async_trait]
impl UsageLedger for Pooled {
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved> {
        let key = (scope.tenant().clone(), wanted.customer.clone(), UsageCount::day(wanted.at));
        let now = self.clock.monotonic();
        let whole = {
            let mut purses = self.lock();
            let times = purses.times(&key, now);
            if purses.lend(&key, &wanted, now) {
                return Ok(Reserved::Held(Reservation::granted(wanted)));
            }
            whole(wanted.amount, times, ceilings)
        };
        // Less than two calls are not worth a purse.
        if whole.0 >= wanted.amount.0.saturating_mul(2) {
            let id = ReservationId::from_ulid(self.ids.ulid(wanted.at));
            let many = Wanted { id, amount: whole, ..wanted.clone() };
            if let Reserved::Held(reservation) = self.ledger.reserve(scope, many, ceilings).await? {
                // Those before it have not enough for one more call.
                let mut purses = self.lock();
                purses.end(|purse| purse.key == key && purse.lent == NanoUsd::ZERO);
                purses.add(scope, &key, reservation, now);
                if purses.lend(&key, &wanted, now) {
                    return Ok(Reserved::Held(Reservation::granted(wanted)));
                }
            }
        }
        let (id, amount) = (wanted.id.clone(), wanted.amount);
        let reserved = match self.ledger.reserve(scope, wanted.clone(), ceilings).await? {
            // What lies in a purse may be what is wanting.
            Reserved::Reached(_) if self.free(scope.tenant()).await => {
                self.ledger.reserve(scope, wanted, ceilings).await?
            }
            reserved => reserved,
        };
        if matches!(reserved, Reserved::Held(_)) {
            self.lock().out.insert(id, Loan { purse: None, amount, at: now });
        }
        Ok(reserved)
    }

    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()> {
        let now = self.clock.monotonic();
        let not_lent = self.lock().settle(reservation, settlement, now);
        match not_lent {
            Some(reservation) => self.ledger.settle(scope, reservation, settlement).await,
            None => Ok(()),
        }
    }

    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent> {
        self.ledger.spent(scope, customer, at).await
    }
}
