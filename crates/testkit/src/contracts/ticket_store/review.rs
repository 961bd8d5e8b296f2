use futures_util::future::join_all;
use switchboard_core::{
    error::ErrorKind,
    ids::DecisionId,
    ports::{Ids, Recorded, ReviewState, SyncChange, TicketFilter},
    tickets::{
        Decision, PriorityLevel, SyncState, SyncStatus, Ticket,
        review::{Assignment, Changed, Review},
    },
};

use crate::{
    contracts::{
        bench::Bench,
        expect::{expect, expect_eq, expect_kind, expect_ok, expect_same_event},
    },
    sample,
};

const RECEIPT: &str = "taken";

fn succeeded() -> SyncChange {
    SyncChange::Succeeded { receipt: RECEIPT.to_owned() }
}

fn failed() -> SyncChange {
    SyncChange::Failed { error: "the desk said no".to_owned(), open: false }
}

/// Ticket 1 with its decision written back.
async fn synced(bench: &Bench) -> (Ticket, Decision) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, succeeded(), &routed.lease).await);
    (ticket, decision)
}

/// Another review after `former`: back to what was decided, with another priority.
fn next(former: &Review, bench: &Bench) -> Review {
    Review {
        review_id: DecisionId::from_ulid(bench.ids.ulid(former.at)),
        assignment: Assignment { priority: PriorityLevel::Low, ..former.decided.clone() },
        changed: Changed { team: false, priority: true, category: false },
        note: None,
        ..former.clone()
    }
}

/// Status and receipt of the write-back, and what it tells of.
async fn sync_of(bench: &Bench, ticket: &Ticket) -> (SyncStatus, Option<String>, Option<DecisionId>) {
    let file = bench.file(&bench.acme, &ticket.id).await;
    (file.sync.status, file.sync.receipt, file.sync_of)
}

/// Records what the write-back of `review` came to.
async fn record_sync(bench: &Bench, review: &Review, change: SyncChange, lease: &switchboard_core::ports::Lease) {
    let (scope, id) = (&bench.acme, &review.review_id);
    expect_ok("record_sync", bench.store.record_sync(scope, &review.ticket_id, id, change, None, lease).await);
}

pub(super) async fn a_review_stands_beside_the_decision(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let before = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the review before there is one", before.review, None);
    expect_eq("what the write-back tells of", before.sync_of, Some(decision.decision_id.clone()));
    let new = sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref());
    let event = new.event.clone();
    let review = bench.record_review(new).await;
    let archived = bench.archived(&bench.acme).await;
    let found = archived.iter().find(|archived| archived.id == event.id).expect("the event is archived");
    expect_same_event("the event of a review", found, &event);
    let bench = bench.restart().await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the review as stored", file.review, Some(review));
    expect_eq("the decision after its review", file.decision, Some(decision));
    expect_eq("the ticket after its review", file.ticket.to_record(), ticket.to_record());
    expect_same_event("the review's work", &bench.lease_only("after a review").await.event, &event);
}

pub(super) async fn a_review_that_is_no_news_leaves_the_write_back_alone(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let before = bench.file(&bench.acme, &ticket.id).await;
    let ids = bench.ids.as_ref();
    let mut review = sample::review(&bench.acme, &ticket, &decision, ids).review;
    review.assignment = Assignment::of(&decision);
    let event_of = sample::review_again(&bench.acme, &ticket, review, None, false, ids);
    bench.record_review(event_of).await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the write-back", (file.sync, file.sync_of), (before.sync, before.sync_of));
    bench.expect_nothing_due("after a review that is no news").await;
}

pub(super) async fn a_review_begins_the_write_back_anew(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, failed(), &routed.lease).await);
    let review = bench.record_review(sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref())).await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    let expected = (SyncState::pending(), Some(review.review_id.clone()));
    expect_eq("the write-back after a review", (file.sync, file.sync_of), expected);
    let leased = bench.lease_only("after a review").await;
    let retry = SyncChange::Retry { at: bench.now(), error: "the desk said no".to_owned(), open: false };
    record_sync(&bench, &review, retry, &leased.lease).await;
    expect_eq("failures", bench.file(&bench.acme, &ticket.id).await.sync.failed_attempts, 1);
    let leased = bench.lease_only("at the retry's time").await;
    record_sync(&bench, &review, succeeded(), &leased.lease).await;
    let expected = (SyncStatus::Success, Some(RECEIPT.to_owned()), Some(review.review_id));
    expect_eq("the write-back after its success", sync_of(&bench, &ticket).await, expected);
}

pub(super) async fn another_review_takes_its_place(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let ids = bench.ids.as_ref();
    let first = bench.record_review(sample::review(&bench.acme, &ticket, &decision, ids)).await;
    let second = next(&first, &bench);
    let new = sample::review_again(&bench.acme, &ticket, second.clone(), Some(&first), true, ids);
    bench.record_review(new).await;
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the newest review", file.review, Some(second.clone()));
    expect_eq("what the write-back tells of", file.sync_of, Some(second.review_id.clone()));
    let stale = bench.lease_only("the first review's work").await;
    record_sync(&bench, &first, succeeded(), &stale.lease).await;
    let expected = (SyncStatus::Pending, None, Some(second.review_id.clone()));
    expect_eq("the write-back after an older one came through", sync_of(&bench, &ticket).await, expected);
    let live = bench.lease_only("the second review's work").await;
    record_sync(&bench, &second, succeeded(), &live.lease).await;
    expect_eq("the write-back in the end", sync_of(&bench, &ticket).await.0, SyncStatus::Success);
    let reviews = bench.archived(&bench.acme).await;
    let reviews = reviews.iter().filter(|event| event.detail.detail_type() == "TicketReviewed").count();
    expect_eq("reviews in the archive", reviews, 2);
}

pub(super) async fn an_overtaken_review_writes_nothing(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let ids = bench.ids.as_ref();
    let first = bench.record_review(sample::review(&bench.acme, &ticket, &decision, ids)).await;
    let before = bench.archived(&bench.acme).await.len();
    let second = next(&first, &bench);
    let mut other = first.clone();
    other.review_id = DecisionId::from_ulid(ids.ulid(first.at));
    for replaces in [None, Some(&other)] {
        let new = sample::review_again(&bench.acme, &ticket, second.clone(), replaces, true, ids);
        let recorded = expect_ok("record_review", bench.store.record_review(&bench.acme, new).await);
        expect_eq("a review that does not know the newest one", recorded, Recorded::Overtaken);
    }
    expect_eq("the newest review", bench.file(&bench.acme, &ticket.id).await.review, Some(first));
    expect_eq("archived after refused reviews", bench.archived(&bench.acme).await.len(), before);
}

pub(super) async fn side_by_side_one_is_first(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let news: Vec<_> = (0..8).map(|_| sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref())).collect();
    let results = join_all(news.iter().map(|new| bench.store.record_review(&bench.acme, new.clone()))).await;
    let results: Vec<_> = results.into_iter().map(|result| expect_ok("record_review", result)).collect();
    let first: Vec<_> = news.iter().zip(&results).filter(|(_, result)| **result == Recorded::New).collect();
    expect("one review is the first", first.len() == 1, &results);
    let stored = bench.file(&bench.acme, &ticket.id).await.review;
    expect_eq("the review that is stored", stored.as_ref(), Some(&first[0].0.review));
}

pub(super) async fn a_superseded_write_back_records_nothing(bench: Bench) {
    for change in [
        succeeded(),
        failed(),
        SyncChange::Retry { at: bench.now(), error: "the desk said no".to_owned(), open: false },
    ] {
        let what = format!("{change:?} of a decision that was reviewed meanwhile");
        let ticket = sample::ticket(u32::try_from(bench.archived(&bench.acme).await.len()).unwrap());
        let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
        let new = sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref());
        let review = bench.record_review(new).await;
        expect_ok(&what, bench.record_sync(&ticket, &decision, change, &routed.lease).await);
        let expected = (SyncStatus::Pending, None, Some(review.review_id.clone()));
        expect_eq(&what, sync_of(&bench, &ticket).await, expected);
        // The retry of the decision and the review come one after the other.
        let mut leased = bench.lease_only(&what).await;
        if leased.event.detail.detail_type() == "TicketRouted" {
            bench.complete(&leased.lease).await;
            leased = bench.lease_only(&what).await;
        }
        expect_eq("the event", leased.event.detail.detail_type(), "TicketReviewed");
        record_sync(&bench, &review, succeeded(), &leased.lease).await;
        expect_eq("the write-back in the end", sync_of(&bench, &ticket).await.0, SyncStatus::Success);
    }
}

pub(super) async fn a_superseded_dead_letter_leaves_the_ticket_alone(bench: Bench) {
    let ticket = sample::ticket(1);
    let (decision, routed) = bench.routed(&bench.acme, &ticket).await;
    expect_ok("record_sync", bench.record_sync(&ticket, &decision, failed(), &routed.lease).await);
    let review = bench.record_review(sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref())).await;
    let leased = bench.lease_only("after the review").await;
    record_sync(&bench, &review, failed(), &leased.lease).await;
    expect_eq("revive", expect_ok("revive", bench.queue.revive(&bench.acme, &routed.event.id).await), true);
    expect_eq("after an old letter's revival", sync_of(&bench, &ticket).await.0, SyncStatus::Failed);
    let old = bench.lease_only("the old letter").await;
    expect_ok("bury", bench.queue.bury(&old.lease, "it failed").await);
    expect_eq("revive", expect_ok("revive", bench.queue.revive(&bench.acme, &leased.event.id).await), true);
    expect_eq("after the review's own revival", sync_of(&bench, &ticket).await.0, SyncStatus::Pending);
    expect_eq("discard", expect_ok("discard", bench.queue.discard(&bench.acme, &routed.event.id).await), true);
    let again = bench.lease_only("the review's own").await;
    record_sync(&bench, &review, succeeded(), &again.lease).await;
    expect_eq("after its success", sync_of(&bench, &ticket).await.0, SyncStatus::Success);
}

pub(super) async fn a_review_that_fails_for_good_is_revived(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let review = bench.record_review(sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref())).await;
    let leased = bench.lease_only("after the review").await;
    expect_ok("bury", bench.queue.bury(&leased.lease, "it broke an invariant").await);
    let file = bench.file(&bench.acme, &ticket.id).await;
    let seen = (file.sync.status, file.sync.last_error.as_deref());
    expect_eq("a buried write-back has failed", seen, (SyncStatus::Failed, Some("it broke an invariant")));
    expect_eq("revive", expect_ok("revive", bench.queue.revive(&bench.acme, &leased.event.id).await), true);
    expect_eq("after revive", sync_of(&bench, &ticket).await.0, SyncStatus::Pending);
    let leased = bench.lease_only("after revive").await;
    record_sync(&bench, &review, succeeded(), &leased.lease).await;
    let replayed = bench.replay(&bench.acme, &crate::contracts::bench::everything()).await;
    expect_eq("replayed: received, routed, reviewed", replayed, 3);
}

pub(super) async fn a_ticket_without_decision_takes_no_review(bench: Bench) {
    let ticket = sample::ticket(1);
    let decision = sample::decision(&ticket, bench.ids.as_ref());
    let new = sample::review(&bench.acme, &ticket, &decision, bench.ids.as_ref());
    let review = bench.store.record_review(&bench.acme, new.clone()).await;
    expect_kind("a review of a ticket that is not there", review, ErrorKind::NotFound);
    bench.accept(&bench.acme, ticket.clone()).await;
    let review = bench.store.record_review(&bench.acme, new).await;
    expect_kind("a review of a ticket that is not decided", review, ErrorKind::NotFound);
    let file = bench.file(&bench.acme, &ticket.id).await;
    expect_eq("the review after a refused one", (file.review, file.sync_of), (None, None));
    let examples = expect_ok("examples", bench.examples.examples(&bench.acme, None, 10).await);
    expect("no example of a refused review", examples.items.is_empty(), examples.items);
}

pub(super) async fn a_foreign_tenant_reviews_nothing(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let new = sample::review(&bench.globex, &ticket, &decision, bench.ids.as_ref());
    let review = bench.store.record_review(&bench.globex, new).await;
    expect_kind("a review of another tenant's ticket", review, ErrorKind::NotFound);
    expect_eq("the review after a foreign one", bench.file(&bench.acme, &ticket.id).await.review, None);
}

pub(super) async fn lists_and_history_follow_the_review(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let ids = bench.ids.as_ref();
    let mut new = sample::review(&bench.acme, &ticket, &decision, ids);
    new.review.assignment.priority = PriorityLevel::Low;
    bench.record_review(new).await;
    let list =
        async |filter: TicketFilter| expect_ok("list", bench.store.list(&bench.acme, &filter, None, 10).await).items;
    let done = list(TicketFilter { review: Some(ReviewState::Done), ..TicketFilter::default() }).await;
    expect("one ticket is reviewed", done.len() == 1, &done);
    let seen = (&done[0].assigned_team, &done[0].primary_category, done[0].priority_level, done[0].review_state);
    let (team, category) = (Some(sample::parsed("billing")), Some(sample::parsed("invoice")));
    let expected = (&team, &category, Some(PriorityLevel::Low), ReviewState::Done);
    expect_eq("team, category, priority and state after the review", seen, expected);
    for (filter, count) in [
        (TicketFilter { team, ..TicketFilter::default() }, 1),
        (TicketFilter { team: Some(decision.assigned_team.clone()), ..TicketFilter::default() }, 0),
        (TicketFilter { review: Some(ReviewState::NotNeeded), ..TicketFilter::default() }, 0),
        (TicketFilter { review: Some(ReviewState::Waiting), ..TicketFilter::default() }, 0),
    ] {
        expect_eq(&format!("tickets with {filter:?}"), list(filter).await.len(), count);
    }
    let other = sample::parsed("T-other");
    let history = bench.store.history(&bench.acme, &ticket.customer_id, &other, 10).await;
    let history = expect_ok("history", history);
    let seen = (history[0].category.as_str(), history[0].priority, history[0].requires_manual_review);
    expect_eq("the history tells what was reviewed", seen, ("invoice", PriorityLevel::Low, false));
}

pub(super) async fn a_review_teaches(bench: Bench) {
    let (ticket, decision) = synced(&bench).await;
    let ids = bench.ids.as_ref();
    let new = sample::review(&bench.acme, &ticket, &decision, ids);
    let example = new.example.clone();
    let first = bench.record_review(new).await;
    let examples = async || expect_ok("examples", bench.examples.examples(&bench.acme, None, 10).await).items;
    expect_eq("the example of a review", examples().await, vec![example]);
    let second = next(&first, &bench);
    let new = sample::review_again(&bench.acme, &ticket, second, Some(&first), true, ids);
    let example = new.example.clone();
    bench.record_review(new).await;
    expect_eq("the example of another review", examples().await, vec![example]);
}
