use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{CustomerId, ReservationId},
    models::NanoUsd,
    ports::TenantScope,
    time::Timestamp,
};

/// The most that is counted, nine thousand million dollars: databases have signed numbers.
const MOST: NanoUsd = NanoUsd(i64::MAX as u64);

/// What tenants spend on models, counted by the month and the day of UTC, and for each customer by the day.
///
/// Money is reserved before a call, as much as it can cost at most, and settled by what it came to. What is reserved counts
/// as spent until then, so calls side by side can never pass a ceiling together, whatever the processes and the order in which
/// they reserve and settle; and what is never settled, because the process died or the caller let go, stays spent. All counts
/// outlive a restart.
#[async_trait]
pub trait UsageLedger: Send + Sync {
    /// Reserves `wanted` in the month, in the day and, when it names one, in the customer's day, if every ceiling has room for
    /// it; else nothing is reserved, and the answer names the first ceiling that has none. Looking and reserving are one
    /// write. A ceiling that is reached exactly is not passed. An id is used once.
    async fn reserve(&self, scope: &TenantScope, wanted: Wanted, ceilings: &Ceilings) -> Result<Reserved>;

    /// Replaces what was reserved by what it was spent for, in the same month and day, whenever it comes; more than was
    /// reserved counts in full. A reservation can be given in once. When this fails, it may have happened or not: it is not
    /// repeated, and the whole stays spent.
    async fn settle(&self, scope: &TenantScope, reservation: Reservation, settlement: Settlement) -> Result<()>;

    /// What was spent in the month and the day of `at`, by the tenant, and by `customer` when one is asked for.
    async fn spent(&self, scope: &TenantScope, customer: Option<&CustomerId>, at: Timestamp) -> Result<Spent>;
}

/// Money that a call may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The reservation's id, new for each.
    pub id: ReservationId,
    /// For whom it is spent, beside the tenant.
    pub customer: Option<CustomerId>,
    /// The most that the call can cost.
    pub amount: NanoUsd,
    /// Now: the month and the day that it counts in.
    pub at: Timestamp,
}

/// Money put aside for a call. It cannot be copied, so it is settled once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not settled stays spent"]
pub struct Reservation(Wanted);

/// What a reservation was spent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// What it came to.
    pub cost: NanoUsd,
    /// The calls that it has paid for. One was counted when it was reserved.
    pub calls: u64,
}

/// What became of the wish to reserve.
#[derive(Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The money is put aside.
    Held(Reservation),
    /// This ceiling has no room for it, and nothing is put aside.
    Reached(Ceiling),
}

/// What may be spent. Without a ceiling, spend is counted all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// By the tenant in a month.
    pub month: Option<NanoUsd>,
    /// By the tenant in a day.
    pub day: Option<NanoUsd>,
    /// For one customer in a day.
    pub customer_day: Option<NanoUsd>,
}

/// One of the ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// The tenant's of a month.
    Month,
    /// The tenant's of a day.
    Day,
    /// A customer's of a day.
    CustomerDay,
}

/// One of the counts in which an amount stands. Its three parts name it in every store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageCount<'a> {
    /// The ceiling that holds for it.
    pub ceiling: Ceiling,
    /// `2026-11` or `2026-11-20`. Sorted as text, a month comes before its days.
    pub period: String,
    /// Whose it is; empty for the tenant's own, which no id is.
    pub customer: &'a str,
}

/// What was spent in the current month and day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// By the tenant in the month.
    pub month: Spend,
    /// By the tenant in the day.
    pub day: Spend,
    /// For the customer in the day; nothing when none was asked for.
    pub customer_day: Spend,
}

/// What one count has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// All that counts against the ceiling.
    pub spent: NanoUsd,
    /// Of this, reserved for calls that are on their way or whose end nobody has told.
    pub open: NanoUsd,
    /// Calls for which money was reserved, repeated tries included.
    pub calls: u64,
}

impl Reservation {
    /// The reservation of `wanted`; for the adapter that has just stored it, and nobody else.
    pub fn granted(wanted: Wanted) -> Self {
        Self(wanted)
    }

    /// What is reserved.
    pub fn wanted(&self) -> &Wanted {
        &self.0
    }
}

impl Settlement {
    /// Of one call.
    pub fn of_one(cost: NanoUsd) -> Self {
        Self { cost, calls: 1 }
    }
}

impl Wanted {
    /// The counts that the amount stands in, in the order in which their ceilings are looked at.
    pub fn counts(&self) -> Vec<UsageCount<'_>> {
        UsageCount::of(self.customer.as_ref(), self.at)
    }
}

impl<'a> UsageCount<'a> {
    /// The month, the day and, when there is a customer, the customer's day.
    pub fn of(customer: Option<&'a CustomerId>, at: Timestamp) -> Vec<Self> {
        let (month, day) = (Self::month(at), Self::day(at));
        let customers =
            customer.map(|id| Self { ceiling: Ceiling::CustomerDay, period: day.clone(), customer: id.as_str() });
        let month = Self { ceiling: Ceiling::Month, period: month, customer: "" };
        let mut counts = vec![month, Self { ceiling: Ceiling::Day, period: day, customer: "" }];
        counts.extend(customers);
        counts
    }
}

impl UsageCount<'_> {
    /// The month of UTC: `2026-11`.
    pub fn month(at: Timestamp) -> String {
        at.to_string().chars().take(7).collect()
    }

    /// The day of UTC: `2026-11-20`.
    pub fn day(at: Timestamp) -> String {
        at.to_string().chars().take(10).collect()
    }
}

impl Ceilings {
    /// The ceiling of that kind.
    pub fn of(&self, ceiling: Ceiling) -> Option<NanoUsd> {
        match ceiling {
            Ceiling::Month => self.month,
            Ceiling::Day => self.day,
            Ceiling::CustomerDay => self.customer_day,
        }
    }

    /// The most that may be spent in the count `ceiling` for `amount` to have room beside it; `None` when it never has.
    pub fn room(&self, ceiling: Ceiling, amount: NanoUsd) -> Option<NanoUsd> {
        let most = self.of(ceiling).unwrap_or(MOST).min(MOST);
        most.0.checked_sub(amount.0).map(NanoUsd)
    }

    /// Whether the count `ceiling` has room for `amount` beside what is `spent`.
    pub fn has_room(&self, ceiling: Ceiling, spent: NanoUsd, amount: NanoUsd) -> bool {
        self.room(ceiling, amount).is_some_and(|room| spent <= room)
    }
}

impl Ceiling {
    /// The word for metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Day => "day",
            Self::CustomerDay => "customer_day",
        }
    }
}

impl Spent {
    /// The count of that kind.
    pub fn of_mut(&mut self, ceiling: Ceiling) -> &mut Spend {
        match ceiling {
            Ceiling::Month => &mut self.month,
            Ceiling::Day => &mut self.day,
            Ceiling::CustomerDay => &mut self.customer_day,
        }
    }
}
