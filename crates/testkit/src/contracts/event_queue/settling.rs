use std::{future::Future, time::Duration};

use switchboard_core::{
    error::{Error, ErrorKind},
    limits,
    ports::{Lease, QueueDepth},
};

use crate::{
    contracts::{
        bench::{Bench, MOMENT, tickets},
        expect::{expect, expect_eq, expect_kind, expect_ok},
    },
    sample,
};

const DELAY: Duration = Duration::from_secs(10);
/// More than any worker would try.
const MANY_FAILURES: u32 = 10;

pub(super) async fn completed_is_completed(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    bench.complete(&leased.lease).await;
    bench.expire();
    bench.expect_nothing_due("after complete").await;
    expect_eq("the depth after complete", expect_ok("depth", bench.queue.depth().await), QueueDepth::default());
    let bench = bench.restart().await;
    bench.expect_nothing_due("after complete and a restart").await;
    bench.expect_no_suspect("after complete and a restart").await;
}

pub(super) async fn an_expired_lease_completes_nothing(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    bench.expire();
    let late = bench.queue.complete(&leased.lease).await;
    expect_kind("complete under an expired lease that nobody else has yet", late, ErrorKind::LeaseLost);
    let again = bench.lease_only("after a refused completion").await;
    bench.complete(&again.lease).await;
}

/// Settles under a lost lease: that is refused and changes nothing for the one who has the event now.
async fn check_lost<F>(bench: &Bench, what: &str, settle: impl FnOnce(Lease) -> F)
where
    F: Future<Output = Result<(), Error>>,
{
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let (lost, live) = bench.lost_and_live().await;
    expect_kind(&format!("{what} under a lost lease"), settle(lost).await, ErrorKind::LeaseLost);
    expect_untouched(bench, what, &live).await;
}

async fn expect_untouched(bench: &Bench, what: &str, live: &Lease) {
    bench.clock.advance(DELAY);
    bench.expect_nothing_due(&format!("after {what} under a lost lease")).await;
    let dead = bench.dead(&bench.acme).await;
    expect(&format!("no dead letters after {what} under a lost lease"), dead.is_empty(), &dead);
    bench.complete(live).await;
    bench.expire();
    bench.expect_nothing_due("after the live lease was completed").await;
}

pub(super) async fn a_lost_lease_completes_nothing(bench: Bench) {
    let queue = bench.queue.clone();
    check_lost(&bench, "complete", async |lost| queue.complete(&lost).await).await;
}

pub(super) async fn a_lost_lease_retries_nothing(bench: Bench) {
    let (queue, now) = (bench.queue.clone(), bench.now());
    check_lost(&bench, "retry", async |lost| queue.retry(&lost, now, "late").await).await;
}

pub(super) async fn a_lost_lease_buries_nothing(bench: Bench) {
    let queue = bench.queue.clone();
    check_lost(&bench, "bury", async |lost| queue.bury(&lost, "late").await).await;
}

pub(super) async fn a_lost_lease_is_not_extended(bench: Bench) {
    let queue = bench.queue.clone();
    check_lost(&bench, "extend", async |lost| queue.extend(&lost, limits::LEASE_TIME).await).await;
}

/// Whether the call as a whole succeeds is left open: what is lost needs no release.
pub(super) async fn a_lost_lease_releases_nothing(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let (lost, live) = bench.lost_and_live().await;
    let _ = bench.queue.release(&[lost]).await;
    expect_untouched(&bench, "release", &live).await;
}

pub(super) async fn a_retry_is_due_at_its_time_and_counted(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let mut leased = bench.lease_only("after accept").await;
    for failed in 1..=MANY_FAILURES {
        let at = bench.now().plus(DELAY);
        expect_ok("retry", bench.queue.retry(&leased.lease, at, "it failed: \"quoted\" ✗").await);
        bench.expect_nothing_due("right after a retry").await;
        bench.clock.advance(DELAY - MOMENT);
        bench.expect_nothing_due("a moment before the retry's time").await;
        bench.clock.advance(MOMENT);
        leased = bench.lease_only("at the retry's time").await;
        expect_eq("failures and interruptions", (leased.failed, leased.interrupted), (failed, 0));
    }
}

pub(super) async fn a_retry_outlives_a_restart(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    let at = bench.now().plus(DELAY);
    expect_ok("retry", bench.queue.retry(&leased.lease, at, "it failed").await);
    let bench = bench.restart().await;
    bench.expect_nothing_due("after a restart, before the retry's time").await;
    bench.clock.advance(DELAY);
    let again = bench.lease_only("after a restart, at the retry's time").await;
    expect_eq("failures and interruptions", (again.failed, again.interrupted), (1, 0));
}

pub(super) async fn a_retry_in_the_past_is_due_at_once(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    let at = bench.now().minus(DELAY);
    expect_ok("retry", bench.queue.retry(&leased.lease, at, "it failed").await);
    let again = bench.lease_only("after a retry in the past").await;
    expect_eq("failures and interruptions", (again.failed, again.interrupted), (1, 0));
}

pub(super) async fn released_is_due_at_once_and_not_counted(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..3)).await;
    let leased = bench.lease(10).await;
    let back: Vec<_> = leased[..2].iter().map(|leased| leased.lease.clone()).collect();
    expect_ok("release", bench.queue.release(&back).await);
    expect_ok("release of nothing", bench.queue.release(&[]).await);
    let again = bench.lease(10).await;
    expect_eq("how many are due after two of three were released", again.len(), 2);
    for again in &again {
        expect_eq("failures and interruptions after release", (again.failed, again.interrupted), (0, 0));
        bench.complete(&again.lease).await;
    }
    bench.complete(&leased[2].lease).await;
}

pub(super) async fn deferred_is_due_at_its_time_and_not_counted(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    expect_ok("defer", bench.queue.defer(&leased.lease, bench.now().plus(DELAY), "something is away").await);
    bench.clock.advance(DELAY - MOMENT);
    bench.expect_nothing_due("a moment before its time").await;
    bench.clock.advance(MOMENT);
    let again = bench.lease_only("at its time").await;
    expect_eq("failures and interruptions", (again.failed, again.interrupted), (0, 0));
    let late = bench.queue.defer(&leased.lease, bench.now(), "late").await;
    expect_kind("defer under a lost lease", late, ErrorKind::LeaseLost);
}

pub(super) async fn a_jump_of_the_wall_clock_moves_no_retry(bench: Bench) {
    let day = Duration::from_secs(24 * 3600);
    for (n, jump) in [(1, bench.now().plus(day)), (2, bench.now().minus(day)), (3, bench.now().plus(1_000 * day))] {
        bench.accept(&bench.acme, sample::ticket(n)).await;
        let leased = bench.lease_only("after accept").await;
        expect_ok("retry", bench.queue.retry(&leased.lease, bench.now().plus(DELAY), "it failed").await);
        bench.clock.jump(jump);
        bench.clock.advance(DELAY - MOMENT);
        bench.expect_nothing_due("a moment before the retry's time, after the wall clock jumped").await;
        bench.clock.advance(MOMENT);
        let again = bench.lease_only("at the retry's time, after the wall clock jumped").await;
        bench.complete(&again.lease).await;
    }
}

pub(super) async fn no_retry_waits_for_a_clock_that_was_wrong(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    expect_ok("retry", bench.queue.retry(&leased.lease, bench.now().plus(DELAY), "it failed").await);
    bench.clock.jump(bench.now().minus(Duration::from_secs(365 * 24 * 3600)));
    let bench = bench.restart().await;
    bench.clock.advance(DELAY);
    bench.lease_only("after its wait, restarted with a clock a year behind").await;
}
