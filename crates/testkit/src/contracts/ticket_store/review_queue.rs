use std::{collections::BTreeSet, time::Duration};

use switchboard_core::{
    error::ErrorKind,
    limits,
    ports::{ReviewFilter, ReviewQueue, ReviewState, TenantScope, WaitingReview},
    tickets::{Decision, Ticket},
};

use crate::{
    contracts::{
        bench::{Bench, MANY},
        expect::{expect, expect_eq, expect_kind, expect_ok},
    },
    sample,
};

/// A ticket of that team and category, and how sure its routing is; `review` says whether it waits.
struct Sample {
    team: &'static str,
    category: &'static str,
    confidence: f64,
    review: bool,
}

const fn one(team: &'static str, category: &'static str, confidence: f64, review: bool) -> Sample {
    Sample { team, category, confidence, review }
}

/// Outages are three of four.
const MIXED: &[Sample] = &[
    one("support", "outage", 0.9, false),
    one("support", "outage", 0.5, true),
    one("support", "outage", 0.6, true),
    one("billing", "outage", 0.6, true),
    one("support", "outage", 0.99, false),
    one("support", "outage", 0.5, true),
    one("billing", "invoice", 0.1, true),
    one("billing", "invoice", 0.4, true),
];

/// Decides `samples` as tickets 1 and on, accepted now; gives the tickets and decisions.
async fn decided(bench: &Bench, scope: &TenantScope, samples: &[Sample]) -> Vec<(Ticket, Decision)> {
    let mut tickets: Vec<_> = (1..).take(samples.len()).map(sample::ticket).collect();
    for ticket in &mut tickets {
        ticket.accepted_at = bench.now();
    }
    bench.accept_all(scope, tickets.clone()).await;
    let received = bench.lease(MANY).await;
    let mut all = Vec::new();
    for (ticket, sample) in tickets.into_iter().zip(samples) {
        let mut decision = sample::decision(&ticket, bench.ids.as_ref());
        decision.assigned_team = sample::parsed(sample.team);
        decision.issue_classification.primary_category = sample::parsed(sample.category);
        decision.confidence_score = sample.confidence;
        decision.requires_manual_review = sample.review;
        decision.review_reasons = vec![format!("{} is \"unsure\"", ticket.id)];
        let lease = received.iter().find(|leased| *leased.event.detail.ticket_id() == ticket.id).expect("its lease");
        bench.decide(scope, &ticket, &decision, &lease.lease).await;
        all.push((ticket, decision));
    }
    for leased in bench.lease(MANY).await {
        bench.complete(&leased.lease).await;
    }
    all
}

async fn page(bench: &Bench, filter: &ReviewFilter, cursor: Option<&str>, limit: u32) -> ReviewQueue {
    expect_ok("review_queue", bench.store.review_queue(&bench.acme, filter, cursor, limit).await)
}

async fn all(bench: &Bench, filter: &ReviewFilter) -> ReviewQueue {
    page(bench, filter, None, limits::PAGE_TICKETS).await
}

fn ids(items: &[WaitingReview]) -> Vec<&str> {
    items.iter().map(|item| item.ticket.ticket_id.as_str()).collect()
}

fn expect_value(what: &str, seen: f64, expected: f64) {
    expect(&format!("{what} is {expected}"), (seen - expected).abs() < 1e-9, seen);
}

pub(super) async fn an_empty_queue(bench: Bench) {
    let queue = all(&bench, &ReviewFilter::default()).await;
    expect_eq("the empty queue", queue, ReviewQueue { waiting: 0, items: Vec::new(), next_cursor: None });
}

pub(super) async fn unsure_and_frequent_first(bench: Bench) {
    let decided = decided(&bench, &bench.acme, MIXED).await;
    let queue = all(&bench, &ReviewFilter::default()).await;
    // 0.75 · 0.5, twice, the older first; 0.75 · 0.4, twice; 0.25 · 0.9; 0.25 · 0.6
    expect_eq("the queue", ids(&queue.items), vec!["T-2", "T-6", "T-3", "T-4", "T-7", "T-8"]);
    expect_eq("how many wait", (queue.waiting, queue.next_cursor), (6, None));
    for (item, value) in queue.items.iter().zip([0.375, 0.375, 0.3, 0.3, 0.225, 0.15]) {
        expect_value("the value", item.value, value);
    }
    let (first, (ticket, decision)) = (&queue.items[0], &decided[1]);
    expect_eq("its subject", &first.subject, &ticket.subject);
    expect_eq("its reasons", &first.review_reasons, &decision.review_reasons);
    let summary = &first.ticket;
    expect_eq("its state", summary.review_state, ReviewState::Waiting);
    let seen = (summary.assigned_team.as_ref(), summary.primary_category.as_ref(), summary.confidence_score);
    let issue = &decision.issue_classification;
    expect_eq("what is suggested", seen, (Some(&decision.assigned_team), Some(&issue.primary_category), Some(0.5)));
}

pub(super) async fn only_the_last_thirty_days_count(bench: Bench) {
    decided(&bench, &bench.acme, &[one("support", "outage", 0.5, true), one("billing", "invoice", 0.9, true)]).await;
    let queue = all(&bench, &ReviewFilter::default()).await;
    expect_value("the value at first", queue.items[0].value, 0.25);
    bench.clock.advance(limits::REVIEW_SHARE_TIME + Duration::from_secs(1));
    let queue = all(&bench, &ReviewFilter::default()).await;
    expect_eq("tickets that are old still wait", queue.waiting, 2);
    for item in &queue.items {
        expect_value("the value when none of the category came lately", item.value, 0.0);
    }
    expect_eq("the least sure first", ids(&queue.items), vec!["T-1", "T-2"]);
    let pages = [page(&bench, &ReviewFilter::default(), None, 1).await];
    let cursor = pages[0].next_cursor.as_deref();
    expect_eq(
        "the page after one of no value",
        ids(&page(&bench, &ReviewFilter::default(), cursor, 1).await.items),
        vec!["T-2"],
    );
}

pub(super) async fn what_was_reviewed_leaves_the_queue(bench: Bench) {
    let decided = decided(&bench, &bench.acme, MIXED).await;
    let (ticket, decision) = &decided[1];
    bench.record_review(sample::review(&bench.acme, ticket, decision, bench.ids.as_ref())).await;
    let queue = all(&bench, &ReviewFilter::default()).await;
    // The review made an invoice of it, so five of eight are outages now.
    expect_eq("the queue after a review", ids(&queue.items), vec!["T-7", "T-6", "T-3", "T-4", "T-8"]);
    expect_eq("how many wait", queue.waiting, 5);
    let bench = bench.restart().await;
    expect_eq("the queue after a restart", all(&bench, &ReviewFilter::default()).await, queue);
}

pub(super) async fn filters_and_their_count(bench: Bench) {
    decided(&bench, &bench.acme, MIXED).await;
    let filter = |team: Option<&str>, category: Option<&str>| ReviewFilter {
        team: team.map(sample::parsed),
        category: category.map(sample::parsed),
    };
    for (filter, expected) in [
        (filter(Some("billing"), None), vec!["T-4", "T-7", "T-8"]),
        (filter(None, Some("outage")), vec!["T-2", "T-6", "T-3", "T-4"]),
        (filter(Some("billing"), Some("outage")), vec!["T-4"]),
        (filter(Some("support"), Some("invoice")), vec![]),
        (filter(Some("nobody"), None), vec![]),
    ] {
        let queue = all(&bench, &filter).await;
        expect_eq(&format!("how many wait with {filter:?}"), queue.waiting, expected.len() as u64);
        expect_eq(&format!("the queue with {filter:?}"), ids(&queue.items), expected);
    }
}

pub(super) async fn no_gap_and_no_double_over_its_pages(bench: Bench) {
    let teams = ["support", "billing"];
    let categories = ["outage", "invoice", "contract"];
    let samples: Vec<_> = (0..90_usize)
        .map(|n| one(teams[n % 2], categories[n % 7 % 3], (n % 11) as f64 / 10.0, !n.is_multiple_of(5)))
        .collect();
    decided(&bench, &bench.acme, &samples).await;
    let whole = all(&bench, &ReviewFilter::default()).await;
    expect_eq("how many wait", (whole.waiting, whole.items.len()), (72, 72));
    let falls = whole.items.windows(2).all(|pair| pair[0].value >= pair[1].value);
    expect("the value falls", falls, whole.items.iter().map(|item| item.value).collect::<Vec<_>>());
    for limit in [1, 7, 71, 72] {
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = page(&bench, &ReviewFilter::default(), cursor.as_deref(), limit).await;
            expect_eq("how many wait, on every page", page.waiting, 72);
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        expect_eq(&format!("the queue by pages of {limit}"), ids(&found), ids(&whole.items));
    }
    expect_eq("no double", ids(&whole.items).into_iter().collect::<BTreeSet<_>>().len(), 72);
}

pub(super) async fn rubbish_as_cursor_is_invalid(bench: Bench) {
    for cursor in ["", "x", "1-2", "1-2-3x", "zz-0-1", "7ff0000000000000-0-1", "-1", "0-0-99999999999999999999"] {
        let page = bench.store.review_queue(&bench.acme, &ReviewFilter::default(), Some(cursor), 10).await;
        expect_kind(&format!("the cursor {cursor:?}"), page, ErrorKind::Invalid);
    }
}

pub(super) async fn a_foreign_tenant_sees_nothing(bench: Bench) {
    decided(&bench, &bench.acme, MIXED).await;
    decided(&bench, &bench.globex, &[one("support", "outage", 0.5, true)]).await;
    let queue =
        expect_ok("review_queue", bench.store.review_queue(&bench.globex, &ReviewFilter::default(), None, 10).await);
    expect_eq("globex's queue", (queue.waiting, ids(&queue.items)), (1, vec!["T-1"]));
    expect_value("the share counts globex's own tickets", queue.items[0].value, 0.5);
}
