//! Retention, and the sweep that finds what is unfinished and has no job.

use std::{sync::Arc, time::Duration};

use switchboard_core::{
    event::{EventDetail, TicketRouted},
    ids::{EffectId, ReservationId},
    limits,
    models::NanoUsd,
    ports::{
        Ceilings, Clock, EffectLedger, EventFilter, EventQueue, Ids, Leased, NewTicket, Resolution, SyncChange,
        TenantScope, TicketStore, UsageLedger, Wanted,
    },
    tenants::QuotasConfig,
    tickets::{Decision, Ticket},
};
use switchboard_local::{SqliteStore, Swept};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};
use tempfile::TempDir;

use crate::contracts::open;

struct Bench {
    folder: TempDir,
    clock: Arc<FixedClock>,
    store: Arc<SqliteStore>,
    scope: TenantScope,
    ids: SeededIds,
}

impl Bench {
    async fn with_tickets(n: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(FixedClock::new());
        let store = open(folder.path(), &clock);
        let scope = TenantScope::of_tenant(&sample::tenant());
        let ids = SeededIds::new(1);
        let new = (1..=n).map(|n| {
            let mut ticket = sample::ticket(n);
            ticket.accepted_at = clock.now();
            sample::new_ticket(&scope, ticket, &ids)
        });
        let new = new.collect();
        store.accept(&scope, new).await.unwrap();
        Self { folder, clock, store, scope, ids }
    }

    fn lose_all_jobs(&self) {
        let connection = rusqlite::Connection::open(self.folder.path().join("switchboard.db")).unwrap();
        connection.execute("DELETE FROM jobs", []).unwrap();
    }

    /// Decides ticket 1, whose first event this is.
    async fn decide(&self, leased: &Leased) -> Decision {
        let ticket = sample::ticket(1);
        let decision = sample::decision(&ticket, &self.ids);
        let routed = TicketRouted {
            ticket_id: ticket.id.clone(),
            decision_id: decision.decision_id.clone(),
            assigned_team: decision.assigned_team.clone(),
            priority_level: decision.priority_level,
            confidence_score: decision.confidence_score,
            requires_manual_review: decision.requires_manual_review,
        };
        let mut event = leased.event.clone();
        event.id = switchboard_core::ids::EventId::from_ulid(self.ids.ulid(event.at));
        event.detail = EventDetail::TicketRouted(routed);
        self.store.decide(&self.scope, &decision, event, &leased.lease).await.unwrap();
        decision
    }

    async fn waiting(&self) -> u64 {
        self.store.depth().await.unwrap().waiting
    }
}

#[tokio::test]
async fn an_unfinished_ticket_without_a_job_is_queued_again() {
    let bench = Bench::with_tickets(3).await;
    bench.lose_all_jobs();
    assert_eq!(bench.store.sweep().await.unwrap(), Swept::default(), "too young to be forgotten");
    bench.clock.advance(limits::UNFINISHED_AGE + Duration::from_secs(1));
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 3);
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0, "queued once");
    assert_eq!(bench.waiting().await, 3);
}

#[tokio::test]
async fn a_decision_that_was_not_written_back_is_queued_again_and_a_finished_one_is_not() {
    let bench = Bench::with_tickets(1).await;
    let leased = bench.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    let (ticket, decision) = (sample::ticket(1), bench.decide(&leased).await);
    bench.lose_all_jobs();
    bench.clock.advance(limits::UNFINISHED_AGE + Duration::from_secs(1));
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 1);
    let again = bench.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    assert_eq!(again.event.detail.detail_type(), "TicketRouted");
    let change = SyncChange::Succeeded { receipt: "done".to_owned() };
    let (ticket, decision) = (&ticket.id, &decision.decision_id);
    bench.store.record_sync(&bench.scope, ticket, decision, change, None, &again.lease).await.unwrap();
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
}

#[tokio::test]
async fn a_dead_letter_is_not_queued_again_nor_when_it_is_dropped() {
    let bench = Bench::with_tickets(1).await;
    let leased = bench.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    bench.store.bury(&leased.lease, "poison").await.unwrap();
    bench.clock.advance(limits::UNFINISHED_AGE + Duration::from_secs(1));
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
    assert!(bench.store.discard(&bench.scope, &leased.event.id).await.unwrap());
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
}

#[test]
fn what_was_only_queued_again_lets_the_sweeper_rest() {
    assert!(!Swept { queued_again: 3, ..Swept::default() }.has_more());
    assert!(Swept { queued_again: 500, ..Swept::default() }.has_more(), "as many as one sweep does");
    assert!(Swept { queued_again: 3, expired: 1, ..Swept::default() }.has_more());
}

#[tokio::test]
async fn what_a_person_has_given_up_is_not_queued_again() {
    let bench = Bench::with_tickets(1).await;
    let leased = bench.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    let decision = bench.decide(&leased).await;
    let routed = bench.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    bench.store.bury(&routed.lease, "it cannot be done").await.unwrap();
    assert!(bench.store.revive(&bench.scope, &routed.event.id).await.unwrap());
    // Also in hand, before its attempt begins.
    let in_hand = bench.store.lease(1, Duration::from_secs(60)).await.unwrap().remove(0);
    let id = EffectId::from(&decision.decision_id);
    assert!(bench.store.resolve(&bench.scope, &id, Resolution::Abandon, None).await.unwrap());
    bench.store.complete(&in_hand.lease).await.unwrap();
    bench.clock.advance(limits::UNFINISHED_AGE + Duration::from_secs(1));
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
    // An older program has left the ticket as if nobody had said anything.
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    assert_eq!(connection.execute("UPDATE tickets SET dropped = 0, sync = 0", []).unwrap(), 1);
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
}

#[tokio::test]
async fn tickets_go_after_ninety_days_and_not_before() {
    let bench = Bench::with_tickets(1_200).await;
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    connection.execute("UPDATE tickets SET routed = 1, sync = 1 WHERE ticket_id <> 'T-7'", []).unwrap();
    bench.lose_all_jobs();
    bench.clock.advance(limits::TICKET_RETENTION - Duration::from_secs(1));
    // The clock ran so far with no sweep between: an operator says that it is right.
    bench.store.confirm_clock().await.unwrap();
    assert_eq!(bench.store.sweep().await.unwrap().expired, 0);
    bench.clock.advance(Duration::from_secs(2));
    let mut expired = 0;
    loop {
        let swept = bench.store.sweep().await.unwrap();
        expired += swept.expired;
        if swept.expired == 0 {
            break;
        }
    }
    assert_eq!(expired, 1_199);
    assert!(bench.store.ticket(&bench.scope, &sample::ticket(8).id).await.unwrap().is_none());
    assert!(
        bench.store.ticket(&bench.scope, &sample::ticket(7).id).await.unwrap().is_some(),
        "nobody has decided it yet"
    );
}

#[tokio::test]
async fn events_leave_the_archive_after_seven_days_but_not_while_work_is_open() {
    let bench = Bench::with_tickets(2).await;
    let all = EventFilter { limit: 10, ..EventFilter::default() };
    bench.clock.advance(limits::EVENT_RETENTION + Duration::from_secs(1));
    // The clock ran so far with no sweep between: an operator says that it is right.
    bench.store.confirm_clock().await.unwrap();
    assert_eq!(bench.store.sweep().await.unwrap().unarchived, 0, "their tickets are not decided yet");
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    connection.execute("UPDATE tickets SET routed = 1, sync = 1", []).unwrap();
    connection.execute("DELETE FROM jobs WHERE ticket_id = ?1", [sample::ticket(1).id.as_str()]).unwrap();
    // What was kept because of open work is looked at again within an hour.
    bench.clock.advance(Duration::from_secs(3_601));
    assert_eq!(bench.store.sweep().await.unwrap().unarchived, 1);
    assert_eq!(bench.store.archived(&bench.scope, &all).await.unwrap().len(), 1);
}

#[tokio::test]
async fn counts_of_days_that_are_over_go_and_yesterdays_stay() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let bench = Bench::with_tickets(0).await;
    for n in 1..=3 {
        let ticket = Ticket { accepted_at: bench.clock.now(), ..sample::ticket(n) };
        let quotas = QuotasConfig { tickets_per_day: Some(9), tickets_per_customer_per_day: Some(9) };
        let new = NewTicket { quotas, ..sample::new_ticket(&bench.scope, ticket, &bench.ids) };
        bench.store.accept(&bench.scope, vec![new]).await.unwrap();
        bench.clock.advance(DAY);
    }
    // The clock ran so far with no sweep between: an operator says that it is right.
    bench.store.confirm_clock().await.unwrap();
    // Three days have two counts each; the clock stands on the fourth day.
    assert_eq!(bench.store.sweep().await.unwrap().uncounted, 4);
    assert_eq!(bench.store.sweep().await.unwrap().uncounted, 0);
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    let left: u32 = connection.query_row("SELECT count(*) FROM quota_counts", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
}

#[tokio::test]
async fn spend_of_customers_goes_with_their_day_and_the_tenants_own_is_kept_longer() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let bench = Bench::with_tickets(0).await;
    for _ in 0..3 {
        let at = bench.clock.now();
        let id = ReservationId::from_ulid(bench.ids.ulid(at));
        let wanted = Wanted { id, customer: Some(sample::parsed("C-1")), amount: NanoUsd(5), at };
        bench.store.reserve(&bench.scope, wanted, &Ceilings::default()).await.unwrap();
        bench.clock.advance(DAY);
    }
    bench.store.confirm_clock().await.unwrap();
    assert_eq!(bench.store.sweep().await.unwrap().uncounted, 2, "two customers' days; yesterday's stays");
    let connection = rusqlite::Connection::open(bench.folder.path().join("switchboard.db")).unwrap();
    let left = |what: &str| -> u32 {
        let sql = format!("SELECT count(*) FROM model_usage WHERE customer {what} ''");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((left("<>"), left("=")), (1, 4));
    bench.clock.advance(DAY * 440);
    bench.store.confirm_clock().await.unwrap();
    bench.store.sweep().await.unwrap();
    assert_eq!((left("<>"), left("=")), (0, 0));
}
