//! Deterministic simulation: the whole core over real stores, in a world that crashes, fails, lies, is slow, and sets the
//! clock, all of it drawn from one seed.
//!
//! Everything runs on one thread in an order drawn from the seed; time is simulated; every call of a store, a desk or a
//! source is two places where the process can die. The same seed gives the same run, to the last step: a failure is
//! replayed by its seed. When the faults of a run are spent, the world calms down, an operator does what operators do
//! (replays dead letters, resolves what is held), and then every promise is checked: each accepted ticket has exactly one
//! decision that never changed; no effect happened twice, unless its receiver knows it by its key; nothing waits; and the
//! archive tells how it came about.

mod actors;
mod check;
mod exec;
mod others;
mod outside;
mod store;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use switchboard_core::{
    error::Result,
    ids::EventId,
    ports::{EffectLedger, EventQueue, ExampleStore, TicketStore},
};

use crate::world::FixedClock;
use exec::{Executor, Owner, Stopped};
use world::World;

/// The stores of one life of a process.
pub struct Opened {
    /// Tickets and decisions.
    pub store: Arc<dyn TicketStore>,
    /// The queue.
    pub queue: Arc<dyn EventQueue>,
    /// The ledger.
    pub effects: Arc<dyn EffectLedger>,
    /// What reviews teach.
    pub examples: Arc<dyn ExampleStore>,
    /// One sweep for what is unfinished and has no job.
    pub sweep: Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

/// The machine whose disk outlives the process.
#[async_trait]
pub trait Machine: Send + Sync {
    /// Starts the stores as a new process does, on what the last one left.
    async fn open(&self, clock: Arc<FixedClock>) -> Opened;

    /// Loses the deliveries of all events that wait; what they tell of stays. Says how many.
    async fn lose_deliveries(&self) -> u64;

    /// Takes an event with its delivery away, as if it had not been written yet.
    async fn hide(&self, event: &EventId) -> Hidden;

    /// Writes what was taken away.
    async fn show(&self, hidden: Hidden);
}

/// A row that was taken away, in the machine's own words.
pub struct Hidden(pub Vec<BTreeMap<String, String>>);

/// A bug that is put in to see whether the simulation finds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plant {
    /// None.
    #[default]
    None,
    /// A decision and its event are two writes.
    TwoCommitOutbox,
    /// Each attempt has an idempotency key of its own.
    NoKey,
    /// A ticket is acknowledged before it is stored.
    AckBeforeCommit,
    /// Nothing is stored before an effect goes out.
    NoAttempt,
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of everything.
    pub seed: u64,
    /// Tickets that clients send.
    pub tickets: usize,
    /// How likely faults are, in percent of the usual; 0 for none at all.
    pub faults: u64,
    /// Deaths of the process at most, beside those of `crash_at`.
    pub crashes: u32,
    /// Steps at which the process dies.
    pub crash_at: BTreeSet<u64>,
    /// A bug to find.
    pub plant: Plant,
}

impl Plan {
    /// A run of that seed with everything that can go wrong.
    pub fn random(seed: u64) -> Self {
        Self { seed, tickets: 8, faults: 100, crashes: 4, crash_at: BTreeSet::new(), plant: Plant::None }
    }

    /// A run in which nothing goes wrong but that the process dies at these steps.
    pub fn dying_at(tickets: usize, steps: impl IntoIterator<Item = u64>) -> Self {
        Self { tickets, faults: 0, crashes: 0, crash_at: steps.into_iter().collect(), ..Self::random(1) }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// The hash of all that happened, in its order.
    pub trace: u64,
    /// Steps at which the process could have died.
    pub steps: u64,
    /// Those among them before the world calmed down, when the work was done.
    pub busy_steps: u64,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// Tickets that were acknowledged.
    pub acknowledged: usize,
    /// Promises that were broken.
    pub broken: Vec<String>,
    /// The last things that happened.
    pub tail: String,
}

/// Starts of the process in one run, more than which it never gets up.
const STARTS: u32 = 60;

/// Runs a plan on a fresh machine. `runtime` drives the stores, each call to its end before anything else goes on.
pub fn run(plan: &Plan, machine: Arc<dyn Machine>, runtime: &tokio::runtime::Runtime) -> Report {
    let world = World::new(plan);
    let mut executor = Executor::default();
    let story = actors::Story::new(plan, &world, &executor.spawner, Arc::clone(&machine));
    executor.spawner.spawn(Owner::World, story.clone().tell());
    let mut broken = Vec::new();
    let mut starts = 0;
    loop {
        starts += 1;
        let opened = runtime.block_on(machine.open(Arc::clone(&world.clock)));
        story.start_process(opened);
        let stopped = {
            let _context = runtime.enter();
            executor.run(&world)
        };
        match stopped {
            Stopped::Done => break,
            Stopped::Crashed if starts < STARTS => {
                executor.kill();
                story.end_process();
                world.restarted();
                world.clock.advance(Duration::from_millis(300));
            }
            Stopped::Crashed => {
                broken.push("the process dies again and again".to_owned());
                break;
            }
            Stopped::Stuck(why) => {
                broken.push(format!("the run does not end: {why}"));
                break;
            }
        }
    }
    executor.kill();
    story.end_process();
    let opened = runtime.block_on(machine.open(Arc::clone(&world.clock)));
    broken.extend(runtime.block_on(check::check(&story, &opened)));
    Report {
        trace: world.trace(),
        steps: world.steps(),
        busy_steps: world.busy_steps(),
        faults: world.faults(),
        acknowledged: story.acknowledged(),
        broken,
        tail: world.tail(),
    }
}
