use std::collections::BTreeSet;

use switchboard_core::{
    error::ErrorKind,
    ids::TicketId,
    ports::{Page, TenantScope, TicketFilter, TicketSummary},
    tickets::Ticket,
    time::Timestamp,
};

use crate::{
    contracts::{
        bench::{Bench, tickets},
        expect::{expect, expect_eq, expect_kind, expect_ok},
    },
    sample,
};

async fn page(
    bench: &Bench,
    scope: &TenantScope,
    filter: &TicketFilter,
    cursor: Option<&str>,
    limit: u32,
) -> Page<TicketSummary> {
    let page = expect_ok("list", bench.store.list(scope, filter, cursor, limit).await);
    expect(&format!("at most {limit} tickets on a page"), page.items.len() <= limit as usize, page.items.len());
    page
}

/// Walks all pages; `between` runs before each page after the first.
async fn walk(
    bench: &Bench,
    filter: &TicketFilter,
    limit: u32,
    mut between: impl AsyncFnMut(),
) -> Vec<(TicketId, Timestamp)> {
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..1_000 {
        let page = page(bench, &bench.acme, filter, cursor.as_deref(), limit).await;
        seen.extend(page.items.into_iter().map(|item| (item.ticket_id, item.accepted_at)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return seen;
        }
        between().await;
    }
    panic!("a walk of 1,000 pages of {limit} has no end")
}

/// Fails unless every one of `tickets` was seen, nothing was seen twice, and the times never rise.
fn expect_whole(seen: &[(TicketId, Timestamp)], tickets: &[Ticket]) {
    let ids: BTreeSet<_> = seen.iter().map(|(id, _)| id.clone()).collect();
    let doubles: Vec<_> = ids.iter().filter(|id| seen.iter().filter(|(seen, _)| seen == *id).count() > 1).collect();
    expect("no ticket is seen twice", doubles.is_empty(), &doubles);
    let missing: Vec<_> = tickets.iter().map(|ticket| &ticket.id).filter(|id| !ids.contains(id)).collect();
    expect("no ticket is missing", missing.is_empty(), &missing);
    let risen = seen.windows(2).find(|pair| pair[0].1 < pair[1].1);
    expect("newest first", risen.is_none(), risen);
}

fn accepted_at(mut ticket: Ticket, at: Timestamp) -> Ticket {
    ticket.accepted_at = at;
    ticket
}

async fn check_walk(bench: Bench, old_at: impl Fn(u32) -> Timestamp, new_at: Timestamp) {
    let old: Vec<_> = (0..250).map(|n| accepted_at(sample::ticket(n), old_at(n))).collect();
    bench.accept_all(&bench.acme, old.clone()).await;
    bench.accept_all(&bench.globex, tickets(0..20)).await;
    let mut next = 1_000;
    let seen = walk(&bench, &TicketFilter::default(), 40, async || {
        let new = (next..next + 3).map(|n| accepted_at(sample::ticket(n), new_at)).collect();
        bench.accept_all(&bench.acme, new).await;
        next += 3;
    })
    .await;
    expect_whole(&seen, &old);
}

pub(super) async fn no_gap_and_no_double_while_new_ones_come_in(bench: Bench) {
    check_walk(bench, |n| sample::ticket(n / 10).accepted_at, sample::ticket(500).accepted_at).await;
}

pub(super) async fn no_gap_and_no_double_within_one_millisecond(bench: Bench) {
    let at = sample::ticket(1).accepted_at;
    check_walk(bench, |_| at, at).await;
}

pub(super) async fn a_filtered_list_is_paged_too(bench: Bench) {
    let of_one: Vec<_> =
        (0..40).map(|n| Ticket { customer_id: sample::parsed("C-one"), ..sample::ticket(2 * n) }).collect();
    let of_others: Vec<_> = (0..40).map(|n| sample::ticket(2 * n + 1)).collect();
    bench.accept_all(&bench.acme, of_one.clone()).await;
    bench.accept_all(&bench.acme, of_others).await;
    let filter = TicketFilter { customer: Some(sample::parsed("C-one")), ..TicketFilter::default() };
    let seen = walk(&bench, &filter, 7, async || {}).await;
    expect_eq("tickets of the customer", seen.len(), 40);
    expect_whole(&seen, &of_one);
}

pub(super) async fn the_limit_is_kept_and_the_last_page_has_no_cursor(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..4)).await;
    let all = TicketFilter::default();
    for (limit, sizes) in [(1, vec![1, 1, 1, 1]), (2, vec![2, 2]), (3, vec![3, 1]), (4, vec![4]), (200, vec![4])] {
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = page(&bench, &bench.acme, &all, cursor.as_deref(), limit).await;
            seen.push(page.items.len());
            cursor = page.next_cursor;
            if cursor.is_none() || seen.len() > 9 {
                break;
            }
        }
        expect_eq(&format!("the pages of 4 tickets with limit {limit}"), seen, sizes);
    }
}

pub(super) async fn a_cursor_outlives_a_restart(bench: Bench) {
    let old = tickets(0..10);
    bench.accept_all(&bench.acme, old.clone()).await;
    let all = TicketFilter::default();
    let first = page(&bench, &bench.acme, &all, None, 6).await;
    let bench = bench.restart().await;
    let second = page(&bench, &bench.acme, &all, first.next_cursor.as_deref(), 6).await;
    let both = first.items.into_iter().chain(second.items);
    let seen: Vec<_> = both.map(|item| (item.ticket_id, item.accepted_at)).collect();
    expect_whole(&seen, &old);
}

pub(super) async fn rubbish_as_cursor_is_invalid(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..4)).await;
    let long = "A".repeat(10_000);
    let rubbish =
        ["", " ", "rubbish", "0", "-1", "AAAA", "T-1", "%00", "' OR 1=1 --", "💥", "null", "{}", "a\nb", &long];
    for cursor in rubbish {
        let listed = bench.store.list(&bench.acme, &TicketFilter::default(), Some(cursor), 2).await;
        expect_kind(&format!("list with the cursor {cursor:.40?}"), listed, ErrorKind::Invalid);
    }
}

/// The store did make that cursor, so it may refuse it or use it, but shows only the caller's tickets.
pub(super) async fn a_cursor_of_another_tenant_shows_nothing_of_it(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..4)).await;
    let theirs = tickets(100..104);
    bench.accept_all(&bench.globex, theirs.clone()).await;
    let all = TicketFilter::default();
    let cursor = page(&bench, &bench.acme, &all, None, 2).await.next_cursor;
    match bench.store.list(&bench.globex, &all, cursor.as_deref(), 10).await {
        Err(error) => expect_eq("the error", error.kind(), ErrorKind::Invalid),
        Ok(page) => {
            let foreign = page.items.iter().find(|item| !theirs.iter().any(|ticket| ticket.id == item.ticket_id));
            expect("only globex's tickets", foreign.is_none(), foreign);
        }
    }
}
