//! The contracts of the ports, on tables of their own for each check.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use switchboard_aws::{Clients, DynamoStore};
use switchboard_core::ports::{Clock, ExampleStore, Ids, UsageLedger};
use switchboard_testkit::{
    contracts::{self, Stores, UnderTest, World},
    world::{FixedClock, SeededIds},
};

use crate::emulator;

pub(crate) fn open(clients: &Clients, clock: &Arc<FixedClock>) -> DynamoStore {
    static SEED: AtomicU64 = AtomicU64::new(1 << 32);
    let clock: Arc<dyn Clock> = clock.clone();
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(SEED.fetch_add(1, Ordering::Relaxed)));
    DynamoStore::new(clients, clock, ids)
}

/// Fresh tables, opened by `wrap` now and after each restart.
async fn fresh<T: 'static>(wrap: fn(Arc<DynamoStore>, Arc<FixedClock>) -> T) -> UnderTest<T> {
    let clients = emulator::fresh().await;
    let clock = Arc::new(FixedClock::new());
    UnderTest::open(move || {
        let (clients, clock) = (clients.clone(), Arc::clone(&clock));
        async move { wrap(Arc::new(open(&clients, &clock)), clock) }
    })
    .await
}

fn stores(store: Arc<DynamoStore>, clock: Arc<FixedClock>) -> Stores {
    Stores {
        store: store.clone(),
        queue: store.clone(),
        effects: store.clone(),
        examples: store,
        clock,
        world: World::Shared,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_store() {
    contracts::ticket_store(async || Box::pin(fresh(stores)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_queue() {
    contracts::event_queue(async || Box::pin(fresh(stores)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effect_ledger() {
    contracts::effect_ledger(async || Box::pin(fresh(stores)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_store() {
    contracts::example_store(async || Box::pin(fresh(|store, _| store as Arc<dyn ExampleStore>)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_ledger() {
    contracts::usage_ledger(async || Box::pin(fresh(|store, _| store as Arc<dyn UsageLedger>)).await).await;
}
