use std::time::Duration;

use switchboard_core::{
    error::{Error, ErrorKind, Retry},
    ports::{Accepted, NewTicket, TenantScope},
    tenants::QuotasConfig,
    tickets::Ticket,
};

use crate::{
    contracts::{
        bench::{Bench, MANY},
        expect::{expect, expect_eq, expect_ok},
    },
    sample,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn of_tenant(tickets: u32) -> QuotasConfig {
    QuotasConfig { tickets_per_day: Some(tickets), ..QuotasConfig::default() }
}

fn of_customer(tickets: u32) -> QuotasConfig {
    QuotasConfig { tickets_per_customer_per_day: Some(tickets), ..QuotasConfig::default() }
}

/// Ticket `n` of customer `customer`, accepted now.
fn ticket(bench: &Bench, n: u32, customer: &str) -> Ticket {
    Ticket { accepted_at: bench.now(), customer_id: sample::parsed(customer), ..sample::ticket(n) }
}

fn new(bench: &Bench, scope: &TenantScope, ticket: Ticket, quotas: QuotasConfig) -> NewTicket {
    NewTicket { quotas, ..bench.new_ticket(scope, ticket) }
}

/// What became of each ticket: `n` new, `r` repeated, `q` over the quota.
async fn offer(bench: &Bench, scope: &TenantScope, tickets: Vec<NewTicket>) -> String {
    expect_ok("accept", bench.store.accept(scope, tickets).await).into_iter().map(letter).collect()
}

fn letter(result: Result<Accepted, Error>) -> char {
    match result {
        Ok(Accepted::New) => 'n',
        Ok(Accepted::SameId(_) | Accepted::SameKey(_)) => 'r',
        Err(error) => {
            expect_eq("what a ticket over its quota gets", error.kind(), ErrorKind::QuotaExceeded);
            'q'
        }
    }
}

/// Offers tickets of acme one by one: their number, their customer, and what must become of them.
async fn one_by_one(bench: &Bench, quotas: QuotasConfig, tickets: &[(u32, &str, &str)]) {
    for (n, customer, expected) in tickets {
        let new = new(bench, &bench.acme, ticket(bench, *n, customer), quotas);
        let became = offer(bench, &bench.acme, vec![new]).await;
        expect_eq(&format!("ticket {n} of {customer}"), became.as_str(), *expected);
    }
}

pub(super) async fn a_tenant_has_its_quota_of_a_day(bench: Bench) {
    one_by_one(&bench, of_tenant(2), &[(1, "A", "n"), (2, "B", "n"), (3, "A", "q"), (4, "C", "q")]).await;
    let refused = new(&bench, &bench.acme, ticket(&bench, 5, "A"), of_tenant(2));
    let midnight = refused.ticket.accepted_at.until_midnight();
    let result = expect_ok("accept", bench.store.accept(&bench.acme, vec![refused]).await).remove(0);
    let retry = result.map_err(|error| error.retry());
    expect("a ticket over its quota is told when to come again", retry.is_err(), &retry);
    expect_eq("when to come again", retry.err(), Some(Retry::After(midnight)));
    let file = expect_ok("ticket", bench.store.ticket(&bench.acme, &sample::ticket(3).id).await);
    expect("what was refused is not stored", file.is_none(), file.map(|file| file.ticket.to_record()));
    expect_eq("events of two tickets", bench.lease(MANY).await.len(), 2);
}

pub(super) async fn each_customer_has_its_quota_of_a_day(bench: Bench) {
    let tickets = [(1, "A", "n"), (2, "A", "n"), (3, "A", "q"), (4, "B", "n"), (5, "B", "n"), (6, "B", "q")];
    one_by_one(&bench, of_customer(2), &tickets).await;
}

pub(super) async fn the_tenants_quota_holds_for_all_its_customers(bench: Bench) {
    let both = QuotasConfig { tickets_per_day: Some(3), tickets_per_customer_per_day: Some(2) };
    // What the customer's quota refuses does not count towards the tenant's.
    let tickets = [(1, "A", "n"), (2, "A", "n"), (3, "A", "q"), (4, "A", "q"), (5, "B", "n"), (6, "C", "q")];
    one_by_one(&bench, both, &tickets).await;
}

pub(super) async fn repetitions_do_not_count(bench: Bench) {
    one_by_one(&bench, of_tenant(2), &[(1, "A", "n"), (1, "A", "r"), (1, "A", "r"), (2, "A", "n")]).await;
    one_by_one(&bench, of_tenant(2), &[(3, "A", "q"), (1, "A", "r"), (2, "A", "r")]).await;
}

pub(super) async fn a_batch_is_taken_up_to_its_quota(bench: Bench) {
    let batch = |numbers: &[u32]| {
        numbers.iter().map(|n| new(&bench, &bench.acme, ticket(&bench, *n, "A"), of_tenant(3))).collect::<Vec<_>>()
    };
    let became = offer(&bench, &bench.acme, batch(&[1, 2, 1, 3, 4, 2, 5])).await;
    expect_eq("a batch of five tickets and two repetitions", became.as_str(), "nnrnqrq");
    expect_eq("another batch", offer(&bench, &bench.acme, batch(&[6, 3])).await.as_str(), "qr");
    expect_eq("events of three tickets", bench.lease(MANY).await.len(), 3);
}

pub(super) async fn a_quota_begins_anew_at_midnight(bench: Bench) {
    one_by_one(&bench, of_tenant(1), &[(1, "A", "n"), (2, "A", "q")]).await;
    bench.clock.advance(bench.now().until_midnight() - Duration::from_millis(1));
    one_by_one(&bench, of_tenant(1), &[(3, "A", "q")]).await;
    bench.clock.advance(Duration::from_millis(1));
    one_by_one(&bench, of_tenant(1), &[(4, "A", "n"), (5, "A", "q")]).await;
    bench.clock.advance(DAY);
    one_by_one(&bench, of_tenant(1), &[(6, "A", "n"), (7, "A", "q")]).await;
}

pub(super) async fn counts_outlive_a_restart(bench: Bench) {
    one_by_one(&bench, of_tenant(2), &[(1, "A", "n"), (2, "A", "n")]).await;
    let bench = bench.restart().await;
    one_by_one(&bench, of_tenant(2), &[(3, "A", "q"), (1, "A", "r")]).await;
}

pub(super) async fn tenants_have_quotas_of_their_own(bench: Bench) {
    for scope in [&bench.acme, &bench.globex] {
        for (n, expected) in [(1, "n"), (2, "q")] {
            let new = new(&bench, scope, ticket(&bench, n, "A"), of_tenant(1));
            expect_eq(&format!("ticket {n} of {scope:?}"), offer(&bench, scope, vec![new]).await.as_str(), expected);
        }
    }
}

/// Without a quota nothing is counted, so one that is set later counts from then on.
pub(super) async fn a_changed_quota_counts_at_once(bench: Bench) {
    one_by_one(&bench, QuotasConfig::default(), &[(1, "A", "n")]).await;
    one_by_one(&bench, of_tenant(1), &[(2, "A", "n"), (3, "A", "q")]).await;
    one_by_one(&bench, of_tenant(2), &[(4, "A", "n"), (5, "A", "q")]).await;
    one_by_one(&bench, QuotasConfig::default(), &[(6, "A", "n")]).await;
}

pub(super) async fn side_by_side_no_quota_is_passed(bench: Bench) {
    const CALLS: u32 = 16;
    let both = QuotasConfig { tickets_per_day: Some(20), tickets_per_customer_per_day: Some(7) };
    let mut calls = Vec::new();
    for call in 0..CALLS {
        let (store, scope) = (bench.store.clone(), bench.acme.clone());
        let batch = (0..4).map(|n| {
            let customer = format!("C-{}", call % 4);
            new(&bench, &bench.acme, ticket(&bench, call * 4 + n + 1, &customer), both)
        });
        let batch = batch.collect();
        calls.push(tokio::spawn(async move { store.accept(&scope, batch).await }));
    }
    let mut stored = 0;
    for call in calls {
        let results = expect_ok("accept", call.await.expect("a call that does not panic"));
        stored += results.into_iter().map(letter).filter(|letter| *letter == 'n').count();
    }
    expect_eq("of 64 tickets by four customers, with 20 a day and 7 a customer", stored, 20);
    expect_eq("events", bench.lease(MANY).await.len(), 20);
}
