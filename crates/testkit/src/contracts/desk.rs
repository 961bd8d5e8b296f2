//! The contract of [`Desk`]: however often and however unluckily an update is sent, it takes effect once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use switchboard_core::{
    error::{Error, ErrorKind, Retry},
    ids::{DecisionId, TicketId},
    ports::{Desk, DeskReceipt, DeskUpdate, Ids},
    tenants::Tenant,
    tickets::PriorityLevel,
};

use super::{
    expect::{expect, expect_eq, expect_ok},
    run_checks,
};
use crate::{
    sample::parsed,
    world::{SeededIds, start},
};

/// Calls of one update after which it must have got through, when nothing fails any more.
const TRIES: usize = 5;
/// Calls of one update at the same time.
const AT_ONCE: usize = 8;

/// A desk, and the eyes on the ticketing system behind it.
#[async_trait]
pub trait Observed: Send + Sync {
    /// The desk.
    fn desk(&self) -> Arc<dyn Desk>;

    /// The tenant that is configured for it. It has the team `support`.
    fn tenant(&self) -> &Tenant;

    /// Ticket number `n`, counted from 1, made known to the ticketing system.
    async fn ticket(&self, n: u32) -> TicketId;

    /// How often the decision took effect on the ticket, beyond what happens once however often it is done: notes,
    /// files, distinct messages.
    async fn effects(&self, ticket: &TicketId, decision: &DecisionId) -> usize;

    /// Makes the desk's next write fail that way; `false` when this ticketing system cannot fail like that.
    fn break_next(&self, _way: Breakage) -> bool {
        false
    }
}

type Shared = Arc<dyn Observed>;

/// How a write fails.
#[derive(Clone, Copy, Debug)]
pub enum Breakage {
    /// It is refused for now, and nothing is done.
    BusyBefore,
    /// The connection ends, and nothing is done.
    LostBefore,
    /// It is done, and the answer is a failure.
    FailedAfter,
    /// It is done, and the connection ends before the answer.
    LostAfter,
}

/// Runs the contract of `Desk`; `make` gives a fresh desk and ticketing system for each check.
pub async fn desk<O: Observed + 'static>(make: impl AsyncFn() -> O) {
    run_checks!(
        "Desk",
        Arc::new(make().await) as Shared,
        [
            an_update_takes_effect,
            the_same_update_again_changes_nothing,
            the_same_update_many_times_at_once_takes_effect_once,
            an_update_that_failed_before_its_effect_gets_through,
            an_update_whose_outcome_was_unclear_takes_effect_once,
            an_update_that_was_dropped_half_way_takes_effect_once,
            each_decision_about_a_ticket_takes_effect,
            each_ticket_gets_its_own,
        ]
    );
}

/// An update of `ticket` by decision number `n`: team `support`, priority `high`.
pub fn desk_update(ticket: &TicketId, n: u64) -> DeskUpdate {
    let ids = SeededIds::new(n);
    DeskUpdate {
        decision_id: DecisionId::from_ulid(ids.ulid(start())),
        reviewed: None,
        ticket_id: ticket.clone(),
        team: parsed("support"),
        priority: PriorityLevel::High,
        priority_score: 62.5,
        confidence: 0.8712,
        requires_manual_review: true,
        tags: vec!["switchboard".to_owned(), "category_outage".to_owned(), "needs_review".to_owned()],
        remove_tags: Vec::new(),
        note: "Assigned to Support: the words say \u{201c}outage\u{201d}.\nPlease review: not sure".to_owned(),
        decided_at: start(),
        correlation_id: parsed("req-1"),
    }
}

async fn an_update_takes_effect(test: Shared) {
    let update = desk_update(&test.ticket(1).await, 1);
    let receipt = expect_ok("update", send(&*test, &update).await);
    expect("the receipt tells something", !receipt.text.is_empty(), receipt);
    expect_effects(&*test, &update, 1).await;
}

async fn the_same_update_again_changes_nothing(test: Shared) {
    let update = desk_update(&test.ticket(1).await, 1);
    for _ in 0..3 {
        expect_ok("update", send(&*test, &update).await);
        expect_effects(&*test, &update, 1).await;
    }
}

async fn the_same_update_many_times_at_once_takes_effect_once(test: Shared) {
    for n in 1..=5 {
        let update = desk_update(&test.ticket(n).await, n.into());
        let outcomes = join_all((0..AT_ONCE).map(|_| {
            let (test, update) = (Arc::clone(&test), update.clone());
            tokio::spawn(async move { send(&*test, &update).await })
        }))
        .await;
        let outcomes: Vec<_> =
            outcomes.into_iter().map(|outcome| outcome.expect("a call that does not panic")).collect();
        expect("one of the calls succeeds", outcomes.iter().any(Result::is_ok), &outcomes);
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).for_each(expect_repeatable);
        expect_effects(&*test, &update, 1).await;
    }
}

async fn an_update_that_failed_before_its_effect_gets_through(test: Shared) {
    for (n, way) in (1..).zip([Breakage::BusyBefore, Breakage::LostBefore]) {
        gets_through_once(&*test, n, way).await;
    }
}

async fn an_update_whose_outcome_was_unclear_takes_effect_once(test: Shared) {
    for (n, way) in (1..).zip([Breakage::FailedAfter, Breakage::LostAfter]) {
        gets_through_once(&*test, n, way).await;
    }
}

async fn gets_through_once(test: &dyn Observed, n: u32, way: Breakage) {
    let update = desk_update(&test.ticket(n).await, n.into());
    if !test.break_next(way) {
        return;
    }
    match send(test, &update).await {
        Err(error) => expect_repeatable(&error),
        Ok(_) => expect_effects(test, &update, 1).await,
    }
    for _ in 0..TRIES {
        if send(test, &update).await.is_ok() {
            break;
        }
    }
    expect_ok(&format!("update after {way:?}"), send(test, &update).await);
    expect_effects(test, &update, 1).await;
}

async fn an_update_that_was_dropped_half_way_takes_effect_once(test: Shared) {
    for n in 1..=20 {
        let update = desk_update(&test.ticket(n).await, n.into());
        let patience = Duration::from_micros(u64::from(n) * 150);
        let _ = tokio::time::timeout(patience, send(&*test, &update)).await;
        for _ in 0..TRIES {
            if send(&*test, &update).await.is_ok() {
                break;
            }
        }
        expect_ok("update after a call that was dropped", send(&*test, &update).await);
        expect_effects(&*test, &update, 1).await;
    }
}

async fn each_decision_about_a_ticket_takes_effect(test: Shared) {
    let ticket = test.ticket(1).await;
    let (first, second) = (desk_update(&ticket, 1), desk_update(&ticket, 2));
    for update in [&first, &second, &first, &second] {
        expect_ok("update", send(&*test, update).await);
    }
    expect_effects(&*test, &first, 1).await;
    expect_effects(&*test, &second, 1).await;
}

async fn each_ticket_gets_its_own(test: Shared) {
    let first = desk_update(&test.ticket(1).await, 1);
    let second = desk_update(&test.ticket(2).await, 2);
    expect_ok("update", send(&*test, &first).await);
    expect_effects(&*test, &first, 1).await;
    expect_effects(&*test, &second, 0).await;
    expect_ok("update", send(&*test, &second).await);
    expect_effects(&*test, &second, 1).await;
}

async fn send(test: &dyn Observed, update: &DeskUpdate) -> Result<DeskReceipt, Error> {
    test.desk().update(test.tenant(), update).await
}

async fn expect_effects(test: &dyn Observed, update: &DeskUpdate, expected: usize) {
    let seen = test.effects(&update.ticket_id, &update.decision_id).await;
    expect_eq(&format!("effects of decision {} on {}", update.decision_id, update.ticket_id), seen, expected);
}

/// A failure that is nobody's mistake must not be final.
fn expect_repeatable(error: &Error) {
    let kinds = [ErrorKind::Throttled, ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::BadAnswer];
    let is_repeatable = kinds.contains(&error.kind()) && error.retry() != Retry::Never;
    expect("a passing failure may be tried again", is_repeatable, (error.kind(), error.retry(), error.report()));
}
