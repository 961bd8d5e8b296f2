use switchboard_core::{
    limits,
    ports::{Backlog, Lane, Leased},
};

use crate::{
    contracts::{
        bench::{Bench, MANY, names, tickets},
        expect::{expect, expect_eq, expect_ok},
    },
    sample,
};

fn of(leased: &[Leased], bench: &Bench) -> (usize, usize) {
    let acme = leased.iter().filter(|leased| leased.event.tenant == *bench.acme.tenant()).count();
    (acme, leased.len() - acme)
}

async fn accept_in(bench: &Bench, n: std::ops::Range<u32>, lane: Lane) {
    let new = tickets(n).into_iter().map(|ticket| {
        let mut new = bench.new_ticket(&bench.acme, ticket);
        new.lane = lane;
        new
    });
    bench.offer(&bench.acme, new.collect()).await;
}

pub(super) async fn a_single_ticket_overtakes_an_import(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..400)).await;
    bench.accept(&bench.globex, sample::ticket(1)).await;
    let leased = bench.lease(20).await;
    expect_eq("leased of the import and of the other tenant", of(&leased, &bench), (19, 1));
}

pub(super) async fn tenants_take_turns(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..100)).await;
    bench.accept_all(&bench.globex, tickets(0..100)).await;
    expect_eq("of each, with an even number", of(&bench.lease(20).await, &bench), (10, 10));
    let mut single = Vec::new();
    for _ in 0..4 {
        let leased = bench.lease(1).await;
        expect_eq("one at a time", leased.len(), 1);
        single.push(leased[0].event.tenant.clone());
    }
    expect("they alternate", single.windows(2).all(|pair| pair[0] != pair[1]), &single);
}

pub(super) async fn a_tenant_that_holds_much_leaves_hands_for_others(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..400)).await;
    let held = bench.lease(limits::JOBS_IN_HAND).await.len();
    let free = limits::JOBS_IN_HAND - held;
    expect_eq("held by a tenant alone: half", held, limits::JOBS_IN_HAND / 2);
    expect_eq("more for it while it holds that much", bench.lease(free).await.len(), 0);
    bench.accept_all(&bench.globex, tickets(0..free.try_into().unwrap_or(u32::MAX))).await;
    let (acme, globex) = of(&bench.lease(free).await, &bench);
    expect_eq("more for it", acme, 0);
    expect("another finds hands", globex >= free / 2, globex);
}

pub(super) async fn urgent_comes_first_and_bulk_last(bench: Bench) {
    accept_in(&bench, 0..3, Lane::Bulk).await;
    accept_in(&bench, 3..6, Lane::Ordinary).await;
    accept_in(&bench, 6..9, Lane::Urgent).await;
    let mut order = Vec::new();
    for _ in 0..3 {
        let leased = bench.lease(3).await;
        let mut ids: Vec<_> = leased.iter().map(|one| one.event.detail.ticket_id().to_string()).collect();
        ids.sort();
        order.push(ids);
        for leased in leased {
            bench.complete(&leased.lease).await;
        }
    }
    let expected =
        [6..9, 3..6, 0..3].map(|range| tickets(range).iter().map(|ticket| ticket.id.to_string()).collect::<Vec<_>>());
    expect_eq("the order", order, expected.to_vec());
}

pub(super) async fn bulk_does_not_wait_for_ever(bench: Bench) {
    accept_in(&bench, 0..1, Lane::Bulk).await;
    accept_in(&bench, 1..100, Lane::Urgent).await;
    let bulk = sample::ticket(0).id;
    let mut turns = 0;
    loop {
        turns += 1;
        expect("the bulk ticket comes although urgent ones wait", turns <= limits::LANES_TURN, turns);
        let leased = bench.lease(1).await;
        if leased.iter().any(|leased| *leased.event.detail.ticket_id() == bulk) {
            return;
        }
        for leased in leased {
            bench.complete(&leased.lease).await;
        }
    }
}

pub(super) async fn the_backlog_counts_what_is_not_done(bench: Bench) {
    let backlog = async |bench: &Bench| expect_ok("backlog", bench.queue.backlog(&bench.acme).await);
    expect_eq("with nothing queued", backlog(&bench).await, Backlog { tenant: 0, all: 0 });
    bench.accept_all(&bench.acme, tickets(0..3)).await;
    bench.accept_all(&bench.globex, tickets(0..2)).await;
    expect_eq("with tickets of two tenants", backlog(&bench).await, Backlog { tenant: 3, all: 5 });
    let leased = bench.lease(MANY).await;
    expect_eq("leased", leased.len(), 5);
    expect_eq("while they are in hand", backlog(&bench).await, Backlog { tenant: 3, all: 5 });
    let mine: Vec<_> = leased.iter().filter(|leased| leased.event.tenant == *bench.acme.tenant()).collect();
    bench.complete(&mine[0].lease).await;
    expect_ok("bury", bench.queue.bury(&mine[1].lease, "no").await);
    expect_ok("retry", bench.queue.retry(&mine[2].lease, bench.now(), "no").await);
    expect_eq("one done, one dead, one to retry", backlog(&bench).await, Backlog { tenant: 1, all: 3 });
    expect_ok("revive", bench.queue.revive(&bench.acme, &mine[1].event.id).await);
    let bench = bench.die().await;
    expect_eq("one revived, after a restart", backlog(&bench).await, Backlog { tenant: 2, all: 4 });
    let left = bench.lease(MANY).await;
    expect("four are due", left.len() == 4, names(&left));
}
