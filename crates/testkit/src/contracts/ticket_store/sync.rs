use std::time::Duration;

use switchboard_core::{
    error::ErrorKind,
    event::Event,
    ports::SyncChange,
    tickets::{SyncState, SyncStatus, Ticket},
};

use crate::{
    contracts::{
        bench::{Bench, MOMENT},
        expect::{expect, expect_eq, expect_kind, expect_ok, expect_same_event},
    },
    sample,
};

const RECEIPT: &str = "zendesk ticket \"4711\" updated ✓\n";
const ERROR: &str = "the desk said 'no': 503 ✗\n";
const DELAY: Duration = Duration::from_secs(10);

fn succeeded() -> SyncChange {
    SyncChange::Succeeded { receipt: RECEIPT.to_owned() }
}

fn failed() -> SyncChange {
    SyncChange::Failed { error: ERROR.to_owned(), open: false }
}

fn retry(bench: &Bench) -> SyncChange {
    SyncChange::Retry { at: bench.now().plus(DELAY), error: ERROR.to_owned(), open: false }
}

async fn sync_of(bench: &Bench, ticket: &Ticket) -> SyncState {
    bench.file(&bench.acme, &ticket.id).await.sync
}

async fn expect_archived(bench: &Bench, event: &Event) {
    let archived = bench.archived(&bench.acme).await;
    let found = archived.iter().find(|archived| archived.id == event.id);
    let found = found.unwrap_or_else(|| panic!("the final event is archived\n  seen: {archived:?}"));
    expect_same_event("the final event as archived", found, event);
}

async fn expect_queue_empty(bench: &Bench, what: &str) {
    bench.expire();
    bench.expect_nothing_due(what).await;
    let depth = expect_ok("depth", bench.queue.depth().await);
    expect_eq(&format!("{what}: waiting and leased"), (depth.waiting, depth.leased), (0, 0));
}

pub(super) async fn success_is_recorded(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    let recorded = bench.record_sync(&ticket, &decision, succeeded(), &routed.lease).await;
    let event = expect_ok("record_sync", recorded).expect("success has an event");
    let expected = SyncState {
        status: SyncStatus::Success,
        failed_attempts: 0,
        receipt: Some(RECEIPT.to_owned()),
        last_error: None,
        changed_at: Some(bench.now()),
    };
    expect_eq("the write-back after success", sync_of(&bench, &ticket).await, expected);
    expect_eq("the decision after success", bench.file(&bench.acme, &ticket.id).await.decision, Some(decision));
    expect_archived(&bench, &event).await;
    expect_queue_empty(&bench, "after success: its event makes no work").await;
}

pub(super) async fn a_retry_is_counted_and_due_at_its_time(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, mut routed) = bench.routed(&bench.acme, &ticket).await;
    for tries in 1..=3 {
        expect_ok("record_sync", bench.record_sync(&ticket, &decision, retry(&bench), &routed.lease).await);
        let expected = SyncState {
            status: SyncStatus::Pending,
            failed_attempts: tries,
            receipt: None,
            last_error: Some(ERROR.to_owned()),
            changed_at: Some(bench.now()),
        };
        expect_eq("the write-back after a retry", sync_of(&bench, &ticket).await, expected);
        bench.expect_nothing_due("right after a retry").await;
        bench.clock.advance(DELAY - MOMENT);
        bench.expect_nothing_due("a moment before the retry's time").await;
        bench.clock.advance(MOMENT);
        let again = bench.lease_only("at the retry's time").await;
        expect_same_event("the event that is tried again", &again.event, &routed.event);
        expect_eq("failures and interruptions after retries", (again.failed, again.interrupted), (tries, 0));
        routed = again;
    }
}

pub(super) async fn success_after_a_retry(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, retry(&bench), &routed.lease).await);
    bench.clock.advance(DELAY);
    let again = bench.lease_only("at the retry's time").await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, succeeded(), &again.lease).await);
    let sync = sync_of(&bench, &ticket).await;
    let seen = (sync.status, sync.failed_attempts, sync.receipt, sync.changed_at);
    let expected = (SyncStatus::Success, 1, Some(RECEIPT.to_owned()), Some(bench.now()));
    expect_eq("status, failed tries, receipt and time after retry and success", seen, expected);
    expect_queue_empty(&bench, "after retry and success").await;
}

pub(super) async fn a_failure_for_good_goes_to_the_dead_letters(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, retry(&bench), &routed.lease).await);
    bench.clock.advance(DELAY);
    let again = bench.lease_only("at the retry's time").await;
    let event = expect_ok("record_sync", bench.record_sync(&ticket, &decision, failed(), &again.lease).await);
    let expected = SyncState {
        status: SyncStatus::Failed,
        failed_attempts: 2,
        receipt: None,
        last_error: Some(ERROR.to_owned()),
        changed_at: Some(bench.now()),
    };
    expect_eq("the write-back after it failed for good", sync_of(&bench, &ticket).await, expected);
    let dead = bench.dead(&bench.acme).await;
    expect("one dead letter", dead.len() == 1, &dead);
    expect_same_event("the dead letter", &dead[0].event, &routed.event);
    expect_eq("its reason", dead[0].reason.as_str(), ERROR);
    expect_eq("its failures, this last one too, and interruptions", (dead[0].failed, dead[0].interrupted), (2, 0));
    expect_eq("when it came there", dead[0].at, bench.now());
    expect_archived(&bench, &event.expect("a failure has an event")).await;
    expect_queue_empty(&bench, "after a failure for good: its event makes no work").await;
}

pub(super) async fn success_after_a_revival(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, failed(), &routed.lease).await);
    expect_eq("revive", expect_ok("revive", bench.queue.revive(&bench.acme, &routed.event.id).await), true);
    let again = bench.lease_only("after revive").await;
    expect_eq("failures and interruptions after revive", (again.failed, again.interrupted), (0, 0));
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, succeeded(), &again.lease).await);
    let sync = sync_of(&bench, &ticket).await;
    let expected = (SyncStatus::Success, Some(RECEIPT.to_owned()));
    expect_eq("status and receipt after failure, revival and success", (sync.status, sync.receipt), expected);
    expect_queue_empty(&bench, "after failure, revival and success").await;
}

pub(super) async fn a_lost_lease_writes_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    bench.expire();
    let live = bench.lease_only("after the first lease expired").await;
    let archived = bench.archived(&bench.acme).await.len();
    for change in [succeeded(), retry(&bench), failed()] {
        let what = format!("record_sync under a lost lease: {change:?}");
        expect_kind(&what, bench.record_sync(&ticket, &decision, change, &routed.lease).await, ErrorKind::LeaseLost);
        expect_eq("the write-back after a refused record", sync_of(&bench, &ticket).await, SyncState::pending());
        expect_eq("archived after a refused record", bench.archived(&bench.acme).await.len(), archived);
        let dead = bench.dead(&bench.acme).await;
        expect("no dead letters after a refused record", dead.is_empty(), &dead);
        bench.expect_nothing_due("after a refused record").await;
    }
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, succeeded(), &live.lease).await);
    expect_eq("status after the live lease's success", sync_of(&bench, &ticket).await.status, SyncStatus::Success);
}

pub(super) async fn every_outcome_outlives_a_restart(bench: Bench) {
    let tickets = [sample::ticket(1), sample::ticket(2), sample::ticket(3)];
    let changes = [succeeded(), failed(), retry(&bench)];
    let mut before = Vec::new();
    for (ticket, change) in tickets.iter().zip(changes) {
        let (decision, routed) = bench.routed(&bench.acme, ticket).await;
        expect_ok("record_sync", bench.record_sync(ticket, &decision, change, &routed.lease).await);
        before.push(sync_of(&bench, ticket).await);
    }
    let bench = bench.restart().await;
    for (ticket, before) in tickets.iter().zip(before) {
        expect_eq("the write-back after a restart", sync_of(&bench, ticket).await, before);
    }
    let dead = bench.dead(&bench.acme).await;
    expect("one dead letter after a restart", dead.len() == 1, &dead);
    bench.expect_nothing_due("after a restart, before the retry's time").await;
    bench.clock.advance(DELAY);
    let again = bench.lease_only("after a restart, at the retry's time").await;
    expect_eq("failures and interruptions after a restart", (again.failed, again.interrupted), (1, 0));
}
