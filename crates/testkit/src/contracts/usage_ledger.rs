//! The contract of [`switchboard_core::ports::UsageLedger`].

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use switchboard_core::{
    ids::{CustomerId, ReservationId},
    models::NanoUsd,
    ports::{
        Ceiling, Ceilings, Ids, Reservation, Reserved, Settlement, Spend, Spent, TenantScope, UsageLedger, Wanted,
    },
    time::Timestamp,
};

use super::{
    UnderTest,
    expect::{expect, expect_eq, expect_ok},
    run_checks,
};
use crate::{
    sample,
    world::{SeededIds, start},
};

/// Runs the contract of `UsageLedger`; `make` gives a fresh, empty ledger for each check.
pub async fn usage_ledger(make: impl AsyncFn() -> UnderTest<Arc<dyn UsageLedger>>) {
    run_checks!(
        "UsageLedger",
        Bench::new(make().await),
        [
            nothing_is_spent_at_first,
            what_is_reserved_is_spent_at_once,
            a_ceiling_may_be_reached_and_not_passed,
            the_first_ceiling_without_room_is_named_and_nothing_reserved,
            without_a_ceiling_all_is_counted,
            more_than_can_be_counted_has_no_room,
            a_settlement_gives_the_rest_back,
            more_than_was_reserved_counts_in_full,
            what_costs_nothing_gives_all_back,
            one_reservation_may_pay_for_many_calls,
            days_and_months_begin_anew_in_utc,
            a_settlement_counts_where_the_money_was_reserved,
            customers_have_days_of_their_own,
            tenants_are_counted_apart,
            what_is_never_settled_stays_spent,
            everything_outlives_a_restart,
            calls_side_by_side_never_pass_a_ceiling,
            settlements_side_by_side_are_all_counted,
            a_call_that_is_dropped_has_happened_wholly_or_not_at_all,
        ]
    );
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const NO_CEILING: Ceilings = Ceilings { month: None, day: None, customer_day: None };

struct Bench {
    ledger: UnderTest<Arc<dyn UsageLedger>>,
    ids: SeededIds,
    acme: TenantScope,
    ana: CustomerId,
}

fn nanos(amount: u64) -> Option<NanoUsd> {
    Some(NanoUsd(amount))
}

impl Bench {
    fn new(ledger: UnderTest<Arc<dyn UsageLedger>>) -> Self {
        Self { ledger, ids: SeededIds::default(), acme: sample::scope("acme"), ana: sample::parsed("ana") }
    }

    async fn restart(self) -> Self {
        Self { ledger: self.ledger.restart().await, ..self }
    }

    fn wanted(&self, amount: u64, customer: Option<&CustomerId>, at: Timestamp) -> Wanted {
        let id = ReservationId::from_ulid(self.ids.ulid(at));
        Wanted { id, customer: customer.cloned(), amount: NanoUsd(amount), at }
    }

    async fn reserve(&self, amount: u64, ceilings: &Ceilings) -> Reserved {
        let wanted = self.wanted(amount, Some(&self.ana), start());
        expect_ok("reserve", self.ledger.reserve(&self.acme, wanted, ceilings).await)
    }

    async fn held(&self, wanted: Wanted) -> Reservation {
        held(expect_ok("reserve", self.ledger.reserve(&self.acme, wanted, &NO_CEILING).await))
    }

    async fn settle(&self, reservation: Reservation, actual: u64) {
        expect_ok("settle", self.ledger.settle(&self.acme, reservation, Settlement::of_one(NanoUsd(actual))).await);
    }

    async fn spent(&self, at: Timestamp) -> Spent {
        expect_ok("spent", self.ledger.spent(&self.acme, Some(&self.ana), at).await)
    }
}

#[track_caller]
fn held(reserved: Reserved) -> Reservation {
    match reserved {
        Reserved::Held(reservation) => reservation,
        Reserved::Reached(ceiling) => panic!("reserve\n  expected: the money is held\n  seen:     {ceiling:?}"),
    }
}

fn spend(spent: u64, open: u64, calls: u64) -> Spend {
    Spend { spent: NanoUsd(spent), open: NanoUsd(open), calls }
}

/// The same in all three counts.
fn all(spend: Spend) -> Spent {
    Spent { month: spend, day: spend, customer_day: spend }
}

async fn nothing_is_spent_at_first(bench: Bench) {
    expect_eq("spent", bench.spent(start()).await, Spent::default());
}

async fn what_is_reserved_is_spent_at_once(bench: Bench) {
    let wanted = bench.wanted(70, Some(&bench.ana), start());
    let first = bench.held(wanted.clone()).await;
    expect_eq("what is reserved", first.wanted(), &wanted);
    expect_eq("spent after one", bench.spent(start()).await, all(spend(70, 70, 1)));
    let _second = bench.held(bench.wanted(5, Some(&bench.ana), start())).await;
    expect_eq("spent after two", bench.spent(start()).await, all(spend(75, 75, 2)));
}

async fn a_ceiling_may_be_reached_and_not_passed(bench: Bench) {
    let kinds = [
        (Ceiling::Month, Ceilings { month: nanos(100), ..NO_CEILING }),
        (Ceiling::Day, Ceilings { day: nanos(110), ..NO_CEILING }),
        (Ceiling::CustomerDay, Ceilings { customer_day: nanos(120), ..NO_CEILING }),
    ];
    for (n, (ceiling, ceilings)) in kinds.into_iter().enumerate() {
        let room = if n == 0 { 100 } else { 10 };
        expect_eq("one too many", bench.reserve(room + 1, &ceilings).await, Reserved::Reached(ceiling));
        let _stays = held(bench.reserve(room, &ceilings).await);
        expect_eq("one more", bench.reserve(1, &ceilings).await, Reserved::Reached(ceiling));
        let _free = held(bench.reserve(0, &ceilings).await);
    }
    expect_eq("spent", bench.spent(start()).await, all(spend(120, 120, 6)));
}

async fn the_first_ceiling_without_room_is_named_and_nothing_reserved(bench: Bench) {
    let (month, day, customer_day) = (nanos(10), nanos(10), nanos(10));
    let tight = Ceilings { month, day, customer_day };
    let order = [
        (Ceiling::Month, tight),
        (Ceiling::Day, Ceilings { month: None, ..tight }),
        (Ceiling::CustomerDay, Ceilings { month: None, day: None, ..tight }),
    ];
    for (ceiling, ceilings) in order {
        expect_eq("the ceiling", bench.reserve(11, &ceilings).await, Reserved::Reached(ceiling));
    }
    expect_eq("spent after refusals", bench.spent(start()).await, Spent::default());
}

async fn without_a_ceiling_all_is_counted(bench: Bench) {
    let dear = 1_000_000_000_000_000;
    let _stays = held(bench.reserve(dear, &NO_CEILING).await);
    expect_eq("spent", bench.spent(start()).await, all(spend(dear, dear, 1)));
    // A ceiling that comes later sees what was spent before it.
    let late = Ceilings { month: nanos(dear), ..NO_CEILING };
    expect_eq("under a late ceiling", bench.reserve(1, &late).await, Reserved::Reached(Ceiling::Month));
}

async fn more_than_can_be_counted_has_no_room(bench: Bench) {
    let reached = Reserved::Reached(Ceiling::Month);
    expect_eq("without end", bench.reserve(u64::MAX, &NO_CEILING).await, reached);
    let endless = Ceilings { month: nanos(u64::MAX), ..NO_CEILING };
    let reached = Reserved::Reached(Ceiling::Month);
    expect_eq("under an endless ceiling", bench.reserve(u64::MAX, &endless).await, reached);
    let _stays = held(bench.reserve(1 << 62, &endless).await);
    let reached = Reserved::Reached(Ceiling::Month);
    expect_eq("twice the half", bench.reserve(1 << 62, &endless).await, reached);
}

async fn a_settlement_gives_the_rest_back(bench: Bench) {
    let ceilings = Ceilings { month: nanos(100), day: nanos(100), customer_day: nanos(100) };
    let (first, second) = (held(bench.reserve(60, &ceilings).await), held(bench.reserve(40, &ceilings).await));
    bench.settle(first, 25).await;
    expect_eq("spent", bench.spent(start()).await, all(spend(65, 40, 2)));
    expect_eq("beyond the rest", bench.reserve(36, &ceilings).await, Reserved::Reached(Ceiling::Month));
    let third = held(bench.reserve(35, &ceilings).await);
    bench.settle(third, 35).await;
    bench.settle(second, 40).await;
    expect_eq("spent in the end", bench.spent(start()).await, all(spend(100, 0, 3)));
}

async fn more_than_was_reserved_counts_in_full(bench: Bench) {
    let ceilings = Ceilings { day: nanos(100), ..NO_CEILING };
    let reservation = held(bench.reserve(60, &ceilings).await);
    bench.settle(reservation, 150).await;
    expect_eq("spent", bench.spent(start()).await, all(spend(150, 0, 1)));
    expect_eq("beyond", bench.reserve(1, &ceilings).await, Reserved::Reached(Ceiling::Day));
}

async fn what_costs_nothing_gives_all_back(bench: Bench) {
    let reservation = held(bench.reserve(60, &NO_CEILING).await);
    bench.settle(reservation, 0).await;
    expect_eq("spent", bench.spent(start()).await, all(spend(0, 0, 1)));
}

async fn one_reservation_may_pay_for_many_calls(bench: Bench) {
    for (calls, all_calls) in [(12, 12), (0, 12)] {
        let reservation = held(bench.reserve(60, &NO_CEILING).await);
        let settlement = Settlement { cost: NanoUsd(2 * calls), calls };
        expect_ok("settle", bench.ledger.settle(&bench.acme, reservation, settlement).await);
        expect_eq("spent", bench.spent(start()).await, all(spend(24, 0, all_calls)));
    }
}

fn moment(text: &str) -> Timestamp {
    sample::parsed(text)
}

async fn days_and_months_begin_anew_in_utc(bench: Bench) {
    let last = moment("2026-11-30T23:59:59.999Z");
    let _first = bench.held(bench.wanted(3, Some(&bench.ana), moment("2026-11-30T00:00:00Z"))).await;
    let _second = bench.held(bench.wanted(4, Some(&bench.ana), last)).await;
    let _earlier = bench.held(bench.wanted(20, Some(&bench.ana), moment("2026-11-01T12:00:00Z"))).await;
    let day = spend(7, 7, 2);
    expect_eq("at the end", bench.spent(last).await, Spent { month: spend(27, 27, 3), day, customer_day: day });
    let next = moment("2026-12-01T00:00:00Z");
    expect_eq("a millisecond later", bench.spent(next).await, Spent::default());
    let ceilings = Ceilings { month: nanos(27), day: nanos(27), customer_day: nanos(27) };
    let wanted = bench.wanted(27, Some(&bench.ana), next);
    let _new = held(expect_ok("reserve", bench.ledger.reserve(&bench.acme, wanted, &ceilings).await));
    expect_eq("of a year later", bench.spent(moment("2027-11-30T12:00:00Z")).await, Spent::default());
}

async fn a_settlement_counts_where_the_money_was_reserved(bench: Bench) {
    let (before, after) = (moment("2026-12-31T23:59:58Z"), moment("2027-01-01T00:00:01Z"));
    let reservation = bench.held(bench.wanted(50, Some(&bench.ana), before)).await;
    let _other = bench.held(bench.wanted(9, Some(&bench.ana), after)).await;
    bench.settle(reservation, 20).await;
    expect_eq("the old year", bench.spent(before).await, all(spend(20, 0, 1)));
    expect_eq("the new year", bench.spent(after).await, all(spend(9, 9, 1)));
}

async fn customers_have_days_of_their_own(bench: Bench) {
    let ben: CustomerId = sample::parsed("ben");
    let ceilings = Ceilings { customer_day: nanos(10), ..NO_CEILING };
    let _anas = held(bench.reserve(10, &ceilings).await);
    let wanted = bench.wanted(10, Some(&ben), start());
    let bens = held(expect_ok("reserve", bench.ledger.reserve(&bench.acme, wanted, &ceilings).await));
    let wanted = bench.wanted(100, None, start());
    let _nobodys = held(expect_ok("reserve", bench.ledger.reserve(&bench.acme, wanted, &ceilings).await));
    bench.settle(bens, 4).await;
    let tenants = spend(114, 110, 3);
    let expected = Spent { month: tenants, day: tenants, customer_day: spend(10, 10, 1) };
    expect_eq("Ana's", bench.spent(start()).await, expected);
    let bens = expect_ok("spent", bench.ledger.spent(&bench.acme, Some(&ben), start()).await);
    expect_eq("Ben's", bens.customer_day, spend(4, 0, 1));
    let nobodys = expect_ok("spent", bench.ledger.spent(&bench.acme, None, start()).await);
    expect_eq("nobody's", nobodys, Spent { customer_day: Spend::default(), ..expected });
    let tomorrow = start().plus(DAY);
    let wanted = bench.wanted(10, Some(&bench.ana), tomorrow);
    let _anew = held(expect_ok("reserve", bench.ledger.reserve(&bench.acme, wanted, &ceilings).await));
}

async fn tenants_are_counted_apart(bench: Bench) {
    let globex = sample::scope("globex");
    let ceilings = Ceilings { month: nanos(10), ..NO_CEILING };
    let _ours = held(bench.reserve(10, &ceilings).await);
    let wanted = bench.wanted(10, Some(&bench.ana), start());
    let theirs = held(expect_ok("reserve", bench.ledger.reserve(&globex, wanted, &ceilings).await));
    expect_ok("settle", bench.ledger.settle(&globex, theirs, Settlement::of_one(NanoUsd(1))).await);
    expect_eq("ours", bench.spent(start()).await, all(spend(10, 10, 1)));
    let theirs = expect_ok("spent", bench.ledger.spent(&globex, Some(&bench.ana), start()).await);
    expect_eq("theirs", theirs, all(spend(1, 0, 1)));
}

async fn what_is_never_settled_stays_spent(bench: Bench) {
    let ceilings = Ceilings { day: nanos(100), ..NO_CEILING };
    drop(held(bench.reserve(90, &ceilings).await));
    expect_eq("after the drop", bench.reserve(11, &ceilings).await, Reserved::Reached(Ceiling::Day));
    let bench = bench.restart().await;
    expect_eq("after the restart", bench.reserve(11, &ceilings).await, Reserved::Reached(Ceiling::Day));
    expect_eq("spent", bench.spent(start()).await, all(spend(90, 90, 1)));
}

async fn everything_outlives_a_restart(bench: Bench) {
    let (first, second) = (held(bench.reserve(60, &NO_CEILING).await), held(bench.reserve(40, &NO_CEILING).await));
    bench.settle(first, 25).await;
    let bench = bench.restart().await;
    expect_eq("after the restart", bench.spent(start()).await, all(spend(65, 40, 2)));
    // Another process may have made the call.
    bench.settle(second, 1).await;
    let bench = bench.restart().await;
    expect_eq("after another", bench.spent(start()).await, all(spend(26, 0, 2)));
}

async fn calls_side_by_side_never_pass_a_ceiling(bench: Bench) {
    for (round, ceiling) in [Ceiling::Month, Ceiling::Day, Ceiling::CustomerDay].into_iter().enumerate() {
        let most = nanos(100 * (round as u64 + 1) + 1);
        let ceilings = match ceiling {
            Ceiling::Month => Ceilings { month: most, ..NO_CEILING },
            Ceiling::Day => Ceilings { day: most, ..NO_CEILING },
            Ceiling::CustomerDay => Ceilings { customer_day: most, ..NO_CEILING },
        };
        let all = join_all((0..40).map(|_| bench.reserve(10, &ceilings))).await;
        let count = all.iter().filter(|one| matches!(one, Reserved::Held(_))).count();
        expect_eq("held of 40 with room for 10", count, 10);
    }
    expect_eq("spent", bench.spent(start()).await, all(spend(300, 300, 30)));
}

async fn settlements_side_by_side_are_all_counted(bench: Bench) {
    let reservations = join_all((0..30).map(|_| bench.reserve(10, &NO_CEILING))).await;
    let settled = reservations.into_iter().map(held).zip(0..).map(|(one, n)| bench.settle(one, n % 10));
    // New ones come while the old ones are settled.
    let (_, more) = futures_util::join!(join_all(settled), join_all((0..10).map(|_| bench.reserve(10, &NO_CEILING))));
    expect_eq("spent", bench.spent(start()).await, all(spend(3 * 45 + 100, 100, 40)));
    drop(more);
}

async fn a_call_that_is_dropped_has_happened_wholly_or_not_at_all(bench: Bench) {
    for _ in 0..20 {
        // Polled once, and gone.
        let _ = bench.reserve(7, &NO_CEILING).now_or_never();
    }
    // Whatever was on its way comes before this.
    let _last = held(bench.reserve(7, &NO_CEILING).await);
    let spent = bench.spent(start()).await;
    expect("whole calls", spent.month.spent.0 == 7 * spent.month.calls && spent.month.calls >= 1, spent);
    expect("in all counts", spent == all(spent.month), spent);
}
