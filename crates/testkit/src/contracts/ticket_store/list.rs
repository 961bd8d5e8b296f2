use std::{collections::BTreeMap, time::Duration};

use switchboard_core::{
    ids::TicketId,
    limits,
    ports::{Leased, ReviewState, SyncChange, TenantScope, TicketFilter, TicketStatus, TicketSummary},
    tickets::{Decision, PriorityLevel, SyncStatus, Ticket},
};

use crate::{
    contracts::{
        bench::{Bench, MANY, tickets},
        expect::{expect, expect_eq, expect_ok},
    },
    sample,
};

async fn list(bench: &Bench, scope: &TenantScope, filter: &TicketFilter) -> Vec<TicketSummary> {
    let page = expect_ok("list", bench.store.list(scope, filter, None, limits::PAGE_TICKETS).await);
    expect_eq("the cursor after the only page", page.next_cursor, None);
    page.items
}

fn waiting(ticket: &Ticket) -> TicketSummary {
    TicketSummary {
        ticket_id: ticket.id.clone(),
        customer_id: ticket.customer_id.clone(),
        accepted_at: ticket.accepted_at,
        status: TicketStatus::Accepted,
        assigned_team: None,
        primary_category: None,
        priority_level: None,
        priority_score: None,
        confidence_score: None,
        review_state: ReviewState::NotNeeded,
        sync_status: SyncStatus::Pending,
    }
}

fn decided(ticket: &Ticket, decision: &Decision, sync_status: SyncStatus) -> TicketSummary {
    TicketSummary {
        status: TicketStatus::Routed,
        assigned_team: Some(decision.assigned_team.clone()),
        primary_category: Some(decision.issue_classification.primary_category.clone()),
        priority_level: Some(decision.priority_level),
        priority_score: Some(decision.priority_score),
        confidence_score: Some(decision.confidence_score),
        review_state: if decision.requires_manual_review { ReviewState::Waiting } else { ReviewState::NotNeeded },
        sync_status,
        ..waiting(ticket)
    }
}

/// Ticket `n` of one of three customers.
fn ticket(n: u32) -> Ticket {
    Ticket { customer_id: sample::parsed(&format!("C-{}", n % 3)), ..sample::ticket(n) }
}

fn decision(ticket: &Ticket, n: u32, bench: &Bench) -> Decision {
    let mut decision = sample::decision(ticket, bench.ids.as_ref());
    decision.assigned_team = sample::parsed(if n.is_multiple_of(2) { "support" } else { "billing" });
    decision.priority_level = PriorityLevel::ALL[n as usize % PriorityLevel::ALL.len()];
    decision.priority_score = f64::from(n) + 0.125;
    decision.confidence_score = f64::from(n) / 64.0;
    decision.requires_manual_review = n.is_multiple_of(5);
    decision.issue_classification.primary_category = sample::parsed(["outage", "invoice"][n as usize % 2]);
    decision
}

async fn leased_by_ticket(bench: &Bench) -> BTreeMap<TicketId, Leased> {
    bench.lease(MANY).await.into_iter().map(|leased| (leased.event.detail.ticket_id().clone(), leased)).collect()
}

/// The write-back of ticket `n`, and the state that it leads to.
fn outcome(n: u32, bench: &Bench) -> Option<(SyncChange, SyncStatus)> {
    let error = "the desk said no".to_owned();
    match n % 6 {
        0 | 1 => Some((SyncChange::Succeeded { receipt: "taken".to_owned() }, SyncStatus::Success)),
        2 | 3 => Some((SyncChange::Failed { error, open: false }, SyncStatus::Failed)),
        4 => Some((
            SyncChange::Retry { at: bench.now().plus(Duration::from_secs(9)), error, open: false },
            SyncStatus::Pending,
        )),
        _ => None,
    }
}

/// Fills the store with tickets in every state; gives what a list shows of acme's, newest first.
async fn mixed(bench: &Bench) -> Vec<TicketSummary> {
    let all: Vec<_> = (0..48).map(ticket).collect();
    bench.accept_all(&bench.acme, all.clone()).await;
    let received = leased_by_ticket(bench).await;
    bench.accept_all(&bench.globex, all.clone()).await;
    for leased in bench.lease(MANY).await {
        bench.complete(&leased.lease).await;
    }
    let mut decisions = BTreeMap::new();
    for (n, ticket) in (0_u32..).zip(&all).filter(|(n, _)| n % 4 != 3) {
        let decision = decision(ticket, n, bench);
        bench.decide(&bench.acme, ticket, &decision, &received[&ticket.id].lease).await;
        decisions.insert(n, decision);
    }
    let routed = leased_by_ticket(bench).await;
    let mut expected = Vec::new();
    for (n, ticket) in (0_u32..).zip(&all) {
        let Some(decision) = decisions.get(&n) else {
            expected.push(waiting(ticket));
            continue;
        };
        let mut status = SyncStatus::Pending;
        if let Some((change, leads_to)) = outcome(n, bench) {
            let recorded = bench.record_sync(ticket, decision, change, &routed[&ticket.id].lease).await;
            expect_ok("record_sync", recorded);
            status = leads_to;
        }
        expected.push(decided(ticket, decision, status));
    }
    expected.reverse();
    expected
}

pub(super) async fn an_empty_list(bench: Bench) {
    expect_eq("the list of an empty store", list(&bench, &bench.acme, &TicketFilter::default()).await, Vec::new());
}

pub(super) async fn newest_first_with_all_that_is_known(bench: Bench) {
    let expected = mixed(&bench).await;
    let seen = list(&bench, &bench.acme, &TicketFilter::default()).await;
    expect_eq("how many tickets", seen.len(), expected.len());
    for (seen, expected) in seen.into_iter().zip(expected) {
        expect_eq("a line of the list, newest first", seen, expected);
    }
}

pub(super) async fn every_combination_of_filters(bench: Bench) {
    let all = mixed(&bench).await;
    let (since, until) = (sample::ticket(4).accepted_at, sample::ticket(44).accepted_at);
    let syncs = [None, Some(SyncStatus::Pending), Some(SyncStatus::Success), Some(SyncStatus::Failed)];
    let statuses = [None, Some(TicketStatus::Accepted), Some(TicketStatus::Routed)];
    let reviews = [None, Some(ReviewState::NotNeeded), Some(ReviewState::Waiting)];
    for sync in syncs {
        for status in statuses {
            for review in reviews {
                for bits in 0_u32..16 {
                    let given = |bit: u32| bits & (1 << bit) != 0;
                    let filter = TicketFilter {
                        team: given(0).then(|| sample::parsed("support")),
                        customer: given(1).then(|| sample::parsed("C-1")),
                        priority: given(2).then_some(PriorityLevel::Low),
                        since: given(3).then_some(since),
                        until: given(3).then_some(until),
                        sync,
                        status,
                        review,
                    };
                    expect_filtered(&bench, &filter, &all).await;
                }
            }
        }
    }
    for priority in PriorityLevel::ALL {
        expect_filtered(&bench, &TicketFilter { priority: Some(*priority), ..TicketFilter::default() }, &all).await;
    }
    let unknown = TicketFilter { team: Some(sample::parsed("nobody")), ..TicketFilter::default() };
    expect_filtered(&bench, &unknown, &all).await;
}

async fn expect_filtered(bench: &Bench, filter: &TicketFilter, all: &[TicketSummary]) {
    let expected: Vec<_> = all.iter().filter(|one| fits(filter, one)).map(|one| one.ticket_id.clone()).collect();
    let seen = list(bench, &bench.acme, filter).await;
    let seen: Vec<_> = seen.into_iter().map(|one| one.ticket_id).collect();
    expect_eq(&format!("the list with {filter:?}"), seen, expected);
}

fn fits(filter: &TicketFilter, one: &TicketSummary) -> bool {
    let TicketFilter { team, customer, priority, status, sync, review, since, until } = filter;
    team.as_ref().is_none_or(|team| one.assigned_team.as_ref() == Some(team))
        && customer.as_ref().is_none_or(|customer| one.customer_id == *customer)
        && priority.is_none_or(|priority| one.priority_level == Some(priority))
        && status.is_none_or(|status| one.status == status)
        && sync.is_none_or(|sync| one.sync_status == sync)
        && review.is_none_or(|review| one.review_state == review)
        && since.is_none_or(|since| one.accepted_at >= since)
        && until.is_none_or(|until| one.accepted_at < until)
}

pub(super) async fn since_is_inside_and_until_outside(bench: Bench) {
    bench.accept_all(&bench.acme, tickets(0..5)).await;
    let at = |n: u32| Some(sample::ticket(n).accepted_at);
    for (since, until, expected) in [
        (at(2), None, vec!["T-4", "T-3", "T-2"]),
        (None, at(2), vec!["T-1", "T-0"]),
        (at(1), at(3), vec!["T-2", "T-1"]),
        (at(2), at(2), vec![]),
        (at(3), at(1), vec![]),
    ] {
        let seen = list(&bench, &bench.acme, &TicketFilter { since, until, ..TicketFilter::default() }).await;
        let seen: Vec<_> = seen.iter().map(|one| one.ticket_id.as_str()).collect();
        expect_eq(&format!("the list since {since:?} until {until:?}"), seen, expected);
    }
}

pub(super) async fn a_foreign_tenant_sees_nothing(bench: Bench) {
    mixed(&bench).await;
    let nobody = list(&bench, &sample::scope("initech"), &TicketFilter::default()).await;
    expect("a tenant without tickets has an empty list", nobody.is_empty(), nobody.len());
    let theirs = list(&bench, &bench.globex, &TicketFilter::default()).await;
    expect_eq("how many tickets globex has", theirs.len(), 48);
    let touched = theirs.iter().find(|one| one.status != TicketStatus::Accepted);
    expect("globex's tickets are untouched by what acme's went through", touched.is_none(), touched);
}

pub(super) async fn a_list_follows_every_change(bench: Bench) {
    let ticket = sample::ticket(1);
    let all = TicketFilter::default();
    bench.accept(&bench.acme, ticket.clone()).await;
    expect_eq("after accept", list(&bench, &bench.acme, &all).await, vec![waiting(&ticket)]);
    let received = bench.lease_only("after accept").await;
    let decision = sample::decision(&ticket, bench.ids.as_ref());
    bench.decide(&bench.acme, &ticket, &decision, &received.lease).await;
    let expected = decided(&ticket, &decision, SyncStatus::Pending);
    expect_eq("after decide", list(&bench, &bench.acme, &all).await, vec![expected]);
    let routed = bench.lease_only("after decide").await;
    let change = SyncChange::Succeeded { receipt: "taken".to_owned() };
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, change, &routed.lease).await);
    let expected = decided(&ticket, &decision, SyncStatus::Success);
    expect_eq("after success", list(&bench, &bench.acme, &all).await, vec![expected]);
    let bench = bench.restart().await;
    let expected = decided(&ticket, &decision, SyncStatus::Success);
    expect_eq("after a restart", list(&bench, &bench.acme, &all).await, vec![expected]);
}
