//! The contract of [`switchboard_core::ports::EffectLedger`].

use std::time::Duration;

use switchboard_core::{
    error::ErrorKind,
    ids::EffectId,
    limits,
    ports::{
        Attempt, Effect, EffectFilter, EffectKind, EffectState, Lease, Leased, Resolution, SyncChange, TenantScope,
    },
    tickets::{Decision, SyncStatus, Ticket},
};

use super::{
    Stores, UnderTest,
    bench::{Bench, MOMENT},
    expect::{expect, expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::sample;

/// Runs the contract of `EffectLedger`; `make` gives a fresh, empty ledger with its store and queue for each check.
pub async fn effect_ledger(make: impl AsyncFn() -> UnderTest<Stores>) {
    run_checks!(
        "EffectLedger",
        Bench::new(make().await),
        [
            the_intent_comes_with_the_decision,
            the_intent_comes_with_a_review_that_is_told,
            an_attempt_is_counted_and_open,
            an_open_attempt_is_not_repeated_unless_it_may,
            a_lost_lease_attempts_nothing,
            every_result_is_recorded,
            what_is_done_is_not_attempted_again,
            what_was_not_tried_counts_no_failure,
            a_superseded_effect_is_not_attempted,
            a_review_supersedes_what_is_held,
            a_burial_leaves_an_open_attempt_unknown,
            deaths_leave_an_open_attempt_unknown,
            deaths_before_an_attempt_leave_the_effect_failed,
            it_happened_says_a_person,
            it_is_tried_again_when_a_person_says_so,
            a_person_gives_it_up,
            a_person_gives_it_up_after_its_dead_letter_was_replayed,
            a_dropped_dead_letter_gives_it_up,
            only_what_is_held_is_resolved,
            a_foreign_tenant_sees_and_resolves_nothing,
            everything_outlives_a_restart,
        ]
    );
}

fn id(decision: &Decision) -> EffectId {
    EffectId::from(&decision.decision_id)
}

async fn effect(bench: &Bench, decision: &Decision) -> Effect {
    expect_ok("effect", bench.effects.effect(&bench.acme, &id(decision)).await)
        .unwrap_or_else(|| panic!("the effect of {}\n  expected: it is there\n  seen:     None", decision.decision_id))
}

async fn attempt(bench: &Bench, decision: &Decision, lease: &Lease, repeat: bool) -> Attempt {
    expect_ok("attempt", bench.effects.attempt(&bench.acme, &id(decision), lease, repeat).await)
}

async fn held(bench: &Bench, scope: &TenantScope) -> Vec<Effect> {
    let filter = EffectFilter { limit: 100, ..EffectFilter::default() };
    expect_ok("effects", bench.effects.effects(scope, &filter).await)
}

async fn resolve(bench: &Bench, decision: &Decision, resolution: Resolution) -> bool {
    expect_ok("resolve", bench.effects.resolve(&bench.acme, &id(decision), resolution, None).await)
}

fn happened() -> Resolution {
    Resolution::Happened { receipt: "ana looked: it is there ✓".to_owned() }
}

fn failed(open: bool) -> SyncChange {
    SyncChange::Failed { error: "the desk said 'no'".to_owned(), open }
}

/// Ticket 1, attempted once and buried: held as `unknown` or `failed`.
async fn held_one(bench: &Bench, open: bool) -> (Ticket, Decision, Leased) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    attempt(bench, &decision, &routed.lease, false).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, failed(open), &routed.lease).await);
    (ticket, decision, routed)
}

async fn the_intent_comes_with_the_decision(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    let expected = Effect {
        id: id(&decision),
        kind: EffectKind::DeskUpdate,
        ticket_id: ticket.id.clone(),
        event: routed.event.id.clone(),
        state: EffectState::Intended,
        attempts: 0,
        intended_at: routed.event.at,
        changed_at: routed.event.at,
        receipt: None,
        error: None,
    };
    expect_eq("the effect after decide", effect(&bench, &decision).await, expected);
    expect_eq("held after decide", held(&bench, &bench.acme).await, vec![]);
    expect_eq("unknown", expect_ok("unknown", bench.effects.unknown().await), 0);
}

async fn the_intent_comes_with_a_review_that_is_told(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    bench.complete(&routed.lease).await;
    let mut newest = None;
    for told in [false, true] {
        let review = sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref()).review;
        let new = sample::review_again(&bench.acme, &ticket, review, newest.as_ref(), told, bench.ids.as_ref());
        let review = bench.record_review(new).await;
        let found = expect_ok("effect", bench.effects.effect(&bench.acme, &EffectId::from(&review.review_id)).await);
        let state = found.map(|effect| effect.state);
        expect_eq("the state of a review's effect", state, told.then_some(EffectState::Intended));
        newest = Some(review);
    }
}

async fn an_attempt_is_counted_and_open(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    bench.clock.advance(MOMENT);
    let first = attempt(&bench, &decision, &routed.lease, false).await;
    expect_eq("the first attempt", first, Attempt::Begun { after_open: false });
    let seen = effect(&bench, &decision).await;
    let found = (seen.state, seen.attempts, seen.changed_at);
    expect_eq("state, attempts, time", found, (EffectState::Attempted, 1, bench.now()));
}

async fn an_open_attempt_is_not_repeated_unless_it_may(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    attempt(&bench, &decision, &routed.lease, false).await;
    let begun = bench.now();
    bench.expire();
    let again = bench.lease_only("after the lease ended with an attempt open").await;
    expect_eq(
        "an attempt that may not be repeated",
        attempt(&bench, &decision, &again.lease, false).await,
        Attempt::Open { since: begun },
    );
    expect_eq("attempts after a refused one", effect(&bench, &decision).await.attempts, 1);
    let second = attempt(&bench, &decision, &again.lease, true).await;
    expect_eq("an attempt that may be repeated", second, Attempt::Begun { after_open: true });
    expect_eq("attempts", effect(&bench, &decision).await.attempts, 2);
}

async fn a_lost_lease_attempts_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    bench.expire();
    let live = bench.lease_only("after the lease ended").await;
    for repeat in [false, true] {
        let lost = bench.effects.attempt(&bench.acme, &id(&decision), &routed.lease, repeat).await;
        expect_kind("an attempt under a lost lease", lost, ErrorKind::LeaseLost);
    }
    expect_eq("attempts after refused ones", effect(&bench, &decision).await.attempts, 0);
    let begun = attempt(&bench, &decision, &live.lease, false).await;
    expect_eq("an attempt under the live lease", begun, Attempt::Begun { after_open: false });
}

async fn every_result_is_recorded(bench: Bench) {
    let error = || "the desk said 'no'".to_owned();
    let at = bench.now().plus(Duration::from_secs(600));
    let results = [
        (SyncChange::Succeeded { receipt: "done ✓".to_owned() }, EffectState::Done),
        (SyncChange::Retry { at, error: error(), open: false }, EffectState::Intended),
        (SyncChange::Retry { at, error: error(), open: true }, EffectState::Attempted),
        (SyncChange::Deferred { at, reason: error(), open: false }, EffectState::Intended),
        (SyncChange::Deferred { at, reason: error(), open: true }, EffectState::Attempted),
        (failed(false), EffectState::Failed),
        (failed(true), EffectState::Unknown),
        (SyncChange::Superseded, EffectState::Superseded),
    ];
    for (n, (change, expected)) in (1..).zip(results) {
        let ticket = sample::ticket(n);
        let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
        attempt(&bench, &decision, &routed.lease, false).await;
        let what = format!("after {change:?}");
        let receipt = matches!(change, SyncChange::Succeeded { .. }).then(|| "done ✓".to_owned());
        let has_error = !matches!(change, SyncChange::Succeeded { .. } | SyncChange::Superseded);
        expect_ok("record_sync", bench.record_sync(&ticket, &decision, change, &routed.lease).await);
        let seen = effect(&bench, &decision).await;
        let found = (seen.state, seen.attempts, seen.receipt, seen.error);
        expect_eq(&what, found, (expected, 1, receipt, has_error.then(error)));
    }
    let states: Vec<_> = held(&bench, &bench.acme).await.iter().map(|effect| effect.state).collect();
    expect_eq("held, newest first", states, vec![EffectState::Unknown, EffectState::Failed]);
    expect_eq("unknown", expect_ok("unknown", bench.effects.unknown().await), 1);
    let filter = EffectFilter { state: Some(EffectState::Failed), limit: 100, ..EffectFilter::default() };
    expect_eq("failed ones", expect_ok("effects", bench.effects.effects(&bench.acme, &filter).await).len(), 1);
    let filter = EffectFilter { ticket: Some(sample::ticket(1).id), limit: 100, ..EffectFilter::default() };
    let of_one = expect_ok("effects", bench.effects.effects(&bench.acme, &filter).await);
    let states: Vec<_> = of_one.iter().map(|effect| effect.state).collect();
    expect_eq("those of ticket 1", states, vec![EffectState::Done]);
}

async fn what_is_done_is_not_attempted_again(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    attempt(&bench, &decision, &routed.lease, false).await;
    let done = SyncChange::Succeeded { receipt: "done".to_owned() };
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, done, &routed.lease).await);
    bench.replay(&bench.acme, &super::bench::everything()).await;
    bench.clock.advance(MOMENT);
    let received = bench.lease_only("the ticket's first event, replayed").await;
    bench.complete(&received.lease).await;
    let again = bench.lease_only("its decision's event, replayed").await;
    let seen = attempt(&bench, &decision, &again.lease, true).await;
    expect_eq("an attempt of what is done", seen, Attempt::Settled(EffectState::Done));
    expect_eq("attempts", effect(&bench, &decision).await.attempts, 1);
}

async fn what_was_not_tried_counts_no_failure(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    let wait = Duration::from_secs(30);
    let change =
        SyncChange::Deferred { at: bench.now().plus(wait), reason: "the desk is away".to_owned(), open: false };
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, change, &routed.lease).await);
    let sync = bench.file(&bench.acme, &ticket.id).await.sync;
    let found = (sync.status, sync.failed_attempts, sync.last_error.as_deref());
    expect_eq("the ticket's write-back", found, (SyncStatus::Pending, 0, Some("the desk is away")));
    bench.clock.advance(wait - MOMENT);
    bench.expect_nothing_due("a moment before it is due again").await;
    bench.clock.advance(MOMENT);
    let again = bench.lease_only("when it is due again").await;
    expect_eq("failures and interruptions", (again.failed, again.interrupted), (0, 0));
}

async fn a_superseded_effect_is_not_attempted(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    let new = sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref());
    bench.record_review(new).await;
    expect_eq("the decision's effect", effect(&bench, &decision).await.state, EffectState::Superseded);
    let seen = attempt(&bench, &decision, &routed.lease, true).await;
    expect_eq("an attempt of it", seen, Attempt::Settled(EffectState::Superseded));
}

async fn a_review_supersedes_what_is_held(bench: Bench) {
    let (ticket, decision, _) = held_one(&bench, true).await;
    let new = sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref());
    bench.record_review(new).await;
    expect_eq("held", held(&bench, &bench.acme).await, vec![]);
    expect_eq("the decision's effect", effect(&bench, &decision).await.state, EffectState::Superseded);
}

async fn a_burial_leaves_an_open_attempt_unknown(bench: Bench) {
    for (n, tried, expected) in [(1, true, EffectState::Unknown), (2, false, EffectState::Failed)] {
        let ticket = sample::ticket(n);
        let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
        if tried {
            attempt(&bench, &decision, &routed.lease, false).await;
        }
        expect_ok("bury", bench.queue.bury(&routed.lease, "it cannot be done").await);
        let seen = effect(&bench, &decision).await;
        let found = (seen.state, seen.error.as_deref());
        expect_eq("state and error after a burial", found, (expected, Some("it cannot be done")));
    }
}

async fn deaths_leave_an_open_attempt_unknown(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    attempt(&bench, &decision, &routed.lease, false).await;
    die_often(&bench).await;
    expect_eq("the effect", effect(&bench, &decision).await.state, EffectState::Unknown);
    let status = bench.file(&bench.acme, &ticket.id).await.sync.status;
    expect_eq("the ticket's write-back", status, SyncStatus::Failed);
}

async fn deaths_before_an_attempt_leave_the_effect_failed(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, _) = bench.routed(&bench.acme, &ticket).await;
    die_often(&bench).await;
    let seen = effect(&bench, &decision).await;
    let reason = bench.dead(&bench.acme).await[0].reason.clone();
    expect_eq("the effect and its error", (seen.state, seen.error), (EffectState::Failed, Some(reason)));
    expect_eq("held", held(&bench, &bench.acme).await.len(), 1);
}

/// The process dies with the one event in hand until that is a dead letter.
async fn die_often(bench: &Bench) {
    for _ in 1..limits::JOB_INTERRUPTIONS_BEFORE_ALONE {
        bench.expire();
        bench.lease_only("after a death").await;
    }
    for _ in 0..limits::JOB_INTERRUPTIONS_ALONE {
        bench.expire();
        bench.expect_nothing_due("after so many deaths").await;
        expect("a suspect", bench.lease_suspect().await.is_some(), "none");
    }
    bench.expire();
    bench.expect_nothing_due("after so many deaths alone").await;
    expect("no suspect any more", bench.lease_suspect().await.is_none(), "one");
}

async fn it_happened_says_a_person(bench: Bench) {
    let (ticket, decision, _) = held_one(&bench, true).await;
    let event = sample::synced(&bench.acme, &ticket, &decision, "ana looked", bench.ids.as_ref());
    let resolved = bench.effects.resolve(&bench.acme, &id(&decision), happened(), Some(event.clone())).await;
    expect_eq("resolve", expect_ok("resolve", resolved), true);
    let seen = effect(&bench, &decision).await;
    let said = Some("ana looked: it is there ✓".to_owned());
    expect_eq("state and receipt", (seen.state, seen.receipt), (EffectState::Done, said.clone()));
    let sync = bench.file(&bench.acme, &ticket.id).await.sync;
    expect_eq("the ticket's write-back", (sync.status, sync.receipt), (SyncStatus::Success, said));
    expect_eq("dead letters", bench.dead(&bench.acme).await.len(), 0);
    let archived = bench.archived(&bench.acme).await;
    expect("its event is archived", archived.iter().any(|one| one.id == event.id), archived.len());
    bench.expect_nothing_due("after it was resolved").await;
}

async fn it_is_tried_again_when_a_person_says_so(bench: Bench) {
    let (ticket, decision, routed) = held_one(&bench, true).await;
    expect_eq("resolve", resolve(&bench, &decision, Resolution::TryAgain).await, true);
    expect_eq("the effect", effect(&bench, &decision).await.state, EffectState::Intended);
    expect_eq("status", bench.file(&bench.acme, &ticket.id).await.sync.status, SyncStatus::Pending);
    let again = bench.lease_only("after it was resolved").await;
    expect_eq("the event", (&again.event.id, again.failed), (&routed.event.id, 0));
    let begun = attempt(&bench, &decision, &again.lease, false).await;
    expect_eq("the next attempt", begun, Attempt::Begun { after_open: false });
}

async fn a_person_gives_it_up(bench: Bench) {
    let (_, decision, _) = held_one(&bench, false).await;
    expect_eq("resolve", resolve(&bench, &decision, Resolution::Abandon).await, true);
    expect_eq("the effect", effect(&bench, &decision).await.state, EffectState::Abandoned);
    expect_eq("dead letters", bench.dead(&bench.acme).await.len(), 0);
    bench.expect_nothing_due("after it was given up").await;
}

async fn a_person_gives_it_up_after_its_dead_letter_was_replayed(bench: Bench) {
    let (ticket, decision, routed) = held_one(&bench, true).await;
    expect_eq("revive", expect_ok("revive", bench.queue.revive(&bench.acme, &routed.event.id).await), true);
    expect_eq("resolve", resolve(&bench, &decision, Resolution::Abandon).await, true);
    expect_eq("the effect", effect(&bench, &decision).await.state, EffectState::Abandoned);
    expect_eq("dead letters", bench.dead(&bench.acme).await.len(), 0);
    bench.expect_nothing_due("after it was given up").await;
    let status = bench.file(&bench.acme, &ticket.id).await.sync.status;
    expect_eq("the ticket's write-back", status, SyncStatus::Failed);
}

async fn a_dropped_dead_letter_gives_it_up(bench: Bench) {
    let (_, decision, routed) = held_one(&bench, true).await;
    expect_ok("discard", bench.queue.discard(&bench.acme, &routed.event.id).await);
    expect_eq("the effect", effect(&bench, &decision).await.state, EffectState::Abandoned);
}

async fn only_what_is_held_is_resolved(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    for what in ["intended", "attempted"] {
        for resolution in [happened(), Resolution::TryAgain, Resolution::Abandon] {
            expect_eq(&format!("resolve while {what}"), resolve(&bench, &decision, resolution).await, false);
        }
        attempt(&bench, &decision, &routed.lease, false).await;
    }
    bench.complete(&routed.lease).await;
    let other = sample::decision(&sample::ticket(2), bench.ids.as_ref());
    expect_eq("resolve of nothing", resolve(&bench, &other, Resolution::Abandon).await, false);
}

async fn a_foreign_tenant_sees_and_resolves_nothing(bench: Bench) {
    let (_, decision, routed) = held_one(&bench, true).await;
    let foreign = expect_ok("effect", bench.effects.effect(&bench.globex, &id(&decision)).await);
    expect_eq("a foreign effect", foreign, None);
    expect_eq("foreign effects", held(&bench, &bench.globex).await, vec![]);
    let filter = EffectFilter { ticket: Some(sample::ticket(1).id), limit: 100, ..EffectFilter::default() };
    let of_ticket = expect_ok("effects", bench.effects.effects(&bench.globex, &filter).await);
    expect_eq("foreign effects of the ticket", of_ticket, vec![]);
    for resolution in [happened(), Resolution::TryAgain, Resolution::Abandon] {
        let resolved = bench.effects.resolve(&bench.globex, &id(&decision), resolution, None).await;
        expect_eq("resolve by a foreign tenant", expect_ok("resolve", resolved), false);
    }
    expect_eq("the effect", effect(&bench, &decision).await.state, EffectState::Unknown);
    expect_eq("dead letters", bench.dead(&bench.acme).await[0].event.id.clone(), routed.event.id);
}

async fn everything_outlives_a_restart(bench: Bench) {
    let (_, decision, _) = held_one(&bench, true).await;
    let ticket = sample::ticket(2);
    let (open, routed) = bench.routed(&bench.acme, &ticket).await;
    attempt(&bench, &open, &routed.lease, false).await;
    let begun = bench.now();
    let before = (effect(&bench, &decision).await, effect(&bench, &open).await);
    let bench = bench.die().await;
    expect_eq("the effects", (effect(&bench, &decision).await, effect(&bench, &open).await), before);
    let again = bench.lease_only("after a restart").await;
    expect_eq("the open attempt", attempt(&bench, &open, &again.lease, false).await, Attempt::Open { since: begun });
}
