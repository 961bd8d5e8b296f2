//! Who acts in a run: clients, a reviewer, an operator, an observer, and the process itself.

use std::{
    future::{Future, pending},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use switchboard_core::{
    app::{App, BacklogLimits, RETRY_DELAYS},
    effects::OnTheirWay,
    ids::{DecisionId, TicketId},
    jobs,
    json::parse,
    limits,
    ports::{Clock, EffectFilter, EffectState, EventFilter, Ids, Resolution, TenantScope},
    tickets::{
        accept::accept,
        review::{ReviewDraft, Reviewer, review},
    },
};
use tokio::sync::oneshot;

use super::{
    Machine, Opened, Plan, Plant,
    exec::{Owner, Spawner},
    others::{Away, SimTenants},
    outside::{DEADLY, PANICS, SimClassifier, SimDesk, SimSources, TENANTS},
    store::SimStore,
    world::{World, settled},
};
use crate::{gateways::no_models, memory_audit::MemoryAudit, sample, world::SeededIds};

/// A ticket as the world knows it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) scope: TenantScope,
    pub(super) id: TicketId,
    customer: String,
    /// Whether it may end in the dead letters.
    pub(super) poison: bool,
    pub(super) acknowledged: bool,
    /// The first decision that anybody has seen.
    pub(super) decision: Option<DecisionId>,
}

/// All that the actors of one run share.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) world: World,
    spawner: Spawner,
    machine: Arc<dyn Machine>,
    pub(super) desk: SimDesk,
    pub(super) sent: Arc<Mutex<Vec<Sent>>>,
    pub(super) broken: Arc<Mutex<Vec<String>>>,
    app: Arc<Mutex<Option<App>>>,
    ids: Arc<SeededIds>,
    plan: Plan,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Story {
    pub(super) fn new(plan: &Plan, world: &World, spawner: &Spawner, machine: Arc<dyn Machine>) -> Self {
        let desk =
            SimDesk { world: world.clone(), spawner: spawner.clone(), applied: Arc::default(), plant: plan.plant };
        let sent = (0..plan.tickets).map(|n| {
            // Poison only where faults are wanted: each kind in some of the runs.
            let customer = match (plan.faults > 0 && n == 0, plan.seed % 8) {
                (true, 0) => DEADLY,
                (true, 1) => PANICS,
                _ => "CUST-1",
            };
            Sent {
                scope: sample::scope(TENANTS[n % TENANTS.len()].0),
                id: sample::parsed(&format!("T-{n}")),
                customer: customer.to_owned(),
                poison: customer != "CUST-1",
                acknowledged: false,
                decision: None,
            }
        });
        Self {
            world: world.clone(),
            spawner: spawner.clone(),
            machine,
            desk,
            sent: Arc::new(Mutex::new(sent.collect())),
            broken: Arc::default(),
            app: Arc::default(),
            ids: Arc::new(SeededIds::new(plan.seed)),
            plan: plan.clone(),
        }
    }

    pub(super) fn acknowledged(&self) -> usize {
        lock(&self.sent).iter().filter(|sent| sent.acknowledged).count()
    }

    fn breaks(&self, what: String) {
        lock(&self.broken).push(what);
    }

    /// The process starts: its worker and its sweeper.
    pub(super) fn start_process(&self, inner: Opened) {
        let sweep = Arc::clone(&inner.sweep);
        let store = Arc::new(SimStore {
            world: self.world.clone(),
            machine: Arc::clone(&self.machine),
            plant: self.plan.plant,
            queued: tokio::sync::Notify::new(),
            promised: tokio::sync::Mutex::default(),
            inner,
        });
        let away = Arc::new(Away);
        let sources = Arc::new(SimSources(self.world.clone()));
        let app = App {
            tenants: Arc::new(SimTenants::default()),
            tickets: store.clone(),
            queue: store.clone(),
            effects: store.clone(),
            customers: sources.clone(),
            status: sources,
            classifier: Arc::new(SimClassifier(self.world.clone())),
            learner: away.clone(),
            gateway: no_models(&(self.world.clock.clone() as Arc<dyn Clock>), &(self.ids.clone() as Arc<dyn Ids>)),
            models: away.clone(),
            desk: Arc::new(self.desk.clone()),
            examples: store.inner.examples.clone(),
            keys: away,
            audit: Arc::new(MemoryAudit::new(self.world.clock.clone())),
            clock: self.world.clock.clone(),
            ids: self.ids.clone(),
            retry_delays: RETRY_DELAYS.into(),
            backlog: BacklogLimits::default(),
            on_their_way: OnTheirWay::new(self.world.clock.as_ref()),
        };
        *lock(&self.app) = Some(app.clone());
        let worker = app.clone();
        self.spawner.spawn(Owner::Process, async move {
            jobs::work(&worker, pending(), Duration::from_secs(10)).await;
        });
        let world = self.world.clone();
        let promises = Arc::clone(&store);
        self.spawner.spawn(Owner::Process, async move {
            loop {
                world.step("sweep").await;
                // A failed sweep is tried again at the next one, as in the server.
                let _ = settled(sweep());
                store.queued.notify_one();
                world.clock.sleep(Duration::from_secs(60)).await;
            }
        });
        if self.plan.plant == Plant::AckBeforeCommit {
            let clock = self.world.clock.clone();
            self.spawner.spawn(Owner::Process, async move {
                loop {
                    clock.sleep(Duration::from_millis(50)).await;
                    let _ = promises.keep_promises().await;
                }
            });
        }
    }

    pub(super) fn end_process(&self) {
        *lock(&self.app) = None;
    }

    /// Asks something of the process; `None` when it dies before it answers.
    async fn ask<T: Send + 'static, F>(&self, call: impl FnOnce(App) -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let app = lock(&self.app).clone()?;
        let (tell, told) = oneshot::channel();
        let answer = call(app);
        self.spawner.spawn(Owner::Process, async move {
            // Who has asked may have gone.
            let _ = tell.send(answer.await);
        });
        told.await.ok()
    }

    async fn sleep(&self, least: u64, spread: usize) {
        let wait = least + self.world.below(spread) as u64;
        self.world.clock.sleep(Duration::from_millis(wait)).await;
    }

    /// The whole of it: clients and troubles side by side, then calm, then the operator's work.
    pub(super) async fn tell(self) {
        let count = lock(&self.sent).len();
        let clients = (0..count).map(|n| self.client(n));
        let troubles = async {
            if self.plan.faults > 0 {
                futures_util::join!(self.lose_deliveries(), self.replay(), self.observe());
            }
        };
        futures_util::join!(futures_util::future::join_all(clients), troubles);
        self.sleep(60_000, 120_000).await;
        self.world.calm_down();
        self.operate().await;
    }

    /// Sends one ticket until it is acknowledged, sometimes once more, and may review it later.
    async fn client(&self, n: usize) {
        let one = lock(&self.sent)[n].clone();
        self.sleep(1, 5_000).await;
        let mut again = self.world.fault("ticket sent twice", 200);
        loop {
            let body = json!({
                "ticket_id": one.id, "customer_id": one.customer, "subject": "s", "description": "no internet",
            });
            let scope = one.scope.clone();
            let answer = self
                .ask(|app| async move {
                    let draft = parse(body.to_string().as_bytes()).map_err(|_| ())?;
                    let correlation = app.correlation_id();
                    let answers = accept(&app, &scope, &correlation, None, vec![draft]).await.map_err(|_| ())?;
                    answers.into_iter().next().ok_or(())?.map_err(|_| ())
                })
                .await;
            // Refused, or the process has died over it: it is sent again.
            if let Some(Ok(_)) = answer {
                lock(&self.sent)[n].acknowledged = true;
                if !std::mem::take(&mut again) {
                    break;
                }
            }
            self.sleep(100, 3_000).await;
        }
        if n % 4 == 2 {
            self.review(n).await;
        }
    }

    /// A person reviews the ticket, once it is decided, and has it told to the desk.
    async fn review(&self, n: usize) {
        let one = lock(&self.sent)[n].clone();
        for _ in 0..200 {
            self.sleep(500, 20_000).await;
            let (scope, id) = (one.scope.clone(), one.id.clone());
            let answer = self
                .ask(|app| async move {
                    let draft = ReviewDraft { priority: Some("critical".to_owned()), ..ReviewDraft::default() };
                    let correlation = app.correlation_id();
                    review(&app, &scope, &Reviewer::Operator, &correlation, &id, draft).await.is_ok()
                })
                .await;
            if answer == Some(true) {
                return;
            }
        }
        if !one.poison {
            self.breaks(format!("{} could not be reviewed", one.id));
        }
    }

    async fn lose_deliveries(&self) {
        for _ in 0..3 {
            self.sleep(1_000, 20_000).await;
            if self.world.fault("deliveries lost", 300) {
                let lost = settled(self.machine.lose_deliveries());
                self.world.note(&format!("{lost} deliveries are lost"));
            }
        }
    }

    /// An operator replays the archive for no good reason: deliveries come again.
    async fn replay(&self) {
        for _ in 0..2 {
            self.sleep(1_000, 30_000).await;
            if self.world.fault("deliveries repeated", 500) {
                let scope = sample::scope(TENANTS[self.world.below(TENANTS.len())].0);
                let filter = EventFilter { limit: 1_000, ..EventFilter::default() };
                self.ask(|app| async move { app.queue.replay(&scope, &filter).await.is_ok() }).await;
            }
        }
    }

    /// Reads tickets and remembers the first decision that it sees of each.
    async fn observe(&self) {
        for _ in 0..10 {
            self.sleep(500, 10_000).await;
            self.look(self.world.below(self.plan.tickets)).await;
        }
    }

    async fn look(&self, n: usize) {
        let one = lock(&self.sent)[n].clone();
        let (scope, id) = (one.scope.clone(), one.id.clone());
        let Some(Ok(file)) = self.ask(|app| async move { app.tickets.ticket(&scope, &id).await }).await else { return };
        let Some(file) = file else {
            if one.acknowledged {
                self.breaks(format!("{} was acknowledged and is not there", one.id));
            }
            return;
        };
        let Some(decision) = file.decision else {
            if one.decision.is_some() {
                self.breaks(format!("{} has lost its decision", one.id));
            }
            return;
        };
        let seen = lock(&self.sent)[n].decision.get_or_insert_with(|| decision.decision_id.clone()).clone();
        if seen != decision.decision_id {
            self.breaks(format!("{} has another decision than before", one.id));
        }
    }

    /// What an operator does when the trouble is over: dead letters are replayed, what is held is looked up at the desk and
    /// resolved, until nothing is left to do.
    async fn operate(&self) {
        let mut was_quiet = false;
        for _ in 0..40 {
            let mut left = 0;
            for (tenant, _) in TENANTS {
                let scope = sample::scope(tenant);
                left += self.resolve(&scope).await + self.revive(&scope).await;
            }
            // Longer than any desk has asked for, and than the sweep takes to find what has no job.
            self.world.clock.sleep(limits::UNFINISHED_AGE + Duration::from_secs(1_000)).await;
            let depth = self.ask(|app| async move { app.queue.depth().await }).await;
            match depth {
                // What was held only while time passed is seen in the next round.
                Some(Ok(depth)) if left == 0 && depth.waiting + depth.leased == 0 && !was_quiet => was_quiet = true,
                Some(Ok(depth)) if left == 0 && depth.waiting + depth.leased == 0 => {
                    for n in 0..self.plan.tickets {
                        self.look(n).await;
                    }
                    return;
                }
                _ => was_quiet = false,
            }
        }
        self.breaks("work is left when all trouble has been over for long".to_owned());
    }

    async fn resolve(&self, scope: &TenantScope) -> usize {
        let filter = EffectFilter { limit: 1_000, ..EffectFilter::default() };
        let asked = scope.clone();
        let held = self.ask(|app| async move { app.effects.effects(&asked, &filter).await }).await;
        let Some(Ok(held)) = held else { return 1 };
        let mut left = 0;
        for effect in held {
            // A failed one is replayed with its dead letter.
            if effect.state != EffectState::Unknown {
                continue;
            }
            left += 1;
            let key = (scope.tenant().clone(), effect.ticket_id.clone(), effect.id.to_string());
            let there = self.desk.applied().contains_key(&key);
            let resolution = if there {
                Resolution::Happened { receipt: "an operator has looked".to_owned() }
            } else {
                Resolution::TryAgain
            };
            let scope = scope.clone();
            self.ask(|app| async move { app.effects.resolve(&scope, &effect.id, resolution, None).await.is_ok() })
                .await;
        }
        left
    }

    async fn revive(&self, scope: &TenantScope) -> usize {
        let asked = scope.clone();
        let letters = self.ask(|app| async move { app.queue.dead_letters(&asked, 1_000).await }).await;
        let Some(Ok(letters)) = letters else { return 1 };
        let mut left = 0;
        for letter in letters {
            let ticket = letter.event.detail.ticket_id().clone();
            if lock(&self.sent).iter().any(|sent| sent.id == ticket && sent.poison) {
                continue;
            }
            if letter.reason.contains("died or stalled") {
                self.breaks(format!("{ticket} is in the dead letters for deaths that were not its fault"));
            }
            left += 1;
            let scope = scope.clone();
            self.ask(|app| async move { app.queue.revive(&scope, &letter.event.id).await.is_ok() }).await;
        }
        left
    }
}
