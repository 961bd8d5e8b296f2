use switchboard_core::{
    error::ErrorKind,
    event::Event,
    ports::{Decided, EventFilter, Lease},
    tickets::{Decision, Ticket},
};

use crate::{
    contracts::{
        bench::{Bench, everything},
        expect::{expect, expect_eq, expect_kind, expect_ok, expect_same_event, expect_same_events},
    },
    sample,
};

/// A decision with something unusual in every text.
fn full(ticket: &Ticket, bench: &Bench) -> Decision {
    let mut decision = sample::decision(ticket, bench.ids.as_ref());
    decision.reasoning = "\"quoted\"\n'single' \\ 東京 🧑🏽\u{200d}🚒 \u{1}".to_owned();
    decision.requires_manual_review = true;
    decision.review_reasons = vec!["the routing is 12 % sure".to_owned(), "two\nlines".to_owned()];
    decision.priority_score = 99.999_999_9;
    decision.confidence_score = 0.1 + 0.2;
    decision.cost_usd = 1.0e-7;
    decision.tool_calls[0].input = serde_json::json!({"deep": [{"\"": null, "é": [1, 2.5, true]}]});
    decision
}

async fn routed_events(bench: &Bench) -> Vec<Event> {
    let filter = EventFilter { detail_type: Some("TicketRouted".to_owned()), ..everything() };
    expect_ok("archived", bench.queue.archived(&bench.acme, &filter).await)
}

/// Fails unless `lease` decides nothing about `ticket`, and says so.
async fn expect_lost(what: &str, bench: &Bench, ticket: &Ticket, lease: &Lease) {
    let decision = sample::decision(ticket, bench.ids.as_ref());
    let event = sample::routed(&bench.acme, ticket, &decision, bench.ids.as_ref());
    let decided = bench.store.decide(&bench.acme, &decision, event, lease).await;
    expect_kind(what, decided, ErrorKind::LeaseLost);
    expect_eq("the decision after a refused one", bench.file(&bench.acme, &ticket.id).await.decision, None);
    expect_same_events("archived TicketRouted after a refused decision", &routed_events(bench).await, &[]);
}

pub(super) async fn a_decision_is_stored_and_its_event_queued(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    let received = bench.lease_only("after accept").await;
    let decision = full(&ticket, &bench);
    let event = bench.decide(&bench.acme, &ticket, &decision, &received.lease).await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the decision as stored", file.decision, Some(decision));
    expect_eq("the ticket after its decision", file.ticket.to_record(), ticket.to_record());
    expect_eq("the write-back after the decision", file.sync, switchboard_core::tickets::SyncState::pending());
    let routed = bench.lease_only("after decide").await;
    expect_same_event("the event of the decision", &routed.event, &event);
    expect_eq("failures and interruptions of a new event", (routed.failed, routed.interrupted), (0, 0));
}

pub(super) async fn a_decision_ends_the_lease(bench: Bench) {
    let (_, routed) = bench.routed(&bench.acme, &sample::ticket(1)).await;
    let depth = expect_ok("depth", bench.queue.depth().await);
    expect_eq("waiting and leased, with the TicketRouted in hand", (depth.waiting, depth.leased), (0, 1));
    bench.complete(&routed.lease).await;
    bench.expire();
    bench.expect_nothing_due("after decision, completion and the end of all leases").await;
    bench.expect_no_suspect("after decision, completion and the end of all leases").await;
}

pub(super) async fn a_decision_outlives_a_restart(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    let received = bench.lease_only("after accept").await;
    let decision = full(&ticket, &bench);
    let event = bench.decide(&bench.acme, &ticket, &decision, &received.lease).await;
    let bench = bench.restart().await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the decision after a restart", file.decision, Some(decision));
    let routed = bench.lease_only("after a restart").await;
    expect_same_event("the event of the decision after a restart", &routed.event, &event);
}

pub(super) async fn a_second_decision_changes_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    let (first, routed) = bench.routed(&bench.acme, &ticket).await;
    bench.complete(&routed.lease).await;
    let received = EventFilter { detail_type: Some("TicketReceived".to_owned()), ..everything() };
    expect_eq("replayed", bench.replay(&bench.acme, &received).await, 1);
    let again = bench.lease_only("after replay").await;
    let mut second = full(&ticket, &bench);
    second.assigned_team = sample::parsed("billing");
    let event = sample::routed(&bench.acme, &ticket, &second, bench.ids.as_ref());
    let decided = expect_ok("decide", bench.store.decide(&bench.acme, &second, event, &again.lease).await);
    expect_eq("the second decision", decided, Decided::Already);
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the decision that is kept", file.decision, Some(first.clone()));
    let archived = routed_events(&bench).await;
    expect("one TicketRouted is archived", archived.len() == 1, &archived);
    let depth = expect_ok("depth", bench.queue.depth().await);
    expect_eq("waiting and leased after the second decision", (depth.waiting, depth.leased), (0, 0));
    bench.expire();
    bench.expect_nothing_due("after the second decision").await;
}

pub(super) async fn a_lost_lease_writes_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    let (lost, live) = bench.lost_and_live().await;
    expect_lost("decide under a lease that somebody else has now", &bench, &ticket, &lost).await;
    bench.expect_nothing_due("after a refused decision").await;
    let decision = sample::decision(&ticket, bench.ids.as_ref());
    bench.decide(&bench.acme, &ticket, &decision, &live).await;
    expect_lost_after_decision(&bench, &ticket, &lost, decision).await;
}

/// Both answers fit then, and neither may change anything.
async fn expect_lost_after_decision(bench: &Bench, ticket: &Ticket, lost: &Lease, kept: Decision) {
    let late = full(ticket, bench);
    let event = sample::routed(&bench.acme, ticket, &late, bench.ids.as_ref());
    let decided = bench.store.decide(&bench.acme, &late, event, lost).await;
    let fits = match &decided {
        Ok(decided) => *decided == Decided::Already,
        Err(error) => error.kind() == ErrorKind::LeaseLost,
    };
    expect("a late decision under a lost lease is Already or LeaseLost", fits, &decided);
    expect_eq("the decision that is kept", bench.file(&bench.acme, &ticket.id).await.decision, Some(kept));
    let routed = bench.lease_only("after a late decision").await;
    bench.complete(&routed.lease).await;
}

pub(super) async fn a_lease_of_a_dead_process_writes_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    let lost = bench.lease_only("after accept").await.lease;
    let bench = bench.die().await;
    expect_lost("decide under a lease of a dead process", &bench, &ticket, &lost).await;
    let live = bench.lease_only("after the restart").await.lease;
    expect_lost("decide under a lease of a dead process, with a new one given", &bench, &ticket, &lost).await;
    bench.complete(&live).await;
}

pub(super) async fn a_foreign_tenant_decides_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    let received = bench.lease_only("after accept").await;
    let decision = sample::decision(&ticket, bench.ids.as_ref());
    let event = sample::routed(&bench.globex, &ticket, &decision, bench.ids.as_ref());
    let decided = bench.store.decide(&bench.globex, &decision, event, &received.lease).await;
    expect("a decision about a ticket that the tenant does not have fails", decided.is_err(), &decided);
    expect_eq("acme's decision", bench.file(&bench.acme, &ticket.id).await.decision, None);
    expect_same_events("globex's archive", &bench.archived(&bench.globex).await, &[]);
}
