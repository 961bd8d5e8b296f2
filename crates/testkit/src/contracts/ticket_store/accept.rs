use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use switchboard_core::{
    limits,
    ports::Accepted,
    tickets::{Attachment, SyncState, Ticket, TicketRecord},
    untrusted::Untrusted,
};

use crate::{
    contracts::{
        bench::{Bench, MANY, names, tickets},
        expect::{expect, expect_eq, expect_ok, expect_same_event, expect_same_events},
    },
    sample,
};

const NASTY: &str = "line\nline\r\n\ttab 'single' \"double\" `back` \\slash\\ %s {x} $1 <b>&amp;</b>; DROP TABLE tickets;-- \
                     \u{1}\u{1b}\u{7f} ünï 東京 🧑🏽\u{200d}🚒 \u{202e}rtl\u{202c} e\u{301} \u{feff} \u{10ffff}\u{fffd}";

/// A ticket as full and as nasty as the limits let it be.
fn nasty(n: u32) -> Ticket {
    let text = |text: String| Untrusted::new(text);
    let mut ticket = sample::ticket(n);
    ticket.id = sample::parsed("Zz.9_:@#/+=-");
    ticket.subject = text(format!("  {NASTY}  "));
    ticket.description = text("🚒é\n\"'\\".chars().cycle().take(limits::DESCRIPTION_CHARS).collect());
    ticket.attachments = (0..limits::ATTACHMENTS)
        .map(|n| Attachment {
            name: text(format!("{n} {NASTY}")),
            media_type: text("a/\"b\"".to_owned()),
            url: text(format!("https://files.example.com/{n}?a='b'&c=%20")),
        })
        .collect();
    let metadata: BTreeMap<_, _> =
        (0..limits::METADATA_ENTRIES).map(|n| (format!("{n}\"' é.$"), format!("{NASTY}{n}"))).collect();
    ticket.metadata = Untrusted::new(metadata);
    ticket.language = Some(sample::parsed("de-AT"));
    ticket.idempotency_key = Some(sample::parsed("Key.9_:@#/+=-"));
    ticket
}

fn bare(n: u32) -> Ticket {
    let mut ticket = sample::ticket(n);
    ticket.channel = None;
    ticket.language = None;
    ticket.attachments = Vec::new();
    ticket.metadata = Untrusted::default();
    ticket.timestamp = ticket.accepted_at;
    ticket
}

async fn stored(bench: &Bench, ticket: &Ticket) -> TicketRecord {
    bench.file(&bench.acme, &ticket.id).await.ticket.to_record()
}

async fn check_read_back(bench: Bench, ticket: Ticket) {
    let event = bench.accept(&bench.acme, ticket.clone()).await;
    expect_eq("the ticket as stored", stored(&bench, &ticket).await, ticket.to_record());
    expect_same_event("the event as queued", &bench.lease_only("after accept").await.event, &event);
    let bench = bench.die().await;
    expect_eq("the ticket after a restart", stored(&bench, &ticket).await, ticket.to_record());
    expect_same_event("the event after a restart", &bench.lease_only("after a restart").await.event, &event);
}

pub(super) async fn a_ticket_is_read_back_as_it_was(bench: Bench) {
    check_read_back(bench, nasty(1)).await;
}

pub(super) async fn a_ticket_with_nothing_optional_is_read_back_as_it_was(bench: Bench) {
    check_read_back(bench, bare(1)).await;
}

pub(super) async fn a_new_ticket_waits_for_its_decision(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("its decision", file.decision, None);
    expect_eq("its write-back", file.sync, SyncState::pending());
}

pub(super) async fn its_event_is_queued_once(bench: Bench) {
    let event = bench.accept(&bench.acme, sample::ticket(1)).await;
    let leased = bench.lease_only("after accept").await;
    expect_same_event("the event of a new ticket", &leased.event, &event);
    expect_eq("failures and interruptions of a new event", (leased.failed, leased.interrupted), (0, 0));
    bench.expect_nothing_due("after the one event was leased").await;
    bench.complete(&leased.lease).await;
    bench.expire();
    bench.expect_nothing_due("after the one event was completed").await;
}

pub(super) async fn a_thousand_tickets_in_one_call(bench: Bench) {
    let many = tickets(0..1_000);
    expect_eq("the largest batch", many.len(), limits::BATCH_TICKETS);
    let events = bench.accept_all(&bench.acme, many.clone()).await;
    let mut leased: Vec<_> = bench.lease(MANY).await.into_iter().map(|leased| leased.event).collect();
    leased.sort_by(|one, other| one.id.cmp(&other.id));
    expect_same_events("the events of a batch", &leased, &events);
    for ticket in many.iter().step_by(333) {
        expect_eq("a ticket of the batch", stored(&bench, ticket).await, ticket.to_record());
    }
}

pub(super) async fn no_tickets_in_one_call(bench: Bench) {
    let results = expect_ok("accept of nothing", bench.store.accept(&bench.acme, Vec::new()).await);
    expect_eq("results", results.len(), 0);
    bench.expect_nothing_due("after accept of nothing").await;
}

pub(super) async fn an_absent_ticket_is_none(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    for absent in ["T-2", "t-1", "T-", "T-1.", "T_1"] {
        let file = expect_ok("ticket", bench.store.ticket(&bench.acme, &sample::parsed(absent)).await);
        expect(&format!("ticket {absent} is absent"), file.is_none(), file.map(|file| file.ticket.to_record()));
    }
}

pub(super) async fn a_foreign_tenant_reads_nothing(bench: Bench) {
    let ticket = sample::ticket(1);
    bench.accept(&bench.acme, ticket.clone()).await;
    for foreign in [&bench.globex, &sample::scope("acm"), &sample::scope("acme2")] {
        let file = expect_ok("ticket", bench.store.ticket(foreign, &ticket.id).await);
        expect(&format!("{foreign:?} reads nothing of acme"), file.is_none(), file.map(|file| file.ticket.to_record()));
    }
}

pub(super) async fn the_same_ticket_id_in_two_tenants_is_two_tickets(bench: Bench) {
    let ours = sample::ticket(1);
    let mut theirs = sample::ticket(1);
    theirs.subject = Untrusted::new("another tenant's".to_owned());
    bench.accept(&bench.acme, ours.clone()).await;
    let ours_leased = bench.lease_only("acme's event").await;
    bench.accept(&bench.globex, theirs.clone()).await;
    let theirs_leased = bench.lease_only("globex's event").await;
    expect_eq("whose event it is", &theirs_leased.event.tenant, bench.globex.tenant());
    let decision = sample::decision(&ours, bench.ids.as_ref());
    bench.decide(&bench.acme, &ours, &decision, &ours_leased.lease).await;
    let (ours_now, theirs_now) = (bench.file(&bench.acme, &ours.id).await, bench.file(&bench.globex, &theirs.id).await);
    expect_eq("acme's ticket", ours_now.ticket.to_record(), ours.to_record());
    expect_eq("globex's ticket", theirs_now.ticket.to_record(), theirs.to_record());
    expect_eq("acme's decision", ours_now.decision, Some(decision));
    expect_eq("globex's decision after acme's was stored", theirs_now.decision, None);
}

pub(super) async fn everything_acknowledged_is_there_after_a_restart(bench: Bench) {
    let many = tickets(0..20);
    for ticket in &many {
        bench.accept(&bench.acme, ticket.clone()).await;
    }
    let bench = bench.restart().await;
    for ticket in &many {
        expect_eq("a ticket after a restart", stored(&bench, ticket).await, ticket.to_record());
    }
    let leased = bench.lease(MANY).await;
    expect("20 events are due after a restart", leased.len() == 20, names(&leased));
    expect(
        "what was not leased was not interrupted",
        leased.iter().all(|leased| leased.interrupted == 0),
        leased.iter().map(|leased| leased.interrupted).collect::<Vec<_>>(),
    );
}

/// Polls accept a few times and drops it; then the ticket and its event are both there or both absent.
pub(super) async fn a_call_dropped_half_way_happened_wholly_or_not_at_all(bench: Bench) {
    for polls in 1..=5_u32 {
        let ticket = sample::ticket(polls);
        {
            let mut call = pin!(bench.store.accept(&bench.acme, vec![bench.new_ticket(&bench.acme, ticket.clone())]));
            for _ in 0..polls {
                if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // The write may still be under way, so a ticket that is read after a look into the queue may be newer than it.
        let mut queued = bench.lease(MANY).await;
        let found = expect_ok("ticket", bench.store.ticket(&bench.acme, &ticket.id).await).is_some();
        expect("an event has its ticket", found || queued.is_empty(), names(&queued));
        queued.extend(bench.lease(MANY).await);
        expect("a ticket has its event", !found || queued.len() == 1, names(&queued));
        let again = bench.offer(&bench.acme, vec![bench.new_ticket(&bench.acme, ticket.clone())]).await;
        if found {
            expect("the ticket again", matches!(again[0], Accepted::SameId(_)), &again);
        }
        queued.extend(bench.lease(MANY).await);
        expect("one event in the end", queued.len() == 1, names(&queued));
        bench.complete(&queued[0].lease).await;
    }
}
