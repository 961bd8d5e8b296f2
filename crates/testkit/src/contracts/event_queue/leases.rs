use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use switchboard_core::{
    error::ErrorKind,
    event::Event,
    ids::EventId,
    limits,
    ports::{Ids, Leased},
};

use crate::{
    contracts::{
        bench::{Bench, MANY, MOMENT, names, tickets},
        expect::{expect, expect_eq, expect_kind, expect_ok, expect_same_events},
    },
    sample,
};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn sorted(leased: Vec<Leased>) -> Vec<Event> {
    let mut events: Vec<_> = leased.into_iter().map(|leased| leased.event).collect();
    events.sort_by(|one, other| one.id.cmp(&other.id));
    events
}

pub(super) async fn each_event_is_leased_once(bench: Bench) {
    let events = bench.accept_all(&bench.acme, tickets(0..5)).await;
    let leased = bench.lease(10).await;
    for leased in &leased {
        expect_eq("the event that a lease names", &leased.lease.event, &leased.event.id);
        expect_eq("failures and interruptions of a new event", (leased.failed, leased.interrupted), (0, 0));
    }
    expect_same_events("the events leased", &sorted(leased), &events);
    bench.expect_nothing_due("after all were leased").await;
    bench.expect_no_suspect("after all were leased").await;
}

pub(super) async fn max_is_kept(bench: Bench) {
    let events = bench.accept_all(&bench.acme, tickets(0..5)).await;
    expect_eq("leased with max 0", bench.lease(0).await.len(), 0);
    let mut all = Vec::new();
    for (max, expected) in [(2, 2), (1, 1), (3, 2), (3, 0)] {
        let leased = bench.lease(max).await;
        expect_eq(&format!("leased with max {max}"), leased.len(), expected);
        all.extend(leased);
    }
    expect_same_events("the events leased", &sorted(all), &events);
}

/// An effect that is on its way must not be overtaken by the one that is to follow it.
pub(super) async fn events_of_one_ticket_are_leased_one_at_a_time(bench: Bench) {
    let (ticket, other) = (sample::ticket(1), sample::ticket(2));
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    let ids = bench.ids.as_ref();
    let first = bench.record_review(sample::review(&bench.acme, &ticket, &decision, ids)).await;
    let mut second = first.clone();
    second.review_id = switchboard_core::ids::DecisionId::from_ulid(ids.ulid(second.at));
    bench.record_review(sample::review_again(&bench.acme, &ticket, second, Some(&first), true, ids)).await;
    let received = bench.accept(&bench.acme, other).await;
    let theirs = bench.accept(&bench.globex, ticket.clone()).await;
    let leased = sorted(bench.lease(10).await);
    expect_same_events("leased beside the ticket's first event: those of other tickets", &leased, &[received, theirs]);
    let at = bench.now().plus(DAY);
    expect_ok("retry", bench.queue.retry(&routed.lease, at, "it failed").await);
    for what in ["while the first one waits for its retry", "after the second one"] {
        let next = bench.lease_only(what).await;
        expect_eq("the event", next.event.detail.detail_type(), "TicketReviewed");
        bench.expect_nothing_due("while an event of the ticket is in hand").await;
        bench.complete(&next.lease).await;
    }
}

pub(super) async fn events_of_all_tenants_are_leased(bench: Bench) {
    let mut events = bench.accept_all(&bench.acme, tickets(0..2)).await;
    events.extend(bench.accept_all(&bench.globex, tickets(2..4)).await);
    expect_same_events("the events leased", &sorted(bench.lease(10).await), &events);
}

/// Whoever had an event before has a smaller token than who has it now, also over a restart.
pub(super) async fn the_tokens_of_an_event_grow(mut bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let mut tokens = Vec::new();
    for what in ["after accept", "after a release", "after the lease ended"] {
        let leased = bench.lease_only(what).await;
        tokens.push(leased.lease.token);
        match tokens.len() {
            1 => expect_ok("release", bench.queue.release(&[leased.lease]).await),
            _ => bench.expire(),
        }
    }
    bench = bench.die().await;
    tokens.extend(bench.lease_suspect().await.into_iter().chain(bench.lease(1).await).map(|leased| leased.lease.token));
    expect_eq("how many leases there were", tokens.len(), 4);
    expect("the tokens of an event grow, also over a restart", tokens.is_sorted_by(|one, other| one < other), &tokens);
}

/// Events leased in one call may share a token; a later call has a larger one, also after a restart.
pub(super) async fn tokens_grow(mut bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..3)).await;
    let mut tokens = Vec::new();
    for max in [1, 2] {
        tokens.push(leased_tokens(&bench, max).await);
    }
    bench.expire();
    tokens.push(leased_tokens(&bench, 10).await);
    bench = bench.restart().await;
    tokens.push(leased_tokens(&bench, 10).await);
    expect_eq("how many were leased in each call", tokens.iter().map(Vec::len).collect(), vec![1, 2, 3, 3]);
    let grow = tokens.windows(2).all(|pair| pair[0].iter().max() < pair[1].iter().min());
    expect("tokens grow from call to call, also over a restart", grow, &tokens);
}

async fn leased_tokens(bench: &Bench, max: usize) -> Vec<u64> {
    bench.lease(max).await.iter().map(|leased| leased.lease.token).collect()
}

pub(super) async fn an_expired_lease_comes_again_as_interrupted(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    bench.lease_only("after accept").await;
    for interrupted in 1..limits::JOB_INTERRUPTIONS_BEFORE_ALONE {
        bench.clock.advance(limits::LEASE_TIME - MOMENT);
        bench.expect_nothing_due("a moment before the lease ends").await;
        bench.clock.advance(2 * MOMENT);
        let again = bench.lease_only("a moment after the lease ended").await;
        expect_eq("failures and interruptions", (again.failed, again.interrupted), (0, interrupted));
    }
}

pub(super) async fn a_lease_holds_for_the_time_asked_for(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..2)).await;
    let (short, long) = (Duration::from_secs(5), Duration::from_secs(600));
    let first = expect_ok("lease", bench.queue.lease(1, short).await);
    let second = expect_ok("lease", bench.queue.lease(1, long).await);
    bench.clock.advance(short + MOMENT);
    let again = bench.lease_only("after the short lease ended").await;
    expect_eq("the event whose lease was short", &again.event.id, &first[0].event.id);
    bench.complete(&again.lease).await;
    bench.clock.advance(long - short - 2 * MOMENT);
    bench.expect_nothing_due("a moment before the long lease ends").await;
    bench.complete(&second[0].lease).await;
}

pub(super) async fn extend_prolongs(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    bench.clock.advance(limits::LEASE_TIME - MOMENT);
    expect_ok("extend", bench.queue.extend(&leased.lease, limits::LEASE_TIME).await);
    bench.clock.advance(limits::LEASE_TIME - MOMENT);
    bench.expect_nothing_due("a moment before the prolonged lease ends").await;
    bench.clock.advance(2 * MOMENT);
    let again = bench.lease_only("a moment after the prolonged lease ended").await;
    expect_eq("failures and interruptions", (again.failed, again.interrupted), (0, 1));
    let late = bench.queue.complete(&leased.lease).await;
    expect_kind("complete under the lease that was prolonged and ended", late, ErrorKind::LeaseLost);
}

pub(super) async fn a_jump_of_the_wall_clock_ends_no_lease(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    let now = bench.now();
    for jump in [now.plus(DAY), now.minus(DAY), now.plus(365 * DAY)] {
        bench.clock.jump(jump);
        bench.expect_nothing_due(&format!("when the wall clock jumps to {jump} within a lease")).await;
    }
    bench.complete(&leased.lease).await;
}

pub(super) async fn a_new_event_is_due_when_the_clock_went_back(bench: Bench) {
    let mut ticket = sample::ticket(1);
    ticket.accepted_at = bench.now();
    let event = bench.accept(&bench.acme, ticket).await;
    bench.clock.jump(bench.now().minus(DAY));
    let leased = bench.lease_only("after accept, with the wall clock set back by a day").await;
    expect_eq("the event", &leased.event.id, &event.id);
}

pub(super) async fn side_by_side_each_event_goes_to_one(bench: Bench) {
    let events = bench.accept_all(&bench.acme, tickets(0..200)).await;
    let mut workers = Vec::new();
    for _ in 0..4 {
        let queue = bench.queue.clone();
        workers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let leased = expect_ok("lease", queue.lease(7, limits::LEASE_TIME).await);
                if leased.is_empty() {
                    return mine;
                }
                for leased in leased {
                    expect_ok("complete", queue.complete(&leased.lease).await);
                    mine.push(leased.event.id);
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut times: BTreeMap<EventId, usize> = BTreeMap::new();
    for worker in workers {
        for id in worker.await.expect("a worker that does not panic") {
            *times.entry(id).or_default() += 1;
        }
    }
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    expect("no event is leased twice", wrong.is_empty(), &wrong);
    let expected: BTreeSet<_> = events.iter().map(|event| event.id.clone()).collect();
    let missing: Vec<_> = expected.iter().filter(|id| !times.contains_key(id)).collect();
    expect("every event is leased", missing.is_empty(), &missing);
    let left = bench.lease(MANY).await;
    expect("nothing is left", left.is_empty(), names(&left));
}
