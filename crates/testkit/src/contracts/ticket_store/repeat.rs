use switchboard_core::{
    ports::{Accepted, TenantScope},
    tickets::{Ticket, TicketRecord},
    untrusted::Untrusted,
};

use crate::{
    contracts::{
        bench::{Bench, MANY, names},
        expect::{expect, expect_eq, expect_ok},
    },
    sample,
};

fn with_key(n: u32, key: &str) -> Ticket {
    Ticket { idempotency_key: Some(sample::parsed(key)), ..sample::ticket(n) }
}

fn other_content(n: u32) -> Ticket {
    Ticket { subject: Untrusted::new("other content".to_owned()), ..sample::ticket(n) }
}

/// What a result says, and of which ticket.
#[derive(Debug, PartialEq)]
enum Said {
    New,
    SameId(Box<TicketRecord>),
    SameKey(Box<TicketRecord>),
}

fn said(accepted: &Accepted) -> Said {
    match accepted {
        Accepted::New => Said::New,
        Accepted::SameId(ticket) => Said::SameId(Box::new(ticket.to_record())),
        Accepted::SameKey(ticket) => Said::SameKey(Box::new(ticket.to_record())),
    }
}

fn same_id(ticket: &Ticket) -> Said {
    Said::SameId(Box::new(ticket.to_record()))
}

fn same_key(ticket: &Ticket) -> Said {
    Said::SameKey(Box::new(ticket.to_record()))
}

async fn offer(bench: &Bench, scope: &TenantScope, tickets: &[Ticket]) -> Vec<Said> {
    let new = tickets.iter().map(|ticket| bench.new_ticket(scope, ticket.clone())).collect();
    bench.offer(scope, new).await.iter().map(said).collect()
}

async fn expect_events(bench: &Bench, expected: usize) {
    let leased = bench.lease(MANY).await;
    expect(&format!("{expected} events are queued"), leased.len() == expected, names(&leased));
}

async fn expect_absent(bench: &Bench, ticket: &Ticket) {
    let file = expect_ok("ticket", bench.store.ticket(&bench.acme, &ticket.id).await);
    expect(&format!("ticket {} is absent", ticket.id), file.is_none(), file.map(|file| file.ticket.to_record()));
}

pub(super) async fn the_same_id_is_told_and_the_first_content_kept(bench: Bench) {
    let (first, second) = (sample::ticket(1), other_content(1));
    bench.accept(&bench.acme, first.clone()).await;
    expect_eq("the second one", offer(&bench, &bench.acme, &[second]).await, vec![same_id(&first)]);
    let kept = bench.file(&bench.acme, &first.id).await.ticket;
    expect_eq("the ticket that is kept", kept.to_record(), first.to_record());
    expect_events(&bench, 1).await;
}

pub(super) async fn the_same_key_is_told_and_nothing_is_written(bench: Bench) {
    let (first, second) = (with_key(1, "key-a"), with_key(2, "key-a"));
    bench.accept(&bench.acme, first.clone()).await;
    let told = offer(&bench, &bench.acme, std::slice::from_ref(&second)).await;
    expect_eq("the second ticket of one key", told, vec![same_key(&first)]);
    expect_absent(&bench, &second).await;
    expect_events(&bench, 1).await;
}

/// Both the id and the key are known then: either may be told, of the same ticket.
pub(super) async fn the_same_request_again_is_told(bench: Bench) {
    let ticket = with_key(1, "key-a");
    bench.accept(&bench.acme, ticket.clone()).await;
    let told = offer(&bench, &bench.acme, std::slice::from_ref(&ticket)).await.remove(0);
    let fits = told == same_id(&ticket) || told == same_key(&ticket);
    expect("the repeated request is SameId or SameKey with the stored ticket", fits, told);
    expect_events(&bench, 1).await;
}

pub(super) async fn a_key_is_its_tenants_own(bench: Bench) {
    let (ours, theirs) = (with_key(1, "key-a"), with_key(2, "key-a"));
    bench.accept(&bench.acme, ours).await;
    let told = offer(&bench, &bench.globex, &[theirs]).await;
    expect_eq("another tenant's ticket with the same key", told, vec![Said::New]);
    expect_events(&bench, 2).await;
}

pub(super) async fn a_batch_gives_its_results_in_order(bench: Bench) {
    let (known, keyed) = (sample::ticket(1), with_key(2, "key-a"));
    bench.accept(&bench.acme, known.clone()).await;
    bench.accept(&bench.acme, keyed.clone()).await;
    let batch = [sample::ticket(3), other_content(1), sample::ticket(4), with_key(5, "key-a"), sample::ticket(6)];
    let expected = vec![Said::New, same_id(&known), Said::New, same_key(&keyed), Said::New];
    expect_eq("new, same id, new, same key, new", offer(&bench, &bench.acme, &batch).await, expected);
    expect_absent(&bench, &batch[3]).await;
    expect_events(&bench, 5).await;
}

pub(super) async fn the_same_id_twice_in_one_batch(bench: Bench) {
    let batch = [sample::ticket(1), sample::ticket(2), other_content(1), sample::ticket(1)];
    let expected = vec![Said::New, Said::New, same_id(&batch[0]), same_id(&batch[0])];
    expect_eq("new, new, same id, same id", offer(&bench, &bench.acme, &batch).await, expected);
    expect_events(&bench, 2).await;
}

pub(super) async fn the_same_key_twice_in_one_batch(bench: Bench) {
    let batch = [with_key(1, "key-a"), with_key(2, "key-a"), with_key(3, "key-b")];
    let expected = vec![Said::New, same_key(&batch[0]), Said::New];
    expect_eq("new, same key, new", offer(&bench, &bench.acme, &batch).await, expected);
    expect_absent(&bench, &batch[1]).await;
    expect_events(&bench, 2).await;
}

pub(super) async fn a_repetition_after_a_restart_is_told(bench: Bench) {
    let first = with_key(1, "key-a");
    bench.accept(&bench.acme, first.clone()).await;
    let bench = bench.restart().await;
    let told = offer(&bench, &bench.acme, &[other_content(1), with_key(2, "key-a")]).await;
    expect_eq("same id, same key", told, vec![same_id(&first), same_key(&first)]);
    expect_events(&bench, 1).await;
}

pub(super) async fn side_by_side_one_is_new(bench: Bench) {
    let mut calls = Vec::new();
    for _ in 0..8 {
        let (store, scope) = (bench.store.clone(), bench.acme.clone());
        let new = bench.new_ticket(&bench.acme, with_key(1, "key-a"));
        calls.push(tokio::spawn(async move { store.accept(&scope, vec![new]).await }));
    }
    let mut new = 0;
    for call in calls {
        let mut results = expect_ok("accept", call.await.expect("a call that does not panic"));
        let accepted = expect_ok("accept of one ticket", results.remove(0));
        new += usize::from(matches!(accepted, Accepted::New));
    }
    expect_eq("how many of eight calls with the same ticket were new", new, 1);
    expect_events(&bench, 1).await;
}
