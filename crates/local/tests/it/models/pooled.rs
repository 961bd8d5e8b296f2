//! Money that is reserved for many calls at once.

use switchboard_core::{ids::ReservationId, limits, models::Pooled};

use super::*;

struct Pool {
    ledger: MemoryUsage,
    pooled: Pooled,
    clock: FixedClock,
    ids: SeededIds,
    scope: TenantScope,
}

const CEILING: Ceilings = Ceilings { month: Some(NanoUsd(100_000)), day: None, customer_day: None };

impl Pool {
    fn new() -> Self {
        let (ledger, clock) = (MemoryUsage::default(), FixedClock::new());
        let pooled = Pooled::new(Arc::new(ledger.clone()), Arc::new(clock.clone()), Arc::new(SeededIds::new(1)));
        Self { ledger, pooled, clock, ids: SeededIds::new(2), scope: sample::scope("acme") }
    }

    async fn reserve(&self, amount: u64) -> Reserved {
        let at = self.clock.now();
        let wanted =
            Wanted { id: ReservationId::from_ulid(self.ids.ulid(at)), customer: None, amount: NanoUsd(amount), at };
        self.pooled.reserve(&self.scope, wanted, &CEILING).await.unwrap()
    }

    async fn hold(&self, amount: u64) -> Reservation {
        match self.reserve(amount).await {
            Reserved::Held(reservation) => reservation,
            Reserved::Reached(ceiling) => panic!("{ceiling:?} is reached"),
        }
    }

    async fn settle(&self, reservation: Reservation, cost: u64) {
        self.pooled.settle(&self.scope, reservation, Settlement::of_one(NanoUsd(cost))).await.unwrap();
    }

    async fn spent(&self) -> Spend {
        self.ledger.spent(&self.scope, None, self.clock.now()).await.unwrap().month
    }
}

fn spend(spent: u64, open: u64, calls: u64) -> Spend {
    Spend { spent: NanoUsd(spent), open: NanoUsd(open), calls }
}

#[tokio::test]
async fn who_asks_now_and_then_is_paid_by_the_ledger_itself() {
    let pool = Pool::new();
    for n in 1..50 {
        let reservation = pool.hold(100).await;
        assert_eq!(pool.spent().await, spend(3 * (n - 1) + 100, 100, n));
        pool.settle(reservation, 3).await;
        pool.clock.advance(Duration::from_millis(300));
    }
    assert_eq!(pool.spent().await, spend(147, 0, 49));
}

#[tokio::test]
async fn who_asks_often_is_lent_to_and_what_is_not_used_is_given_back() {
    let pool = Pool::new();
    let mut open = 0;
    for n in 0..1_000_u64 {
        let reservation = pool.hold(100).await;
        pool.settle(reservation, 3).await;
        open += u64::from(pool.spent().await.open != NanoUsd::ZERO);
        if n % 100 == 99 {
            pool.clock.advance(Duration::from_millis(50));
            pool.pooled.give_back().await;
        }
    }
    let before = pool.spent().await;
    assert!(open > 900 && before.open.0 <= 1_000, "a hundredth of the ceiling lies in a purse at most: {before:?}");
    pool.clock.advance(limits::POOL_IDLE);
    pool.pooled.give_back().await;
    assert_eq!(pool.spent().await, spend(3_000, 0, 1_000));
}

#[tokio::test]
async fn all_that_the_ceiling_allows_can_be_spent() {
    let pool = Pool::new();
    let mut held = Vec::new();
    while let Reserved::Held(reservation) = pool.reserve(90).await {
        held.push(reservation);
    }
    assert_eq!(held.len(), 100_000 / 90);
    for reservation in held {
        pool.settle(reservation, 0).await;
    }
    // What lies in the purses is freed for whoever needs more than they have.
    assert!(matches!(pool.reserve(100_000).await, Reserved::Held(_)));
}

#[tokio::test]
async fn what_nobody_settles_stays_spent_and_nobody_settles_late() {
    let pool = Pool::new();
    for _ in 0..20 {
        let reservation = pool.hold(100).await;
        pool.settle(reservation, 1).await;
    }
    let (dropped, late) = (pool.hold(100).await, pool.hold(100).await);
    drop(dropped);
    pool.clock.advance(limits::POOL_TIME);
    pool.pooled.give_back().await;
    assert_eq!(pool.spent().await, spend(220, 0, 22));
    pool.settle(late, 1).await;
    assert_eq!(pool.spent().await, spend(220, 0, 22));
}

#[tokio::test]
async fn the_end_of_the_process_gives_back_what_is_not_out() {
    let pool = Pool::new();
    for _ in 0..20 {
        let reservation = pool.hold(100).await;
        pool.settle(reservation, 1).await;
    }
    let _out = pool.hold(100).await;
    assert!(pool.spent().await.open > NanoUsd(100));
    pool.pooled.close().await;
    assert_eq!(pool.spent().await, spend(120, 0, 21));
}
