use std::time::Duration;

use switchboard_core::{
    ids::CustomerId,
    ports::{PastDecision, TenantScope},
    tickets::{Decision, PriorityLevel, Severity, Ticket},
};

use crate::{
    contracts::{
        bench::Bench,
        expect::{expect_eq, expect_ok},
    },
    sample,
};

fn customer() -> CustomerId {
    sample::parsed("C-same")
}

/// Ticket `n` of the one customer.
fn ticket(n: u32) -> Ticket {
    Ticket { customer_id: customer(), ..sample::ticket(n) }
}

/// A decision that differs from its neighbours in every field that a history shows.
fn decision(ticket: &Ticket, n: u32, bench: &Bench) -> Decision {
    let mut decision = sample::decision(ticket, bench.ids.as_ref());
    let pick = n as usize;
    decision.priority_level = PriorityLevel::ALL[pick % PriorityLevel::ALL.len()];
    decision.issue_classification.severity = Severity::ALL[(pick + 1) % Severity::ALL.len()];
    decision.issue_classification.primary_category = sample::parsed(["outage", "invoice"][pick % 2]);
    decision.requires_manual_review = n.is_multiple_of(3);
    decision
}

fn past(decision: &Decision) -> PastDecision {
    PastDecision {
        ticket_id: decision.ticket_id.clone(),
        at: decision.timestamp,
        category: decision.issue_classification.primary_category.clone(),
        severity: decision.issue_classification.severity,
        priority: decision.priority_level,
        requires_manual_review: decision.requires_manual_review,
    }
}

async fn decided(bench: &Bench, scope: &TenantScope, ticket: &Ticket, decision: &Decision) {
    bench.accept(scope, ticket.clone()).await;
    let received = bench.lease_only("after accept").await;
    bench.decide(scope, ticket, decision, &received.lease).await;
    let routed = bench.lease_only("after decide").await;
    bench.complete(&routed.lease).await;
}

/// Decides tickets 0 to `count` of the customer, and gives what a history shows of them, newest first.
async fn decided_many(bench: &Bench, count: u32) -> Vec<PastDecision> {
    let mut expected = Vec::new();
    for n in 0..count {
        let ticket = ticket(n);
        let decision = decision(&ticket, n, bench);
        decided(bench, &bench.acme, &ticket, &decision).await;
        expected.insert(0, past(&decision));
    }
    expected
}

async fn history(bench: &Bench, except: &str, limit: u32) -> Vec<PastDecision> {
    let history = bench.store.history(&bench.acme, &customer(), &sample::parsed(except), limit).await;
    expect_ok("history", history)
}

pub(super) async fn newest_first_as_decided(bench: Bench) {
    let expected = decided_many(&bench, 5).await;
    expect_eq("the history", history(&bench, "T-other", 100).await, expected.clone());
    let bench = bench.restart().await;
    expect_eq("the history after a restart", history(&bench, "T-other", 100).await, expected);
}

/// Retries let an older ticket get the newer decision.
pub(super) async fn the_newest_ticket_is_first_whenever_it_was_decided(bench: Bench) {
    let mut expected = Vec::new();
    for n in 0..3 {
        let ticket = ticket(n);
        let mut decision = decision(&ticket, n, &bench);
        decision.timestamp = sample::ticket(100 - n).accepted_at;
        decision.created_at = decision.timestamp;
        decided(&bench, &bench.acme, &ticket, &decision).await;
        expected.insert(0, past(&decision));
    }
    expect_eq("the history", history(&bench, "T-other", 100).await, expected.clone());
    expect_eq("the last two tickets", history(&bench, "T-other", 2).await, expected[..2].to_vec());
}

pub(super) async fn the_limit_is_kept(bench: Bench) {
    let expected = decided_many(&bench, 6).await;
    for limit in [1, 2, 5, 6] {
        let seen = history(&bench, "T-other", limit).await;
        expect_eq(&format!("the last {limit} decisions"), seen, expected[..limit as usize].to_vec());
    }
}

pub(super) async fn the_ticket_asked_for_is_absent(bench: Bench) {
    let mut expected = decided_many(&bench, 4).await;
    expected.retain(|past| past.ticket_id.as_str() != "T-3");
    expect_eq("the history of T-3", history(&bench, "T-3", 100).await, expected.clone());
    expect_eq("two of the history of T-3", history(&bench, "T-3", 2).await, expected[..2].to_vec());
}

pub(super) async fn undecided_tickets_are_absent(bench: Bench) {
    let expected = decided_many(&bench, 2).await;
    bench.accept(&bench.acme, ticket(7)).await;
    expect_eq("the history", history(&bench, "T-other", 1).await, expected[..1].to_vec());
    expect_eq("the history", history(&bench, "T-other", 100).await, expected);
}

pub(super) async fn other_customers_and_tenants_are_absent(bench: Bench) {
    let expected = decided_many(&bench, 1).await;
    let stranger = Ticket { customer_id: sample::parsed("C-sam"), ..sample::ticket(8) };
    let newer = |ticket: &Ticket| {
        let decision = sample::decision(ticket, bench.ids.as_ref());
        Decision { timestamp: decision.timestamp.plus(Duration::from_secs(3_600)), ..decision }
    };
    decided(&bench, &bench.acme, &stranger, &newer(&stranger)).await;
    decided(&bench, &bench.globex, &ticket(9), &newer(&ticket(9))).await;
    expect_eq("the history of one customer in one tenant", history(&bench, "T-other", 100).await, expected);
}
