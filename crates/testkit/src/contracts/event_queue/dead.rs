use std::time::Duration;

use switchboard_core::{
    ids::EventId,
    limits::{JOB_INTERRUPTIONS_ALONE, JOB_INTERRUPTIONS_BEFORE_ALONE},
    ports::{QueueDepth, TenantScope},
};

use crate::{
    contracts::{
        bench::{Bench, MOMENT, tickets},
        expect::{expect, expect_eq, expect_ok, expect_same_event},
    },
    sample,
};

const REASON: &str = "the desk said 'no': \"403\" ✗\nsecond line";

/// Accepts ticket `n` and buries its event; nothing else may be due.
async fn buried(bench: &Bench, n: u32) -> EventId {
    bench.accept(&bench.acme, sample::ticket(n)).await;
    let leased = bench.lease_only("after accept").await;
    expect_ok("bury", bench.queue.bury(&leased.lease, REASON).await);
    leased.event.id
}

async fn dead_ids(bench: &Bench, scope: &TenantScope, limit: u32) -> Vec<EventId> {
    let dead = expect_ok("dead_letters", bench.queue.dead_letters(scope, limit).await);
    dead.into_iter().map(|letter| letter.event.id).collect()
}

async fn revive(bench: &Bench, scope: &TenantScope, id: &EventId) -> bool {
    expect_ok("revive", bench.queue.revive(scope, id).await)
}

async fn discard(bench: &Bench, scope: &TenantScope, id: &EventId) -> bool {
    expect_ok("discard", bench.queue.discard(scope, id).await)
}

/// The failure that a burial ends with counts: a letter of a first try that was refused has failed once.
pub(super) async fn a_buried_event_tells_why_and_is_not_due(bench: Bench) {
    let event = bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    let now = bench.now();
    expect_ok("retry", bench.queue.retry(&leased.lease, now, "it failed").await);
    bench.lease_only("after a retry").await;
    bench.expire();
    let leased = bench.lease_only("after a failure and an interruption").await;
    expect_ok("bury", bench.queue.bury(&leased.lease, REASON).await);
    let at = bench.now();
    bench.expire();
    bench.expect_nothing_due("after bury").await;
    bench.expect_no_suspect("after bury").await;
    let bench = bench.restart().await;
    bench.expect_nothing_due("after bury and a restart").await;
    let dead = bench.dead(&bench.acme).await;
    expect("one dead letter", dead.len() == 1, &dead);
    expect_same_event("the dead letter", &dead[0].event, &event);
    expect_eq("its reason", dead[0].reason.as_str(), REASON);
    expect_eq("its failures, this last one too, and interruptions", (dead[0].failed, dead[0].interrupted), (2, 1));
    expect_eq("when it came there", dead[0].at, at);
}

pub(super) async fn newest_first_and_the_limit_is_kept(bench: Bench) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.insert(0, buried(&bench, n).await);
        bench.clock.advance(MOMENT);
    }
    expect_eq("all dead letters, newest first", dead_ids(&bench, &bench.acme, 100).await, ids.clone());
    expect_eq("the newest two", dead_ids(&bench, &bench.acme, 2).await, ids[..2].to_vec());
}

pub(super) async fn a_revived_event_is_due_with_fresh_counters(bench: Bench) {
    let id = buried(&bench, 1).await;
    expect_eq("revive", revive(&bench, &bench.acme, &id).await, true);
    expect_eq("dead letters after revive", dead_ids(&bench, &bench.acme, 100).await, Vec::new());
    expect_eq("a second revive", revive(&bench, &bench.acme, &id).await, false);
    expect_eq("discard of what is not dead", discard(&bench, &bench.acme, &id).await, false);
    let bench = bench.restart().await;
    let leased = bench.lease_only("after revive").await;
    expect_eq("the event", &leased.event.id, &id);
    expect_eq("failures and interruptions after revive", (leased.failed, leased.interrupted), (0, 0));
}

pub(super) async fn a_suspect_is_revived_into_the_common_queue(bench: Bench) {
    let event = bench.accept(&bench.acme, sample::ticket(1)).await;
    for _ in 0..JOB_INTERRUPTIONS_BEFORE_ALONE {
        bench.lease_only("an event that is not under suspicion yet").await;
        bench.expire();
    }
    for _ in 0..JOB_INTERRUPTIONS_ALONE {
        let alone = bench.lease_suspect().await;
        expect("the suspect is leased alone", alone.is_some(), &alone);
        bench.expire();
    }
    bench.expect_no_suspect("after the last death").await;
    expect_eq("revive", revive(&bench, &bench.acme, &event.id).await, true);
    bench.expect_no_suspect("after revive").await;
    let leased = bench.lease_only("after revive").await;
    expect_eq("failures and interruptions after revive", (leased.failed, leased.interrupted), (0, 0));
}

pub(super) async fn a_discarded_event_is_gone(bench: Bench) {
    let (gone, kept) = (buried(&bench, 1).await, buried(&bench, 2).await);
    expect_eq("discard", discard(&bench, &bench.acme, &gone).await, true);
    expect_eq("a second discard", discard(&bench, &bench.acme, &gone).await, false);
    expect_eq("revive of what was discarded", revive(&bench, &bench.acme, &gone).await, false);
    let bench = bench.restart().await;
    expect_eq("dead letters after discard", dead_ids(&bench, &bench.acme, 100).await, vec![kept]);
    bench.expire();
    bench.expect_nothing_due("after discard").await;
    bench.file(&bench.acme, &sample::ticket(1).id).await;
}

pub(super) async fn a_foreign_tenant_sees_and_touches_nothing(bench: Bench) {
    let id = buried(&bench, 1).await;
    expect_eq("globex's dead letters", dead_ids(&bench, &bench.globex, 100).await, Vec::new());
    expect_eq("revive by another tenant", revive(&bench, &bench.globex, &id).await, false);
    expect_eq("discard by another tenant", discard(&bench, &bench.globex, &id).await, false);
    bench.expect_nothing_due("after another tenant's revive").await;
    expect_eq("acme's dead letters", dead_ids(&bench, &bench.acme, 100).await, vec![id]);
}

pub(super) async fn the_depth_tells_what_waits(bench: Bench) {
    expect_eq("the depth of an empty queue", depth(&bench).await, QueueDepth::default());
    let mut fresh = tickets(0..4);
    fresh.iter_mut().for_each(|ticket| ticket.accepted_at = bench.now());
    let last = fresh.split_off(2);
    bench.accept_all(&bench.acme, fresh).await;
    bench.accept_all(&bench.globex, last).await;
    bench.clock.advance(5 * MOMENT);
    let seen = depth(&bench).await;
    expect_eq("four wait for 5 s", seen, QueueDepth { waiting: 4, leased: 0, oldest_ms: 5_000, dead: 0 });
    let leased = bench.lease(4).await;
    let seen = depth(&bench).await;
    expect_eq("four are leased", seen, QueueDepth { waiting: 0, leased: 4, oldest_ms: 0, dead: 0 });
    let at = bench.now().plus(10 * MOMENT);
    expect_ok("retry", bench.queue.retry(&leased[0].lease, at, "it failed").await);
    expect_ok("bury", bench.queue.bury(&leased[1].lease, REASON).await);
    bench.complete(&leased[2].lease).await;
    let expected = QueueDepth { waiting: 1, leased: 1, oldest_ms: 0, dead: 1 };
    expect_eq("one waits for its retry, one is leased, one dead", depth(&bench).await, expected);
    bench.clock.advance(10 * MOMENT + Duration::from_millis(250));
    let expected = QueueDepth { oldest_ms: 250, ..expected };
    expect_eq("the retry is due for 250 ms", depth(&bench).await, expected);
}

async fn depth(bench: &Bench) -> QueueDepth {
    expect_ok("depth", bench.queue.depth().await)
}
