use std::time::Duration;

use switchboard_core::{
    error::ErrorKind,
    ids::EventId,
    limits::{JOB_INTERRUPTIONS_ALONE, JOB_INTERRUPTIONS_BEFORE_ALONE},
    ports::Leased,
};

use crate::{
    contracts::{
        bench::{Bench, MANY, names},
        expect::{expect, expect_eq, expect_kind, expect_ok},
    },
    sample,
};

const DELAY: Duration = Duration::from_secs(10);

/// Queues one event and lets its leases end until it is under suspicion.
async fn suspect(bench: &Bench) -> EventId {
    let event = bench.accept(&bench.acme, sample::ticket(1)).await;
    for interrupted in 0..JOB_INTERRUPTIONS_BEFORE_ALONE {
        let leased = bench.lease_only("an event that is not under suspicion yet").await;
        expect_eq("its interruptions", leased.interrupted, interrupted);
        bench.expire();
    }
    event.id
}

/// Leases the suspect, which must be there.
async fn lease_alone(bench: &Bench, what: &str) -> Leased {
    let leased = bench.lease_suspect().await;
    leased.unwrap_or_else(|| panic!("{what}\n  expected: an event to run alone\n  seen:     None"))
}

pub(super) async fn a_restart_ends_leases_at_once(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let first = bench.lease_only("after accept").await;
    bench.accept(&bench.acme, sample::ticket(2)).await;
    let bench = bench.restart().await;
    let again = bench.lease(MANY).await;
    expect("both events are due at once after a restart", again.len() == 2, names(&again));
    for leased in again {
        let was_leased = leased.event.id == first.event.id;
        let counters = (leased.failed, leased.interrupted);
        expect_eq("failures and interruptions after a restart", counters, (0, u32::from(was_leased)));
    }
}

/// Whoever else knows of the lease may settle it: a message carries it from one process to the next.
pub(super) async fn a_lease_outlives_its_process(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    let bench = bench.restart().await;
    bench.expect_nothing_due("after a restart, within the time of the lease").await;
    bench.complete(&leased.lease).await;
    bench.expire();
    bench.expect_nothing_due("after the lease was settled").await;
}

pub(super) async fn a_lease_of_a_dead_process_settles_nothing(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let lost = bench.lease_only("after accept").await.lease;
    let bench = bench.die().await;
    let late = bench.queue.complete(&lost).await;
    expect_kind("complete under a lease of a dead process", late, ErrorKind::LeaseLost);
    let live = bench.lease_only("after the restart").await.lease;
    let now = bench.now();
    let late = bench.queue.retry(&lost, now, "late").await;
    expect_kind("retry under a lease of a dead process", late, ErrorKind::LeaseLost);
    bench.complete(&live).await;
}

pub(super) async fn failures_and_interruptions_are_counted_apart(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let mut leased = bench.lease_only("after accept").await;
    let now = bench.now();
    expect_ok("retry", bench.queue.retry(&leased.lease, now, "it failed").await);
    bench.lease_only("after the first failure").await;
    bench.expire();
    leased = bench.lease_only("after one failure and one interruption").await;
    expect_eq("failures and interruptions", (leased.failed, leased.interrupted), (1, 1));
    let now = bench.now();
    expect_ok("retry", bench.queue.retry(&leased.lease, now, "it failed").await);
    leased = bench.lease_only("after the second failure").await;
    expect_eq("failures and interruptions", (leased.failed, leased.interrupted), (2, 1));
}

pub(super) async fn interrupted_often_is_leased_alone_only(bench: Bench) {
    let id = suspect(&bench).await;
    bench.expect_nothing_due("for an event under suspicion").await;
    let alone = lease_alone(&bench, "after the event was interrupted often").await;
    expect_eq("the event", &alone.event.id, &id);
    expect_eq("failures and interruptions", (alone.failed, alone.interrupted), (0, JOB_INTERRUPTIONS_BEFORE_ALONE));
    bench.expect_no_suspect("while the only one is leased").await;
    bench.expect_nothing_due("while the only one is leased alone").await;
}

pub(super) async fn interrupted_often_by_restarts_is_leased_alone_only(mut bench: Bench) {
    let event = bench.accept(&bench.acme, sample::ticket(1)).await;
    for _ in 0..JOB_INTERRUPTIONS_BEFORE_ALONE {
        bench.lease_only("an event that is not under suspicion yet").await;
        bench = bench.die().await;
    }
    bench.expect_nothing_due("for an event under suspicion").await;
    let alone = lease_alone(&bench, "after the event was interrupted often by restarts").await;
    expect_eq("the event", &alone.event.id, &event.id);
    expect_eq("its interruptions", alone.interrupted, JOB_INTERRUPTIONS_BEFORE_ALONE);
}

pub(super) async fn others_keep_flowing(bench: Bench) {
    suspect(&bench).await;
    for n in 2..6 {
        let event = bench.accept(&bench.acme, sample::ticket(n)).await;
        let leased = bench.lease_only("a healthy event beside one under suspicion").await;
        expect_eq("the event", &leased.event.id, &event.id);
        bench.complete(&leased.lease).await;
    }
    lease_alone(&bench, "after others flowed by").await;
    let event = bench.accept(&bench.acme, sample::ticket(6)).await;
    let leased = bench.lease_only("a healthy event while a suspect is leased").await;
    expect_eq("the event", &leased.event.id, &event.id);
}

pub(super) async fn what_is_healthy_is_not_leased_alone(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    bench.expect_no_suspect("with a new event").await;
    for _ in 1..JOB_INTERRUPTIONS_BEFORE_ALONE {
        bench.lease_only("an event that is not under suspicion yet").await;
        bench.expire();
        bench.expect_no_suspect("with an event that was interrupted, but not often").await;
    }
    bench.lease_only("an event that is not under suspicion yet").await;
}

pub(super) async fn a_suspect_counts_as_waiting(bench: Bench) {
    suspect(&bench).await;
    bench.expect_nothing_due("for an event under suspicion").await;
    let depth = expect_ok("depth", bench.queue.depth().await);
    expect_eq("waiting, leased and dead", (depth.waiting, depth.leased, depth.dead), (1, 0, 0));
    lease_alone(&bench, "after the event was interrupted often").await;
    let depth = expect_ok("depth", bench.queue.depth().await);
    expect_eq("waiting, leased and dead while it runs alone", (depth.waiting, depth.leased, depth.dead), (0, 1, 0));
}

pub(super) async fn a_suspect_is_told_while_it_waits(bench: Bench) {
    expect_eq("suspects of an empty queue", expect_ok("has_suspects", bench.queue.has_suspects().await), false);
    suspect(&bench).await;
    expect("the suspect is not leased with the others", bench.lease(MANY).await.is_empty(), "a lease");
    expect_eq("suspects", expect_ok("has_suspects", bench.queue.has_suspects().await), true);
    lease_alone(&bench, "the suspect").await;
    expect_eq("suspects while it is leased", expect_ok("has_suspects", bench.queue.has_suspects().await), false);
}

pub(super) async fn a_suspect_may_succeed(bench: Bench) {
    suspect(&bench).await;
    let alone = lease_alone(&bench, "after the event was interrupted often").await;
    bench.complete(&alone.lease).await;
    bench.expire();
    bench.expect_no_suspect("after the suspect was completed").await;
    bench.expect_nothing_due("after the suspect was completed").await;
    let dead = bench.dead(&bench.acme).await;
    expect("no dead letters after the suspect was completed", dead.is_empty(), &dead);
}

pub(super) async fn a_released_suspect_stays_one(bench: Bench) {
    suspect(&bench).await;
    let alone = lease_alone(&bench, "after the event was interrupted often").await;
    expect_ok("release", bench.queue.release(&[alone.lease]).await);
    bench.expect_nothing_due("after a suspect was released").await;
    let again = lease_alone(&bench, "after the suspect was released").await;
    expect_eq("its interruptions", again.interrupted, JOB_INTERRUPTIONS_BEFORE_ALONE);
}

pub(super) async fn a_suspect_that_failed_is_due_at_its_time(bench: Bench) {
    suspect(&bench).await;
    let alone = lease_alone(&bench, "after the event was interrupted often").await;
    let at = bench.now().plus(DELAY);
    expect_ok("retry", bench.queue.retry(&alone.lease, at, "it failed").await);
    bench.expect_no_suspect("before the retry's time").await;
    bench.clock.advance(DELAY);
    bench.expect_nothing_due("at the retry's time of a suspect").await;
    let again = lease_alone(&bench, "at the retry's time").await;
    let counters = (again.failed, again.interrupted);
    expect_eq("failures and interruptions", counters, (1, JOB_INTERRUPTIONS_BEFORE_ALONE));
}

pub(super) async fn a_suspect_that_goes_on_dying_is_buried(mut bench: Bench) {
    let id = suspect(&bench).await;
    for death in 0..JOB_INTERRUPTIONS_ALONE {
        let alone = lease_alone(&bench, &format!("after {death} deaths while it ran alone")).await;
        let deaths = JOB_INTERRUPTIONS_BEFORE_ALONE + death;
        expect_eq("its interruptions", alone.interrupted, deaths);
        if death.is_multiple_of(2) {
            bench.expire();
        } else {
            bench = bench.die().await;
        }
    }
    bench.expect_no_suspect("after the last death while it ran alone").await;
    bench.expect_nothing_due("after the last death while it ran alone").await;
    let dead = bench.dead(&bench.acme).await;
    expect("one dead letter", dead.len() == 1, &dead);
    expect_eq("the dead letter", &dead[0].event.id, &id);
    let counters = (dead[0].failed, dead[0].interrupted);
    expect_eq("its counters", counters, (0, JOB_INTERRUPTIONS_BEFORE_ALONE + JOB_INTERRUPTIONS_ALONE));
    expect("its reason is told", !dead[0].reason.trim().is_empty(), &dead[0].reason);
    let depth = expect_ok("depth", bench.queue.depth().await);
    expect_eq("waiting, leased and dead", (depth.waiting, depth.leased, depth.dead), (0, 0, 1));
}
