use switchboard_core::{
    event::Event,
    ports::{EventFilter, SyncChange},
};

use crate::{
    contracts::{
        bench::{Bench, MANY, everything, names, tickets},
        expect::{expect_eq, expect_ok, expect_same_events},
    },
    sample,
};

async fn archived(bench: &Bench, filter: &EventFilter) -> Vec<Event> {
    expect_ok("archived", bench.queue.archived(&bench.acme, filter).await)
}

fn of_type(detail_type: &str) -> EventFilter {
    EventFilter { detail_type: Some(detail_type.to_owned()), ..everything() }
}

async fn complete_all(bench: &Bench) {
    for leased in bench.lease(MANY).await {
        bench.complete(&leased.lease).await;
    }
}

/// Tickets `T-10`, `T-20` and `T-30` on their whole way; gives their events, oldest first.
async fn whole_ways(bench: &Bench) -> Vec<Event> {
    let mut events = Vec::new();
    for n in [10, 20, 30] {
        let ticket = sample::ticket(n);
        events.push(bench.accept(&bench.acme, ticket.clone()).await);
        let received = bench.lease_only("after accept").await;
        let decision = sample::decision(&ticket, bench.ids.as_ref());
        events.push(bench.decide(&bench.acme, &ticket, &decision, &received.lease).await);
        let routed = bench.lease_only("after decide").await;
        let change = SyncChange::Succeeded { receipt: "taken".to_owned() };
        let synced = expect_ok("record_sync", bench.record_sync(&ticket, &decision, change, &routed.lease).await);
        events.extend(synced);
    }
    events
}

pub(super) async fn every_event_is_archived_from_its_beginning(bench: Bench) {
    let events = bench.accept_all(&bench.acme, tickets(0..3)).await;
    expect_same_events("the archive with events that wait", &bench.archived(&bench.acme).await, &events);
    complete_all(&bench).await;
    expect_same_events("the archive with events that are done", &bench.archived(&bench.acme).await, &events);
    let bench = bench.restart().await;
    expect_same_events("the archive after a restart", &bench.archived(&bench.acme).await, &events);
}

pub(super) async fn each_filter_and_all_together(bench: Bench) {
    let all = whole_ways(&bench).await;
    expect_same_events("the archive, oldest first", &archived(&bench, &everything()).await, &all);
    let (since, until) = (Some(all[2].at), Some(all[6].at));
    let ticket = Some(sample::ticket(20).id);
    let detail_type = Some("TicketRouted".to_owned());
    let filters = [
        EventFilter { since, ..everything() },
        EventFilter { until, ..everything() },
        EventFilter { since, until, ..everything() },
        EventFilter { detail_type: detail_type.clone(), ..everything() },
        of_type("TicketSynced"),
        of_type("ticketsynced"),
        EventFilter { ticket: ticket.clone(), ..everything() },
        EventFilter { ticket: Some(sample::parsed("T-2")), ..everything() },
        EventFilter { since, until, detail_type, ticket, ..everything() },
    ];
    for filter in filters {
        let expected: Vec<_> = all.iter().filter(|event| fits(&filter, event)).cloned().collect();
        let seen = archived(&bench, &filter).await;
        expect_same_events(&format!("the archive with {filter:?}"), &seen, &expected);
    }
}

fn fits(filter: &EventFilter, event: &Event) -> bool {
    filter.since.is_none_or(|since| event.at >= since)
        && filter.until.is_none_or(|until| event.at < until)
        && filter.detail_type.as_ref().is_none_or(|name| event.detail.detail_type() == name)
        && filter.ticket.as_ref().is_none_or(|ticket| event.detail.ticket_id() == ticket)
}

pub(super) async fn the_limit_is_kept(bench: Bench) {
    let all = whole_ways(&bench).await;
    for limit in [1_u32, 4, 9, 10] {
        let seen = archived(&bench, &EventFilter { limit, ..EventFilter::default() }).await;
        let expected: Vec<_> = all.iter().take(limit as usize).cloned().collect();
        expect_same_events(&format!("the oldest {limit} of the archive"), &seen, &expected);
    }
    let seen = archived(&bench, &EventFilter { limit: 2, ..of_type("TicketSynced") }).await;
    expect_same_events("the oldest two TicketSynced", &seen, &[all[2].clone(), all[5].clone()]);
}

pub(super) async fn a_foreign_tenant_sees_and_replays_nothing(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..3)).await;
    let theirs = bench.accept_all(&bench.globex, tickets(3..4)).await;
    complete_all(&bench).await;
    expect_same_events("globex's archive", &bench.archived(&bench.globex).await, &theirs);
    expect_eq("replayed by globex", bench.replay(&bench.globex, &everything()).await, 1);
    let leased = bench.lease_only("after globex's replay").await;
    expect_eq("the event that globex replayed", &leased.event.id, &theirs[0].id);
}

pub(super) async fn replay_queues_what_is_done(bench: Bench) {
    let events = bench.accept_all(&bench.acme, tickets(0..3)).await;
    let leased = bench.lease(MANY).await;
    let now = bench.now();
    expect_ok("retry", bench.queue.retry(&leased[0].lease, now, "it failed").await);
    bench.complete(&leased[1].lease).await;
    bench.complete(&leased[2].lease).await;
    complete_all(&bench).await;
    expect_eq("replayed", bench.replay(&bench.acme, &everything()).await, 3);
    let bench = bench.restart().await;
    let mut again = bench.lease(MANY).await;
    expect_eq("how many are due after replay", names(&again).len(), 3);
    for leased in &again {
        expect_eq("failures and interruptions after replay", (leased.failed, leased.interrupted), (0, 0));
    }
    again.sort_by(|one, other| one.event.id.cmp(&other.event.id));
    let again: Vec<_> = again.into_iter().map(|leased| leased.event).collect();
    expect_same_events("the events replayed", &again, &events);
    expect_same_events("the archive after replay", &bench.archived(&bench.acme).await, &events);
}

pub(super) async fn replay_leaves_what_is_queued_or_dead(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..5)).await;
    let leased = bench.lease(4).await;
    expect_ok("bury", bench.queue.bury(&leased[0].lease, "it failed").await);
    let at = bench.now().plus(std::time::Duration::from_secs(5));
    expect_ok("retry", bench.queue.retry(&leased[1].lease, at, "it failed").await);
    bench.complete(&leased[2].lease).await;
    let replayed = bench.replay(&bench.acme, &everything()).await;
    expect_eq("replayed of one dead, one to be retried, one done, one leased, one waiting", replayed, 1);
    expect_eq("replayed again", bench.replay(&bench.acme, &everything()).await, 0);
    let mut due = bench.lease(MANY).await;
    expect_eq("how many are due: the replayed one and the waiting one", names(&due).len(), 2);
    bench.complete(&leased[3].lease).await;
    bench.clock.advance(std::time::Duration::from_secs(5));
    let retried = bench.lease_only("at the retry's time").await;
    expect_eq("the failures of the one to be retried, which replay left alone", retried.failed, 1);
    due.push(retried);
    expect_eq("dead letters after replay", bench.dead(&bench.acme).await.len(), 1);
    for leased in due {
        bench.complete(&leased.lease).await;
    }
}

pub(super) async fn replay_keeps_to_its_filter(bench: Bench) {
    let all = whole_ways(&bench).await;
    let filter = EventFilter { since: Some(all[3].at), ..of_type("TicketRouted") };
    expect_eq("replayed", bench.replay(&bench.acme, &filter).await, 2);
    let mut due: Vec<_> = bench.lease(MANY).await.into_iter().map(|leased| leased.event).collect();
    due.sort_by(|one, other| one.id.cmp(&other.id));
    expect_same_events("the events replayed", &due, &[all[4].clone(), all[7].clone()]);
}
