//! The contract of [`switchboard_core::ports::CustomerStore`].

use std::sync::Arc;

use switchboard_core::{
    ports::{Customer, CustomerStore, StoredCustomer, TenantScope},
    time::Timestamp,
};

use super::{
    UnderTest,
    expect::{expect_eq, expect_ok},
    run_checks,
};
use crate::{sample, world::start};

type Store = UnderTest<Arc<dyn CustomerStore>>;

/// Runs the contract of `CustomerStore`; `make` gives a fresh, empty store for each check.
pub async fn customer_store(make: impl AsyncFn() -> UnderTest<Arc<dyn CustomerStore>>) {
    run_checks!(
        "CustomerStore",
        make().await,
        [
            a_customer_is_read_back_as_it_was_put,
            an_absent_customer_is_none,
            a_customer_is_replaced,
            each_tenant_has_its_own,
            a_thousand_customers_in_one_put,
            nothing_in_one_put,
        ]
    );
}

async fn put(store: &Store, scope: &TenantScope, customers: Vec<StoredCustomer>) {
    expect_ok("put_customers", store.put_customers(scope, customers).await);
}

async fn get(store: &Store, scope: &TenantScope, n: u32) -> Option<StoredCustomer> {
    expect_ok("stored_customer", store.stored_customer(scope, &sample::customer(n).customer_id).await)
}

fn fetched(n: u32, at: Timestamp) -> StoredCustomer {
    StoredCustomer { fetched_at: Some(at), ..sample::stored_customer(n) }
}

async fn a_customer_is_read_back_as_it_was_put(store: Store) {
    let acme = sample::scope("acme");
    let all = [sample::stored_customer(1), sample::stored_customer(5), fetched(6, start()), fetched(10, start())];
    put(&store, &acme, all.to_vec()).await;
    let store = store.restart().await;
    for expected in all {
        let seen = store.stored_customer(&acme, &expected.customer.customer_id).await;
        expect_eq("the customer after a restart", expect_ok("stored_customer", seen), Some(expected));
    }
}

async fn an_absent_customer_is_none(store: Store) {
    let acme = sample::scope("acme");
    put(&store, &acme, vec![sample::stored_customer(1)]).await;
    expect_eq("a customer that was never put", get(&store, &acme, 2).await, None);
}

async fn a_customer_is_replaced(store: Store) {
    let acme = sample::scope("acme");
    let first = fetched(1, start());
    let second = StoredCustomer {
        customer: Customer {
            is_vip: !first.customer.is_vip,
            account_type: sample::parsed("enterprise"),
            language: None,
            ..first.customer.clone()
        },
        fetched_at: None,
    };
    for customer in [&first, &second, &first] {
        put(&store, &acme, vec![customer.clone(), sample::stored_customer(2)]).await;
        expect_eq("the customer put last", get(&store, &acme, 1).await.as_ref(), Some(customer));
    }
    expect_eq("the other customer", get(&store, &acme, 2).await, Some(sample::stored_customer(2)));
}

async fn each_tenant_has_its_own(store: Store) {
    let (acme, globex) = (sample::scope("acme"), sample::scope("globex"));
    let (ours, theirs) = (sample::stored_customer(1), fetched(1, start()));
    put(&store, &acme, vec![ours.clone()]).await;
    expect_eq("acme's customer, asked by globex", get(&store, &globex, 1).await, None);
    put(&store, &globex, vec![theirs.clone()]).await;
    expect_eq("acme's customer", get(&store, &acme, 1).await, Some(ours));
    expect_eq("globex's customer", get(&store, &globex, 1).await, Some(theirs));
}

async fn a_thousand_customers_in_one_put(store: Store) {
    let acme = sample::scope("acme");
    put(&store, &acme, (0..1_000).map(sample::stored_customer).collect()).await;
    for n in (0..1_000).step_by(37).chain([999]) {
        expect_eq("a customer of a thousand", get(&store, &acme, n).await, Some(sample::stored_customer(n)));
    }
}

async fn nothing_in_one_put(store: Store) {
    let acme = sample::scope("acme");
    put(&store, &acme, Vec::new()).await;
    expect_eq("a customer", get(&store, &acme, 1).await, None);
}
