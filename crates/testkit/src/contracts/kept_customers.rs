//! What [`CustomersByTenant`] adds to the contract of [`CustomerDirectory`]: which customers come from the store and which
//! from the source behind it. It is run for every [`CustomerStore`] that can be that store.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard_core::{
    by_tenant::CustomersByTenant,
    error::{Error, ErrorKind, Result},
    ids::{CustomerId, TenantId},
    ports::{Clock, Customer, CustomerDirectory, CustomerStore, StoredCustomer, TenantScope},
    tenants::{CustomersConfig, Tenant},
};

use super::{
    UnderTest,
    customer_directory::{Known, Which, customer_directory},
    expect::{expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::{
    sample::{self, parsed},
    world::FixedClock,
};

/// How long an answer of the source is good for.
const CACHE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

type Store = UnderTest<Arc<dyn CustomerStore>>;

/// Runs the contract of `CustomerDirectory` against `CustomersByTenant`, with its customers in the store and with a source
/// behind it, and then what it promises beyond; `make` gives a fresh, empty store for each check.
pub async fn kept_customers(make: impl AsyncFn() -> Store) {
    customer_directory(async || Bench::new(make().await, None)).await;
    customer_directory(async || Bench::new(make().await, Some(CACHE))).await;
    run_checks!(
        "CustomersByTenant",
        Bench::new(make().await, Some(CACHE)),
        [
            a_fresh_answer_is_used_without_asking,
            a_stale_answer_is_asked_for_again,
            a_restart_keeps_the_answers,
            an_answer_from_the_future_is_asked_for_again,
            an_unknown_customer_is_asked_for_each_time,
            a_customer_that_the_source_forgot_is_none,
            an_old_answer_is_used_when_the_source_fails,
            without_an_old_answer_the_failure_is_told,
            an_operators_customer_never_expires,
            an_operators_customer_replaces_an_answer,
            an_operators_customer_is_not_replaced_by_an_answer_on_its_way,
            an_answer_that_cannot_be_kept_is_given_all_the_same,
        ]
    );
    run_checks!(
        "CustomersByTenant without a cache",
        Bench::new(make().await, Some(Duration::ZERO)),
        [without_a_cache_the_source_is_always_asked,]
    );
    run_checks!(
        "CustomersByTenant without a source",
        Bench::new(make().await, None),
        [a_tenant_without_a_source_never_asks,]
    );
}

/// A source that answers what a check wants, and counts how often it is asked.
#[derive(Default)]
struct Source {
    state: Mutex<State>,
    asked: AtomicU64,
}

#[derive(Default)]
struct State {
    answers: HashMap<(TenantId, CustomerId), Value>,
    failing: HashMap<TenantId, ErrorKind>,
    /// What an operator does while the source is asked.
    meanwhile: Option<(Arc<dyn CustomerStore>, StoredCustomer)>,
}

impl Source {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CustomerDirectory for Source {
    async fn customer(&self, tenant: &Tenant, id: &CustomerId) -> Result<Option<Customer>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.state().meanwhile.take();
        if let Some((store, customer)) = meanwhile {
            store.put_customers(&TenantScope::of_tenant(tenant), vec![customer]).await?;
        }
        let state = self.state();
        if let Some(kind) = state.failing.get(&tenant.id) {
            return Err(Error::new(*kind, "the source fails, as it was told to"));
        }
        let Some(answer) = state.answers.get(&(tenant.id.clone(), id.clone())) else { return Ok(None) };
        match serde_json::from_value::<Customer>(answer.clone()) {
            Ok(customer) if answer.is_object() && customer.customer_id == *id => Ok(Some(customer)),
            _ => Err(Error::new(ErrorKind::BadAnswer, "the source answers something else")),
        }
    }
}

/// A store that finds what is in it and keeps nothing more.
struct Full(Arc<dyn CustomerStore>);

#[async_trait]
impl CustomerStore for Full {
    async fn stored_customer(&self, scope: &TenantScope, id: &CustomerId) -> Result<Option<StoredCustomer>> {
        self.0.stored_customer(scope, id).await
    }

    async fn put_customers(&self, _scope: &TenantScope, _customers: Vec<StoredCustomer>) -> Result<()> {
        Err(Error::new(ErrorKind::StorageFull, "no space is left"))
    }
}

struct Bench {
    store: Store,
    source: Arc<Source>,
    clock: Arc<FixedClock>,
    acme: Tenant,
    globex: Tenant,
}

impl Bench {
    /// With a source whose answers are good for `cache`, or without one.
    fn new(store: Store, cache: Option<Duration>) -> Self {
        let tenant = |which: Which| {
            sample::tenant_with(|config| {
                config["tenant_id"] = which.id().into();
                if let Some(cache) = cache {
                    let url = "https://customers.example.com";
                    config["customers"] = json!({"kind": "http", "url": url, "cache_seconds": cache.as_secs()});
                }
            })
        };
        let (acme, globex) = (tenant(Which::Acme), tenant(Which::Globex));
        Self { store, source: Arc::default(), clock: Arc::new(FixedClock::new()), acme, globex }
    }

    async fn restart(self) -> Self {
        Self { store: self.store.restart().await, ..self }
    }

    fn customers(&self) -> CustomersByTenant {
        self.customers_in(Arc::clone(&self.store))
    }

    fn customers_in(&self, store: Arc<dyn CustomerStore>) -> CustomersByTenant {
        CustomersByTenant { store, http: self.source.clone(), clock: self.clock.clone() }
    }

    fn has_source(&self) -> bool {
        matches!(self.acme.config.customers, CustomersConfig::Http { .. })
    }

    /// The source knows the customer from now on.
    fn answers_with(&self, customer: &Customer) {
        let key = (self.acme.id.clone(), customer.customer_id.clone());
        self.source.state().answers.insert(key, json!(customer));
    }

    fn fails(&self, kind: Option<ErrorKind>) {
        match kind {
            Some(kind) => self.source.state().failing.insert(self.acme.id.clone(), kind),
            None => self.source.state().failing.remove(&self.acme.id),
        };
    }

    async fn operator_puts(&self, customer: &Customer) {
        let stored = StoredCustomer { customer: customer.clone(), fetched_at: None };
        let put = self.store.put_customers(&TenantScope::of_tenant(&self.acme), vec![stored]).await;
        expect_ok("put_customers", put);
    }

    async fn ask(&self) -> Result<Option<Customer>> {
        self.customers().customer(&self.acme, &plain().customer_id).await
    }

    async fn get(&self) -> Option<Customer> {
        expect_ok("customer", self.ask().await)
    }

    #[track_caller]
    fn expect_asked(&self, times: u64) {
        expect_eq("how often the source was asked", self.source.asked.load(Ordering::SeqCst), times);
    }
}

#[async_trait]
impl Known for Bench {
    fn directory(&self) -> Arc<dyn CustomerDirectory> {
        Arc::new(self.customers())
    }

    fn tenant(&self, which: Which) -> &Tenant {
        match which {
            Which::Acme => &self.acme,
            Which::Globex => &self.globex,
        }
    }

    async fn knows(&self, which: Which, customer: &Customer) {
        if self.answers(which, &customer.customer_id, json!(customer)).await {
            return;
        }
        let stored = StoredCustomer { customer: customer.clone(), fetched_at: None };
        let scope = TenantScope::of_tenant(self.tenant(which));
        expect_ok("put_customers", self.store.put_customers(&scope, vec![stored]).await);
    }

    async fn answers(&self, which: Which, id: &CustomerId, answer: Value) -> bool {
        let key = (self.tenant(which).id.clone(), id.clone());
        self.has_source() && {
            self.source.state().answers.insert(key, answer);
            true
        }
    }

    async fn goes_away(&self, which: Which) -> bool {
        self.has_source() && {
            self.source.state().failing.insert(self.tenant(which).id.clone(), ErrorKind::Unavailable);
            true
        }
    }
}

/// The customer that the checks are about, as the source first knows him.
fn plain() -> Customer {
    Customer { is_vip: false, ..sample::customer(1) }
}

/// The same customer later on.
fn vip() -> Customer {
    Customer { is_vip: true, account_type: parsed("enterprise"), ..plain() }
}

async fn a_fresh_answer_is_used_without_asking(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    bench.answers_with(&vip());
    bench.fails(Some(ErrorKind::Unavailable));
    for wait in [Duration::ZERO, CACHE / 2, CACHE / 2 - MILLISECOND] {
        bench.clock.advance(wait);
        expect_eq("the answer while it is fresh", bench.get().await, Some(plain()));
    }
    bench.expect_asked(1);
}

async fn a_stale_answer_is_asked_for_again(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    bench.answers_with(&vip());
    bench.clock.advance(CACHE);
    expect_eq("the answer after its time", bench.get().await, Some(vip()));
    bench.expect_asked(2);
    bench.clock.advance(CACHE - MILLISECOND);
    expect_eq("the second answer while it is fresh", bench.get().await, Some(vip()));
    bench.expect_asked(2);
    bench.clock.advance(MILLISECOND);
    expect_eq("the second answer after its time", bench.get().await, Some(vip()));
    bench.expect_asked(3);
}

async fn a_restart_keeps_the_answers(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    let bench = bench.restart().await;
    expect_eq("the answer after a restart", bench.get().await, Some(plain()));
    bench.expect_asked(1);
}

async fn an_answer_from_the_future_is_asked_for_again(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    bench.answers_with(&vip());
    bench.clock.jump(bench.clock.now().minus(Duration::from_secs(24 * 3_600)));
    expect_eq("the answer after the clock went back", bench.get().await, Some(vip()));
    bench.expect_asked(2);
    expect_eq("the second answer", bench.get().await, Some(vip()));
    bench.expect_asked(2);
}

async fn an_unknown_customer_is_asked_for_each_time(bench: Bench) {
    for asked in 1..=3 {
        expect_eq("a customer that nobody knows", bench.get().await, None);
        bench.expect_asked(asked);
    }
    bench.answers_with(&plain());
    expect_eq("the customer once he is known", bench.get().await, Some(plain()));
}

async fn a_customer_that_the_source_forgot_is_none(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    bench.source.state().answers.clear();
    bench.clock.advance(CACHE);
    expect_eq("the customer that the source does not know any more", bench.get().await, None);
    bench.expect_asked(2);
}

async fn an_old_answer_is_used_when_the_source_fails(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    bench.answers_with(&vip());
    let kinds = [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Throttled,
        ErrorKind::BadAnswer,
        ErrorKind::Refused,
        ErrorKind::Invalid,
    ];
    for (asked, kind) in (2..).zip(kinds) {
        bench.fails(Some(kind));
        // However old.
        bench.clock.advance(1_000 * CACHE);
        expect_eq(&format!("the customer while the source is {kind:?}"), bench.get().await, Some(plain()));
        bench.expect_asked(asked);
    }
    bench.fails(None);
    expect_eq("the customer once the source answers again", bench.get().await, Some(vip()));
}

async fn without_an_old_answer_the_failure_is_told(bench: Bench) {
    bench.answers_with(&plain());
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::BadAnswer, ErrorKind::Refused] {
        bench.fails(Some(kind));
        expect_kind("a customer that was never answered", bench.ask().await, kind);
    }
    bench.fails(None);
    expect_eq("the customer once the source answers", bench.get().await, Some(plain()));
}

async fn an_operators_customer_never_expires(bench: Bench) {
    bench.operator_puts(&vip()).await;
    bench.answers_with(&plain());
    for wait in [Duration::ZERO, CACHE, 1_000_000 * CACHE] {
        bench.clock.advance(wait);
        expect_eq("the customer that an operator put", bench.get().await, Some(vip()));
    }
    bench.clock.jump(bench.clock.now().minus(1_000_000_000 * CACHE));
    expect_eq("the customer that an operator put, long before", bench.get().await, Some(vip()));
    bench.expect_asked(0);
}

async fn an_operators_customer_replaces_an_answer(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("the first answer", bench.get().await, Some(plain()));
    bench.operator_puts(&vip()).await;
    for wait in [Duration::ZERO, 1_000 * CACHE] {
        bench.clock.advance(wait);
        expect_eq("the customer that an operator put", bench.get().await, Some(vip()));
    }
    bench.expect_asked(1);
}

async fn an_operators_customer_is_not_replaced_by_an_answer_on_its_way(bench: Bench) {
    bench.answers_with(&plain());
    for again in [false, true] {
        // Once with nothing in the store, and once with an old answer.
        if again {
            let stored = StoredCustomer { customer: plain(), fetched_at: Some(bench.clock.now()) };
            let put = bench.store.put_customers(&TenantScope::of_tenant(&bench.acme), vec![stored]).await;
            expect_ok("put_customers", put);
            bench.clock.advance(CACHE);
        }
        let stored = StoredCustomer { customer: vip(), fetched_at: None };
        bench.source.state().meanwhile = Some((Arc::clone(&bench.store), stored));
        expect_eq("the customer that an operator puts while the source is asked", bench.get().await, Some(vip()));
        bench.clock.advance(CACHE);
        expect_eq("the customer that the operator put", bench.get().await, Some(vip()));
    }
    bench.expect_asked(2);
}

async fn an_answer_that_cannot_be_kept_is_given_all_the_same(bench: Bench) {
    bench.answers_with(&plain());
    let customers = bench.customers_in(Arc::new(Full(Arc::clone(&bench.store))));
    for asked in 1..=2 {
        let seen = customers.customer(&bench.acme, &plain().customer_id).await;
        expect_eq("the answer while nothing can be kept", expect_ok("customer", seen), Some(plain()));
        bench.expect_asked(asked);
    }
}

async fn without_a_cache_the_source_is_always_asked(bench: Bench) {
    for (asked, customer) in (1..).zip([plain(), vip(), plain()]) {
        bench.answers_with(&customer);
        expect_eq("the answer", bench.get().await, Some(customer));
        bench.expect_asked(asked);
    }
    bench.fails(Some(ErrorKind::Unavailable));
    expect_eq("the last answer when the source fails", bench.get().await, Some(plain()));
}

async fn a_tenant_without_a_source_never_asks(bench: Bench) {
    bench.answers_with(&plain());
    expect_eq("a customer that nobody put", bench.get().await, None);
    bench.operator_puts(&vip()).await;
    bench.clock.advance(1_000 * CACHE);
    expect_eq("the customer that an operator put", bench.get().await, Some(vip()));
    bench.expect_asked(0);
}
