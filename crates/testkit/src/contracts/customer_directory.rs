//! The contract of [`CustomerDirectory`]: the tenant's customer of that id, or nobody. What a directory that keeps the
//! answers of another one adds to it is in [`super::kept_customers`].

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_core::{
    error::{ErrorKind, Result},
    ids::CustomerId,
    ports::{Customer, CustomerDirectory},
    tenants::Tenant,
};

use super::{
    expect::{expect, expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::sample::{self, parsed};

/// Calls at the same time.
const AT_ONCE: usize = 8;
/// Stands in wrong answers, and in no error.
const MARK: &str = "words-of-the-source";

/// A directory, and the systems behind it that know the customers: each tenant has one of its own.
#[async_trait]
pub trait Known: Send + Sync {
    /// The directory.
    fn directory(&self) -> Arc<dyn CustomerDirectory>;

    /// The tenants `acme` and `globex`, configured for it.
    fn tenant(&self, which: Which) -> &Tenant;

    /// Makes a customer known to a tenant.
    async fn knows(&self, which: Which, customer: &Customer);

    /// From now on the tenant's system answers `answer` to whoever asks for `id`; `false` when there is no other system
    /// that could answer anything.
    async fn answers(&self, _which: Which, _id: &CustomerId, _answer: Value) -> bool {
        false
    }

    /// From now on the tenant's system gives no answer; `false` when there is no other system.
    async fn goes_away(&self, _which: Which) -> bool {
        false
    }
}

/// One of the two tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// `acme`.
    Acme,
    /// `globex`.
    Globex,
}

type Shared = Arc<dyn Known>;

/// Runs the contract of `CustomerDirectory`; `make` gives a fresh directory that knows nobody for each check.
pub async fn customer_directory<K: Known + 'static>(make: impl AsyncFn() -> K) {
    run_checks!(
        "CustomerDirectory",
        Arc::new(make().await) as Shared,
        [
            a_known_customer_is_given_as_it_is,
            an_unknown_customer_is_none,
            each_tenant_has_its_own,
            ids_are_compared_as_they_are,
            many_may_ask_at_once,
            an_answer_about_another_customer_is_a_bad_answer,
            an_answer_that_makes_no_sense_is_a_bad_answer,
            a_source_that_is_not_there_is_unavailable,
            the_source_of_one_tenant_does_not_hurt_another,
        ]
    );
}

impl Which {
    /// The tenant's id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Globex => "globex",
        }
    }
}

async fn ask(test: &dyn Known, which: Which, id: &CustomerId) -> Result<Option<Customer>> {
    test.directory().customer(test.tenant(which), id).await
}

async fn get(test: &dyn Known, which: Which, id: &CustomerId) -> Option<Customer> {
    expect_ok(&format!("customer {id} of {}", which.id()), ask(test, which, id).await)
}

fn vip(id: &str) -> Customer {
    Customer { customer_id: parsed(id), is_vip: true, ..sample::customer(1) }
}

async fn a_known_customer_is_given_as_it_is(test: Shared) {
    let customers: Vec<_> = (1..=10).map(sample::customer).collect();
    for customer in &customers {
        test.knows(Which::Acme, customer).await;
    }
    for customer in &customers {
        for _ in 0..2 {
            let seen = get(&*test, Which::Acme, &customer.customer_id).await;
            expect_eq("the customer", seen.as_ref(), Some(customer));
        }
    }
}

async fn an_unknown_customer_is_none(test: Shared) {
    expect_eq("a customer where there are none", get(&*test, Which::Acme, &parsed("C-1")).await, None);
    test.knows(Which::Acme, &sample::customer(1)).await;
    for id in ["C-2", "C-11", "C-", "C", "1"] {
        expect_eq(&format!("customer {id}"), get(&*test, Which::Acme, &parsed(id)).await, None);
    }
}

async fn each_tenant_has_its_own(test: Shared) {
    let ours = Customer { is_vip: true, account_type: parsed("business"), ..sample::customer(1) };
    let theirs = Customer { is_vip: false, account_type: parsed("residential"), ..ours.clone() };
    let id = &ours.customer_id;
    test.knows(Which::Acme, &ours).await;
    expect_eq("acme's customer", get(&*test, Which::Acme, id).await, Some(ours.clone()));
    expect_eq("acme's customer, asked for by globex", get(&*test, Which::Globex, id).await, None);
    test.knows(Which::Globex, &theirs).await;
    for _ in 0..2 {
        expect_eq("globex's customer of the same id", get(&*test, Which::Globex, id).await, Some(theirs.clone()));
        expect_eq("acme's customer of the same id", get(&*test, Which::Acme, id).await, Some(ours.clone()));
    }
}

async fn ids_are_compared_as_they_are(test: Shared) {
    let longest = "C".repeat(128);
    let ids =
        ["a", "A", "a/b", "../../admin", "a#b", "a+b=c", "a:b@c.example", "...", "-", "/", "//", "007", "7", &longest];
    for (n, id) in ids.iter().enumerate() {
        expect_eq(&format!("customer {id}, not yet known"), get(&*test, Which::Acme, &parsed(id)).await, None);
        test.knows(Which::Acme, &Customer { is_vip: n.is_multiple_of(2), ..vip(id) }).await;
    }
    for (n, id) in ids.iter().enumerate() {
        let expected = Customer { is_vip: n.is_multiple_of(2), ..vip(id) };
        expect_eq(&format!("customer {id}"), get(&*test, Which::Acme, &parsed(id)).await, Some(expected));
    }
    for id in [".", "..", "a/", "a//b", "admin"] {
        expect_eq(&format!("customer {id}"), get(&*test, Which::Acme, &parsed(id)).await, None);
    }
}

async fn many_may_ask_at_once(test: Shared) {
    for n in 0..3 {
        test.knows(Which::Acme, &sample::customer(n)).await;
    }
    let calls = (0..AT_ONCE).map(|n| {
        let test = Arc::clone(&test);
        tokio::spawn(async move { get(&*test, Which::Acme, &parsed(&format!("C-{}", n % 4))).await })
    });
    for (n, outcome) in (0..).zip(join_all(calls).await) {
        let expected = (n % 4 < 3).then(|| sample::customer(n % 4));
        expect_eq("a customer, asked for by many", outcome.expect("a call that does not panic"), expected);
    }
}

async fn an_answer_about_another_customer_is_a_bad_answer(test: Shared) {
    // Each is a good answer to another question.
    for id in ["C-2", "c-1", "C-10", "C-", "C/1"] {
        if test.answers(Which::Acme, &parsed("C-1"), json!(vip(id))).await {
            expect_bad(&*test, "C-1", &format!("customer {id} for C-1")).await;
        }
    }
}

async fn an_answer_that_makes_no_sense_is_a_bad_answer(test: Shared) {
    for answer in [
        json!(null),
        json!([]),
        json!({}),
        json!(MARK),
        json!([{"customer_id": "C-1"}]),
        // Derived code of serde takes a list for a struct.
        json!(["C-1", true, "business", "de"]),
        json!({"is_vip": true}),
        json!({"customer_id": null}),
        json!({"customer_id": 1}),
        json!({"customer_id": ""}),
        json!({"customer_id": format!("{MARK} C-1")}),
        json!({"customer_id": "C-1", "is_vip": MARK}),
        json!({"customer_id": "C-1", "is_vip": 1}),
        json!({"customer_id": "C-1", "account_type": format!("Ignore all {MARK}")}),
        json!({"customer_id": "C-1", "account_type": ""}),
        json!({"customer_id": "C-1", "language": MARK}),
        json!({"customer_id": "C-1", "language": ["de"]}),
    ] {
        if test.answers(Which::Acme, &parsed("C-1"), answer.clone()).await {
            expect_bad(&*test, "C-1", &answer.to_string()).await;
        }
    }
}

/// In between the source makes sense, so that nobody leaves it alone.
async fn expect_bad(test: &dyn Known, id: &str, what: &str) {
    match ask(test, Which::Acme, &parsed(id)).await {
        Err(error) => {
            let told = error.report();
            expect(&format!("{what}: the error does not quote the source"), !told.contains(MARK), told);
            expect_kind(what, Err::<(), _>(error), ErrorKind::BadAnswer);
        }
        Ok(seen) => expect_kind(what, Ok(seen), ErrorKind::BadAnswer),
    }
    test.knows(Which::Acme, &vip("C-good")).await;
    expect_eq(&format!("after {what}"), get(test, Which::Acme, &parsed("C-good")).await, Some(vip("C-good")));
}

async fn a_source_that_is_not_there_is_unavailable(test: Shared) {
    test.knows(Which::Acme, &sample::customer(1)).await;
    if test.goes_away(Which::Acme).await {
        for id in ["C-1", "C-2"].into_iter().cycle().take(20) {
            let seen = ask(&*test, Which::Acme, &parsed(id)).await;
            expect_kind("a customer whose source is not there", seen, ErrorKind::Unavailable);
        }
    }
}

async fn the_source_of_one_tenant_does_not_hurt_another(test: Shared) {
    let customer = sample::customer(1);
    test.knows(Which::Globex, &customer).await;
    if test.goes_away(Which::Acme).await {
        for _ in 0..20 {
            let seen = ask(&*test, Which::Acme, &customer.customer_id).await;
            expect_kind("acme's customer, whose source is not there", seen, ErrorKind::Unavailable);
            let seen = get(&*test, Which::Globex, &customer.customer_id).await;
            expect_eq("globex's customer", seen.as_ref(), Some(&customer));
        }
    }
}
