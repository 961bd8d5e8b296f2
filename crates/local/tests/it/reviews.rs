//! Reviews over the embedded adapters, together with the write-backs that they meet.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use switchboard_core::{
    error::{ErrorKind, Retry},
    ids::DecisionId,
    json::parse,
    limits,
    ports::{Clock, DeskUpdate, EventFilter, ExampleSource, ReviewFilter, ReviewState, TicketFilter, TicketStore},
    tickets::{
        SyncStatus,
        review::{NotReviewed, Review, Reviewer, review},
    },
};

use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use crate::{contracts::open, path::Bench};

async fn bench() -> Bench {
    Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await
}

impl Bench {
    /// Sends the ticket in and lets it be decided and written back.
    async fn routed(&self) {
        self.send(|_| {}).await.unwrap();
        self.app.run_jobs().await;
    }

    /// The same for a ticket that is as much of one category as of the other.
    async fn waiting(&self) {
        let unclear = |body: &mut Value| {
            body["subject"] = "I was charged twice this month".into();
            body["description"] = "no internet since this morning".into();
        };
        self.send(unclear).await.unwrap();
        self.app.run_jobs().await;
        assert_eq!(self.ticket().await.review_state, ReviewState::Waiting);
    }

    async fn review(&self, body: Value) -> Result<Review, NotReviewed> {
        self.clock.advance(Duration::from_secs(1));
        let draft = parse(body.to_string().as_bytes()).unwrap();
        let correlation_id = "req-review".parse().unwrap();
        let ticket = "T-1".parse().unwrap();
        review(&self.app, &self.scope, &Reviewer::Operator, &correlation_id, &ticket, draft).await
    }

    fn taken(&self) -> Vec<DeskUpdate> {
        self.desk.taken.lock().unwrap().clone()
    }

    fn last(&self) -> DeskUpdate {
        self.taken().pop().unwrap()
    }

    async fn sync_of(&self) -> Option<DecisionId> {
        let id = "T-1".parse().unwrap();
        self.app.tickets.ticket(&self.scope, &id).await.unwrap().unwrap().sync_of
    }
}

#[tokio::test]
async fn a_correction_reaches_the_desk_and_the_examples() {
    let bench = bench().await;
    bench.routed().await;
    let before = bench.ticket().await;
    assert_eq!(before.assigned_team.as_ref().unwrap().as_str(), "billing");
    let note = "It is the line.\nSwitchboard decision 01H\u{1f525}";
    let review = bench.review(json!({"category": "outage", "priority": "critical", "note": note})).await.unwrap();
    assert_eq!(review.assignment.team.as_str(), "support", "the category brings its team");
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Pending);
    assert_eq!(bench.app.run_jobs().await, 1);
    let view = bench.ticket().await;
    assert_eq!((view.sync_status, view.review_state), (SyncStatus::Success, ReviewState::Done));
    assert_eq!(view.assigned_team.as_ref().unwrap().as_str(), "support");
    assert_eq!(view.decision, before.decision, "the decision stays as it was made");
    assert_eq!(
        view.timeline.iter().map(|entry| entry.what).collect::<Vec<_>>(),
        ["accepted", "routed", "reviewed", "synced"]
    );
    let update = bench.last();
    assert_eq!(update.decision_id, review.review_id);
    insta::assert_debug_snapshot!(update);
    let examples = bench.app.examples.examples(&bench.scope, None, 10).await.unwrap().items;
    assert_eq!(examples.len(), 1);
    let (one, category) = (&examples[0], examples[0].category.as_ref().unwrap().as_str());
    assert_eq!((one.id.as_str(), category, one.source), ("T-1", "outage", ExampleSource::Review));
    assert!(one.text.for_storage().starts_with("Wrong charge\n\nYou charged me"));
    bench.app.finish().await;
}

#[tokio::test]
async fn the_same_review_again_changes_nothing() {
    let bench = bench().await;
    bench.routed().await;
    let first = bench.review(json!({"team": "support", "note": "so it is"})).await.unwrap();
    let again = bench.review(json!({"team": "support", "category": null, "note": "so it is"})).await.unwrap();
    assert_eq!(again, first);
    bench.app.run_jobs().await;
    assert_eq!(bench.review(json!({"team": "support", "note": "so it is"})).await.unwrap(), first);
    assert_eq!(bench.app.run_jobs().await, 0);
    assert_eq!(bench.taken().len(), 2);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_confirmation_is_told_only_where_the_desk_asks_for_review() {
    let bench = bench().await;
    bench.routed().await;
    let (sync, id) = (bench.ticket().await.sync, bench.sync_of().await);
    assert!(!bench.review(json!({})).await.unwrap().changed.any());
    assert_eq!((bench.ticket().await.sync, bench.sync_of().await), (sync, id));
    assert_eq!(bench.app.run_jobs().await, 0);
    bench.app.finish().await;

    let bench = self::bench().await;
    bench.waiting().await;
    assert!(bench.last().tags.contains(&"needs_review".to_owned()));
    bench.review(json!({})).await.unwrap();
    assert_eq!(bench.app.run_jobs().await, 1);
    let update = bench.last();
    assert!(!update.requires_manual_review && !update.tags.contains(&"needs_review".to_owned()));
    assert_eq!(update.remove_tags, ["needs_review"]);
    assert!(update.note.starts_with("Confirmed by the operator: team "), "{}", update.note);
    bench.review(json!({"note": "really"})).await.unwrap();
    assert_eq!(bench.app.run_jobs().await, 0, "the label went with the first review");
    bench.app.finish().await;
}

#[tokio::test]
async fn an_undo_is_a_review_too() {
    let bench = bench().await;
    bench.routed().await;
    let decided = bench.last();
    bench.review(json!({"category": "outage"})).await.unwrap();
    bench.app.run_jobs().await;
    let undo = bench.review(json!({})).await.unwrap();
    assert_eq!((undo.changed.any(), undo.former_categories.len()), (false, 1));
    bench.app.run_jobs().await;
    let last = bench.last();
    assert_eq!((last.team, last.priority), (decided.team, decided.priority));
    assert!(last.tags.contains(&"category_invoice".to_owned()), "{:?}", last.tags);
    assert_eq!(last.remove_tags, ["needs_review", "category_outage"]);
    let filter = EventFilter { detail_type: Some("TicketReviewed".to_owned()), limit: 10, ..EventFilter::default() };
    assert_eq!(bench.app.queue.archived(&bench.scope, &filter).await.unwrap().len(), 2);
    bench.app.finish().await;
}

/// The older write-back must not overwrite the newer values.
#[tokio::test]
async fn a_review_supersedes_the_write_back_that_waits_for_its_retry() {
    let bench = Bench::with_desk(1, ErrorKind::Unavailable, Retry::Later).await;
    bench.routed().await;
    let view = bench.ticket().await;
    assert_eq!((view.sync_status, view.sync.failed_attempts), (SyncStatus::Pending, 1));
    let review = bench.review(json!({"team": "support"})).await.unwrap();
    assert_eq!(bench.ticket().await.sync.failed_attempts, 0);
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.app.run_jobs().await, 2, "the decision's retry finds that it is superseded");
    assert_eq!(bench.taken().iter().map(|update| &update.decision_id).collect::<Vec<_>>(), [&review.review_id]);
    let view = bench.ticket().await;
    assert_eq!((view.sync_status, view.assigned_team.unwrap().as_str()), (SyncStatus::Success, "support"));
    bench.app.finish().await;
}

#[tokio::test]
async fn a_review_of_a_failed_write_back_gets_through_and_its_letter_is_void() {
    let bench = Bench::with_desk(1, ErrorKind::Refused, Retry::Never).await;
    bench.routed().await;
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Failed);
    bench.review(json!({"team": "support"})).await.unwrap();
    bench.app.run_jobs().await;
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Success);
    let letter = bench.app.queue.dead_letters(&bench.scope, 10).await.unwrap().remove(0);
    assert!(bench.app.queue.revive(&bench.scope, &letter.event.id).await.unwrap());
    assert_eq!(bench.app.run_jobs().await, 1);
    assert_eq!(bench.taken().len(), 1, "nothing was sent for the old letter");
    bench.app.finish().await;
}

#[tokio::test]
async fn a_review_whose_write_back_fails_is_retried_and_given_up_like_any() {
    let mut bench = bench().await;
    bench.routed().await;
    bench.desk.failures.store(usize::MAX, Ordering::Relaxed);
    let first = bench.review(json!({"team": "support"})).await.unwrap();
    for delay in switchboard_core::app::RETRY_DELAYS {
        bench.app.run_jobs().await;
        assert_eq!(bench.ticket().await.sync_status, SyncStatus::Pending);
        bench.clock.advance(delay * 2);
    }
    bench.app.run_jobs().await;
    let view = bench.ticket().await;
    assert_eq!((view.sync_status, view.sync.failed_attempts), (SyncStatus::Failed, 6));
    let letter = bench.app.queue.dead_letters(&bench.scope, 10).await.unwrap().remove(0);
    assert_eq!(letter.event.detail.detail_type(), "TicketReviewed");
    // The same values with another note: one key must not stand for two contents, so it goes by its own.
    bench.desk.failures.store(0, Ordering::Relaxed);
    let second = bench.review(json!({"team": "support", "note": "please"})).await.unwrap();
    assert_eq!(bench.app.run_jobs().await, 1);
    assert_eq!(bench.last().decision_id, second.review_id);
    assert_ne!(first.review_id, second.review_id);
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Success);
    bench.app.expect_dead(1);
    bench.app.finish().await;
}

#[tokio::test]
async fn two_reviews_at_once_are_both_kept_and_the_last_one_counts() {
    let bench = bench().await;
    bench.routed().await;
    let (one, other) = tokio::join!(
        bench.review(json!({"team": "support", "note": "one"})),
        bench.review(json!({"team": "support", "priority": "low", "note": "other"})),
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    bench.app.run_jobs().await;
    let newest = bench.ticket().await.review.unwrap();
    assert!(newest == one || newest == other);
    assert_eq!(bench.last().decision_id, newest.review_id);
    assert_eq!(bench.sync_of().await, Some(newest.review_id));
    let filter = EventFilter { detail_type: Some("TicketReviewed".to_owned()), limit: 10, ..EventFilter::default() };
    assert_eq!(bench.app.queue.archived(&bench.scope, &filter).await.unwrap().len(), 2);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_replayed_archive_changes_nothing_of_a_review() {
    let bench = bench().await;
    bench.routed().await;
    bench.review(json!({"category": "outage"})).await.unwrap();
    bench.app.run_jobs().await;
    bench.review(json!({"priority": "low"})).await.unwrap();
    bench.app.run_jobs().await;
    bench.review(json!({"priority": "low", "note": "no news"})).await.unwrap();
    let before = serde_json::to_string(&bench.ticket().await).unwrap();
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    assert_eq!(bench.app.queue.replay(&bench.scope, &all).await.unwrap(), 4, "received, routed and two that were news");
    assert_eq!(bench.app.run_jobs().await, 4);
    assert_eq!(serde_json::to_string(&bench.ticket().await).unwrap(), before);
    assert_eq!(bench.taken().len(), 3);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_review_without_its_job_is_queued_again_and_an_old_letter_does_not_hinder_it() {
    let bench = Bench::with_desk(1, ErrorKind::Refused, Retry::Never).await;
    bench.routed().await;
    bench.review(json!({"team": "support"})).await.unwrap();
    let newest = bench.review(json!({"team": "support", "priority": "low"})).await.unwrap();
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    connection.execute("DELETE FROM jobs", []).unwrap();
    let letter = bench.app.queue.dead_letters(&bench.scope, 10).await.unwrap().remove(0);
    bench.clock.advance(limits::UNFINISHED_AGE + Duration::from_secs(1));
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 1);
    connection.execute("DELETE FROM jobs", []).unwrap();
    assert!(bench.app.queue.discard(&bench.scope, &letter.event.id).await.unwrap());
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 1, "the letter that was dropped was an old one");
    assert_eq!(bench.app.run_jobs().await, 1);
    assert_eq!(bench.last().decision_id, newest.review_id);
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
    bench.app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_reviewed_is_told() {
    let bench = bench().await;
    assert!(matches!(bench.review(json!({"team": "nobody"})).await, Err(NotReviewed::Unknown)));
    bench.send(|_| {}).await.unwrap();
    assert!(matches!(bench.review(json!({})).await, Err(NotReviewed::NotDecided)));
    let wrong = json!({"team": "suport", "category": "xyz", "priority": "urgent", "note": "x\0".repeat(1_001)});
    let Err(NotReviewed::Invalid(mistakes)) = bench.review(wrong).await else {
        panic!("a review with mistakes was taken");
    };
    assert_eq!(
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "/team: team `suport` does not exist; did you mean `support`?",
            "/priority: must be one of: low, medium, high, critical",
            "/category: category `xyz` does not exist; there are: invoice, outage",
            "/note: is 2002 characters long; at most 2000 are allowed",
            "/note: has a NUL character at position 1; remove it",
        ]
    );
    bench.app.run_jobs().await;
    assert!(bench.ticket().await.review.is_none());
    assert!(bench.review(json!({"note": "ü".repeat(2_000)})).await.is_ok());
    assert!(bench.review(json!({"note": " \n"})).await.unwrap().note.is_none(), "a blank note is none");
    bench.app.run_jobs().await;
    bench.app.finish().await;
}

/// Tickets of the version before there were reviews are listed, queued and reviewed like any.
#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up() {
    let folder = tempfile::TempDir::new().unwrap();
    let clock = Arc::new(FixedClock::new());
    let (scope, ids) = (sample::scope("acme"), SeededIds::default());
    let connection = rusqlite::Connection::open(folder.path().join("switchboard.db")).unwrap();
    connection.execute_batch(include_str!("../../src/db/0001_tickets.sql")).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let mut decisions = Vec::new();
    for n in 1..=3 {
        let ticket = sample::ticket(n);
        let mut decision = sample::decision(&ticket, &ids);
        decision.requires_manual_review = n < 3;
        let values = rusqlite::params![
            n,
            ticket.id.as_str(),
            ticket.customer_id.as_str(),
            clock.now().as_millis(),
            decision.decision_id.as_str(),
            decision.requires_manual_review
        ];
        let row = "INSERT INTO tickets (id, tenant, ticket_id, customer_id, accepted_at, expires_at, routed, decision_id,
                   decided_at, team, category, severity, priority, score, confidence, review, sync)
                   VALUES (?1, 'acme', ?2, ?3, ?4, ?4 + 1000000, 1, ?5, ?4, 'support', 'outage', 2, 2, 62.5, 0.5, ?6, 1)";
        connection.execute(row, values).unwrap();
        let record = serde_json::to_string(&ticket.to_record()).unwrap();
        connection.execute("INSERT INTO ticket_records VALUES (?1, ?2)", (n, record)).unwrap();
        let record = serde_json::to_string(&decision).unwrap();
        connection.execute("INSERT INTO decisions VALUES (?1, ?2)", (n, record)).unwrap();
        decisions.push((ticket, decision));
    }
    drop(connection);
    let store = open(folder.path(), &clock);
    let (ticket, decision) = &decisions[0];
    let file = store.ticket(&scope, &ticket.id).await.unwrap().unwrap();
    assert_eq!((file.review, file.sync_of), (None, Some(decision.decision_id.clone())));
    let count = async |review| {
        let filter = TicketFilter { review: Some(review), ..TicketFilter::default() };
        store.list(&scope, &filter, None, 10).await.unwrap().items.len()
    };
    assert_eq!((count(ReviewState::Waiting).await, count(ReviewState::NotNeeded).await), (2, 1));
    assert_eq!(store.review_queue(&scope, &ReviewFilter::default(), None, 10).await.unwrap().waiting, 2);
    store.record_review(&scope, sample::review(&scope, ticket, decision, &ids)).await.unwrap();
    assert_eq!((count(ReviewState::Waiting).await, count(ReviewState::Done).await), (1, 1));
}

/// The review goes with its ticket; what was learnt stays.
#[tokio::test]
async fn an_example_outlives_its_ticket() {
    let bench = bench().await;
    bench.routed().await;
    bench.review(json!({})).await.unwrap();
    bench.clock.advance(limits::TICKET_RETENTION + Duration::from_secs(10));
    // The clock ran so far with no sweep between: an operator says that it is right.
    bench.store.confirm_clock().await.unwrap();
    assert_eq!(bench.store.sweep().await.unwrap().expired, 1);
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    let left: i64 = connection.query_row("SELECT count(*) FROM reviews", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    assert_eq!(bench.app.examples.counts(&bench.scope, None).await.unwrap().reviewed, 1);
    bench.app.finish().await;
}
