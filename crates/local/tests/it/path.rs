//! The whole path of a ticket over the embedded adapters, on a clock that stands still.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use switchboard_core::{
    app::{App, BacklogLimits, RETRY_DELAYS},
    effects::OnTheirWay,
    error::{Error, ErrorKind, Result, Retry},
    event::Event,
    ids::{EffectId, TicketId},
    jobs::drain,
    json::parse,
    limits,
    ports::{
        Clock, CustomerStore, Desk, DeskReceipt, DeskUpdate, EffectState, EventFilter, EventQueue, Ids, Repeats,
        TenantScope, TenantSource,
    },
    tenants::Tenant,
    tickets::{
        SyncStatus,
        accept::{NotAccepted, Receipt, accept},
        view::TicketView,
    },
};
use switchboard_knowledge::LocalClassifier;
use switchboard_local::{FileStatus, FolderModels, SqliteStore};
use switchboard_testkit::{
    gateways::no_models,
    sample,
    test_app::TestApp,
    world::{FixedClock, SeededIds},
};
use tempfile::TempDir;

use crate::contracts::open;

/// Fails so often, that way, and then takes updates.
pub(crate) struct MoodyDesk {
    pub(crate) failures: AtomicUsize,
    /// The updates taken.
    pub(crate) taken: Mutex<Vec<DeskUpdate>>,
    kind: ErrorKind,
    retry: Retry,
    /// Whether it can be asked what it has; it says that it has nothing.
    can_be_asked: AtomicBool,
    /// It is left alone at present.
    rests: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl Desk for MoodyDesk {
    async fn update(&self, _tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        assert!(self.kind != ErrorKind::Internal, "a desk that breaks an invariant");
        let left = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(Error::new(self.kind, "the desk is in a mood").with_retry(self.retry)),
            Err(_) => {
                self.taken.lock().unwrap().push(update.clone());
                Ok(DeskReceipt { text: format!("ticket {} updated", update.ticket_id) })
            }
        }
    }

    fn repeats(&self, _tenant: &Tenant) -> Repeats {
        if self.can_be_asked.load(Ordering::Relaxed) { Repeats::LookFirst } else { Repeats::Safe }
    }

    fn rests(&self, _tenant: &Tenant) -> Option<Duration> {
        self.rests.load(Ordering::Relaxed).then_some(Duration::from_secs(30))
    }

    async fn look_up(&self, _tenant: &Tenant, _update: &DeskUpdate) -> Result<Option<DeskReceipt>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }
}

struct OneTenant(Arc<Tenant>);

#[async_trait]
impl TenantSource for OneTenant {
    async fn tenant(&self, id: &switchboard_core::ids::TenantId) -> Result<Option<Arc<Tenant>>> {
        Ok((self.0.id == *id).then(|| Arc::clone(&self.0)))
    }

    async fn list(&self) -> Result<Vec<switchboard_core::ids::TenantId>> {
        Ok(vec![self.0.id.clone()])
    }
}

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) app: TestApp,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) scope: TenantScope,
    pub(crate) desk: Arc<MoodyDesk>,
}

impl Bench {
    pub(crate) async fn with_desk(failures: usize, kind: ErrorKind, retry: Retry) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(FixedClock::new());
        let store = open(folder.path(), &clock);
        let tenant = Arc::new(sample::tenant());
        let scope = TenantScope::of_tenant(&tenant);
        store.put_customers(&scope, vec![sample::stored_customer(1)]).await.unwrap();
        let desk = Arc::new(MoodyDesk {
            failures: failures.into(),
            taken: Mutex::default(),
            kind,
            retry,
            can_be_asked: false.into(),
            rests: false.into(),
            asked: 0.into(),
        });
        let classifier = Arc::new(LocalClassifier::new(1));
        let ids = Arc::new(SeededIds::new(7));
        let shared: Arc<dyn Clock> = clock.clone();
        let app = App {
            tenants: Arc::new(OneTenant(tenant)),
            tickets: store.clone(),
            queue: store.clone(),
            effects: store.clone(),
            customers: Arc::new(switchboard_core::by_tenant::CustomersByTenant {
                store: store.clone(),
                http: Arc::new(NoDirectory),
                clock: clock.clone(),
            }),
            status: Arc::new(switchboard_core::by_tenant::StatusByTenant {
                file: Arc::new(FileStatus::new(folder.path().to_owned())),
                http: Arc::new(FileStatus::new(folder.path().to_owned())),
            }),
            classifier: classifier.clone(),
            learner: classifier,
            gateway: no_models(&shared, &(ids.clone() as Arc<dyn Ids>)),
            models: Arc::new(FolderModels::new(folder.path().join("models"))),
            desk: desk.clone(),
            examples: store.clone(),
            keys: store.clone(),
            audit: store.clone(),
            clock: clock.clone(),
            ids,
            retry_delays: RETRY_DELAYS.into(),
            backlog: BacklogLimits::default(),
            on_their_way: OnTheirWay::new(clock.as_ref()),
        };
        Self { folder, app: TestApp::new(app), clock, store, scope, desk }
    }

    pub(crate) async fn send(&self, change: impl FnOnce(&mut serde_json::Value)) -> Result<Receipt, NotAccepted> {
        let mut body = json!({
            "ticket_id": "T-1",
            "customer_id": sample::customer(1).customer_id,
            "subject": "Wrong charge",
            "description": "You charged me $120.00 twice, this is ridiculous! Error ERR-7, account ACC-55.",
        });
        change(&mut body);
        let draft = parse(body.to_string().as_bytes()).unwrap();
        accept(&self.app, &self.scope, &self.app.correlation_id(), None, vec![draft]).await.unwrap().remove(0)
    }

    pub(crate) async fn ticket(&self) -> TicketView {
        let id: TicketId = "T-1".parse().unwrap();
        self.app.tickets.ticket(&self.scope, &id).await.unwrap().unwrap().into()
    }
}

struct NoDirectory;

#[async_trait]
impl switchboard_core::ports::CustomerDirectory for NoDirectory {
    async fn customer(
        &self,
        _tenant: &Tenant,
        _id: &switchboard_core::ids::CustomerId,
    ) -> Result<Option<switchboard_core::ports::Customer>> {
        Err(Error::new(ErrorKind::Unavailable, "there is no directory"))
    }
}

#[tokio::test]
async fn a_ticket_is_decided_explained_and_written_back() {
    let bench = Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await;
    bench.send(|_| {}).await.unwrap();
    assert_eq!(bench.app.run_jobs().await, 2, "one to decide, one to write back");
    let view = bench.ticket().await;
    insta::assert_json_snapshot!(view);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_repeated_ticket_is_one_ticket_and_other_content_is_a_conflict() {
    let bench = Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await;
    let first = bench.send(|_| {}).await.unwrap();
    let again = bench.send(|_| {}).await.unwrap();
    assert_eq!((&again.correlation_id, again.repeated), (&first.correlation_id, true));
    let Err(NotAccepted::Conflict { differences, .. }) = bench.send(|body| body["subject"] = "Other".into()).await
    else {
        panic!("other content under the same id must be a conflict");
    };
    assert_eq!(
        differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["/subject: differs from the stored ticket"]
    );
    assert_eq!(bench.app.run_jobs().await, 2);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_desk_that_is_down_is_tried_again_at_its_times_and_then_given_up() {
    let mut bench = Bench::with_desk(usize::MAX, ErrorKind::Unavailable, Retry::Later).await;
    bench.send(|_| {}).await.unwrap();
    assert_eq!(bench.app.run_jobs().await, 2);
    for (tries, delay) in RETRY_DELAYS.iter().enumerate() {
        let view = bench.ticket().await;
        assert_eq!((view.sync_status, view.sync.failed_attempts), (SyncStatus::Pending, tries as u32 + 1));
        bench.clock.advance(delay.mul_f64(0.7));
        assert_eq!(bench.app.run_jobs().await, 0, "not before its time");
        bench.clock.advance(delay.mul_f64(0.6));
        assert_eq!(bench.app.run_jobs().await, 1);
    }
    let view = bench.ticket().await;
    assert_eq!((view.sync_status, view.sync.failed_attempts), (SyncStatus::Failed, 6));
    assert_eq!(view.timeline.last().unwrap().what, "sync_failed");
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.app.run_jobs().await, 0, "nobody tries by himself");
    bench.app.expect_dead(1);
    bench.app.finish().await;
}

#[tokio::test]
async fn an_error_that_repetition_cannot_mend_is_given_up_at_once_and_can_be_replayed() {
    let bench = Bench::with_desk(1, ErrorKind::Refused, Retry::Never).await;
    bench.send(|_| {}).await.unwrap();
    bench.app.run_jobs().await;
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Failed);
    let letter = bench.app.queue.dead_letters(&bench.scope, 10).await.unwrap().remove(0);
    assert!(letter.reason.contains("in a mood"), "{}", letter.reason);
    assert!(bench.app.queue.revive(&bench.scope, &letter.event.id).await.unwrap());
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Pending);
    assert_eq!(bench.app.run_jobs().await, 1);
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Success);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_desk_that_names_a_time_is_left_alone_until_then() {
    let bench = Bench::with_desk(1, ErrorKind::Throttled, Retry::After(Duration::from_secs(90))).await;
    bench.send(|_| {}).await.unwrap();
    bench.app.run_jobs().await;
    bench.clock.advance(Duration::from_secs(90));
    assert_eq!(bench.app.run_jobs().await, 0);
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.app.run_jobs().await, 1);
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Success);
    bench.app.finish().await;
}

#[tokio::test]
async fn what_may_be_on_its_way_is_not_looked_up_early_because_the_wall_clock_jumps() {
    let bench = Bench::with_desk(1, ErrorKind::Unavailable, Retry::Later).await;
    bench.desk.can_be_asked.store(true, Ordering::Relaxed);
    let asked = || bench.desk.asked.load(Ordering::Relaxed);
    bench.send(|_| {}).await.unwrap();
    bench.app.run_jobs().await;
    let hour = Duration::from_secs(3_600);
    bench.clock.jump(bench.clock.now().plus(hour));
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!((bench.app.run_jobs().await, asked()), (1, 0));
    // The next process knows no more than that it came after.
    bench.clock.jump(bench.clock.now().plus(hour));
    let next = App { on_their_way: OnTheirWay::new(bench.clock.as_ref()), ..(*bench.app).clone() };
    bench.clock.advance(Duration::from_secs(29));
    assert_eq!((drain(&next).await.unwrap(), asked()), (1, 0));
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!((drain(&next).await.unwrap(), asked()), (1, 1));
    assert_eq!(bench.desk.taken.lock().unwrap().len(), 1);
    bench.app.finish().await;
}

#[tokio::test]
async fn what_is_put_off_before_it_is_sent_is_no_attempt() {
    let bench = Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await;
    bench.desk.rests.store(true, Ordering::Relaxed);
    bench.send(|_| {}).await.unwrap();
    bench.app.run_jobs().await;
    let id = EffectId::from(&bench.ticket().await.decision.unwrap().decision_id);
    let effect = bench.app.effects.effect(&bench.scope, &id).await.unwrap().unwrap();
    assert_eq!((effect.state, effect.attempts), (EffectState::Intended, 0));
    bench.desk.rests.store(false, Ordering::Relaxed);
    bench.clock.advance(Duration::from_secs(31));
    bench.app.run_jobs().await;
    let effect = bench.app.effects.effect(&bench.scope, &id).await.unwrap().unwrap();
    assert_eq!((effect.state, effect.attempts), (EffectState::Done, 1));
    bench.app.finish().await;
}

#[tokio::test]
async fn a_replayed_archive_changes_nothing() {
    let bench = Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await;
    bench.send(|_| {}).await.unwrap();
    bench.app.run_jobs().await;
    let before = serde_json::to_string(&bench.ticket().await).unwrap();
    bench.clock.advance(Duration::from_secs(60));
    let all = switchboard_core::ports::EventFilter { limit: 100, ..Default::default() };
    assert_eq!(bench.app.queue.replay(&bench.scope, &all).await.unwrap(), 2);
    assert_eq!(bench.app.run_jobs().await, 2);
    assert_eq!(serde_json::to_string(&bench.ticket().await).unwrap(), before);
    assert!(bench.app.clock.now() > bench.ticket().await.ticket.accepted_at);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_stopped_finishes_what_it_has_in_hand() {
    let bench = Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await;
    bench.send(|_| {}).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app: App = (*bench.app).clone();
    let worker = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap_or(()) };
        switchboard_core::jobs::work(&app, stopped, Duration::from_secs(5)).await;
    });
    tokio::time::timeout(Duration::from_secs(20), async {
        while bench.ticket().await.sync_status != SyncStatus::Success {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    stop.send(()).unwrap();
    while !worker.is_finished() {
        bench.clock.advance(Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    worker.await.unwrap();
    bench.app.finish().await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the store works on threads of its own, in real time")]
async fn suspects_and_others_take_turns() {
    let bench = Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await;
    for id in ["T-1", "T-2", "T-3"] {
        bench.send(|body| body["ticket_id"] = id.into()).await.unwrap();
    }
    for _ in 0..limits::JOB_INTERRUPTIONS_BEFORE_ALONE {
        assert_eq!(bench.store.lease(10, limits::LEASE_TIME).await.unwrap().len(), 3);
        bench.clock.advance(limits::LEASE_TIME + Duration::from_secs(1));
    }
    bench.send(|body| body["ticket_id"] = "T-4".into()).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let app: App = (*bench.app).clone();
    let worker = tokio::spawn(async move {
        switchboard_core::jobs::work(&app, async { stopped.await.unwrap_or(()) }, Duration::from_secs(5)).await;
    });
    tokio::time::timeout(Duration::from_secs(20), async {
        while bench.desk.taken.lock().unwrap().len() < 4 {
            bench.clock.advance(Duration::from_millis(1));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    let taken: Vec<_> = bench.desk.taken.lock().unwrap().iter().map(|update| update.ticket_id.to_string()).collect();
    assert_eq!(taken[0], "T-4", "a process begins with what is not under suspicion: {taken:?}");
    stop.send(()).unwrap();
    while !worker.is_finished() {
        bench.clock.advance(Duration::from_millis(100));
        tokio::task::yield_now().await;
    }
    worker.await.unwrap();
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    let events = bench.store.archived(&bench.scope, &all).await.unwrap();
    let at = |what: &str, id: &str| {
        let of = |event: &&Event| event.detail.detail_type() == what && event.detail.ticket_id().as_str() == id;
        events.iter().find(of).unwrap().at
    };
    assert!(at("TicketSynced", "T-4") <= at("TicketRouted", "T-3"), "it does not wait for the last of them");
    bench.app.finish().await;
}

#[tokio::test]
async fn work_that_breaks_an_invariant_is_a_failure_of_its_event_alone() {
    let mut bench = Bench::with_desk(0, ErrorKind::Internal, Retry::Later).await;
    bench.send(|_| {}).await.unwrap();
    assert_eq!(bench.app.run_jobs().await, 2);
    assert_eq!(bench.ticket().await.sync_status, SyncStatus::Pending);
    for delay in RETRY_DELAYS {
        bench.clock.advance(delay * 2);
        bench.app.run_jobs().await;
    }
    let view = bench.ticket().await;
    assert_eq!(view.sync_status, SyncStatus::Failed, "buried, and told so");
    assert!(view.sync.last_error.unwrap().contains("invariant"));
    bench.app.expect_dead(1);
    bench.app.finish().await;
}

#[tokio::test]
async fn a_dropped_dead_letter_stays_dropped() {
    let bench = Bench::with_desk(usize::MAX, ErrorKind::Refused, Retry::Never).await;
    bench.send(|_| {}).await.unwrap();
    bench.app.run_jobs().await;
    let letter = bench.app.queue.dead_letters(&bench.scope, 10).await.unwrap().remove(0);
    assert!(bench.app.queue.discard(&bench.scope, &letter.event.id).await.unwrap());
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.store.sweep().await.unwrap().queued_again, 0);
    bench.app.finish().await;
}
