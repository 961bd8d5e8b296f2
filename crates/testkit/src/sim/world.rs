//! What a run shares: the seed's dice, the clock, the faults, and the trace.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use switchboard_core::{
    error::{Error, ErrorKind, Result, Retry},
    ports::Clock,
};

use super::{Plan, exec::turn};
use crate::world::FixedClock;

/// A run that is not over after so much time of its own waits for something that does not come.
const LONGEST: Duration = Duration::from_secs(3 * 24 * 3600);

/// The world of one run.
#[derive(Clone)]
pub(super) struct World {
    pub(super) clock: Arc<FixedClock>,
    state: Arc<Mutex<State>>,
}

struct State {
    dice: u64,
    plan: Plan,
    started: Duration,
    steps: u64,
    busy_steps: u64,
    crashed: bool,
    crashes: u32,
    calm: bool,
    disk_full_until: Duration,
    trace: DefaultHasher,
    faults: BTreeMap<&'static str, u64>,
    tail: Vec<String>,
}

/// What happens to a write of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// It is done.
    Goes,
    /// It is not done, and the caller is told so.
    Refused,
    /// It is done, and the caller is told that it was not.
    Lies,
    /// There is no room.
    Full,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let clock = Arc::new(FixedClock::new());
        let state = State {
            dice: plan.seed,
            plan: plan.clone(),
            started: clock.monotonic(),
            steps: 0,
            busy_steps: 0,
            crashed: false,
            crashes: 0,
            calm: plan.faults == 0,
            disk_full_until: Duration::ZERO,
            trace: DefaultHasher::new(),
            faults: BTreeMap::new(),
            tail: Vec::new(),
        };
        Self { clock, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number of the seed below `end`.
    pub(super) fn below(&self, end: usize) -> usize {
        let mut state = self.state();
        state.next() as usize % end.max(1)
    }

    /// Whether something happens that happens so many times of a thousand; never when the world is calm.
    pub(super) fn fault(&self, name: &'static str, per_mille: u64) -> bool {
        let mut state = self.state();
        if state.calm {
            return false;
        }
        let likely = per_mille * state.plan.faults / 100;
        let happens = state.next() % 1_000 < likely;
        if happens {
            state.count(name);
        }
        happens
    }

    /// From now on nothing fails any more.
    pub(super) fn calm_down(&self) {
        let mut state = self.state();
        state.calm = true;
        state.busy_steps = state.steps;
        state.disk_full_until = Duration::ZERO;
    }

    pub(super) fn is_calm(&self) -> bool {
        self.state().calm
    }

    pub(super) fn note(&self, what: &str) {
        let at = self.clock.monotonic();
        let mut state = self.state();
        (at, what).hash(&mut state.trace);
        let line = format!("{:>12.3} {what}", at.saturating_sub(state.started).as_secs_f64());
        state.tail.push(line);
        let excess = state.tail.len().saturating_sub(KEPT);
        if excess > KEPT {
            state.tail.drain(..excess);
        }
    }

    /// A step of the process: it may crash here, be slow here, or have its clock set.
    pub(super) async fn step(&self, name: &str) {
        if self.dies_here(name) {
            pending::<()>().await;
        }
        if self.fault("slow step", 20) {
            let slow = [5, 200, 3_000, 70_000][self.below(4)];
            self.clock.sleep(Duration::from_millis(slow)).await;
        }
        if self.jumps() && self.fault("clock jump", 4) {
            let now = self.clock.now();
            let hour = Duration::from_secs(3_600);
            let to = match self.below(6) {
                0 => now.plus(hour),
                1 => now.minus(hour),
                2 => now.plus(24 * hour),
                3 => now.minus(24 * hour),
                4 => switchboard_core::time::Timestamp::from_millis(0),
                _ => now.plus(24 * 365 * 12 * hour),
            };
            self.note("clock jump");
            self.clock.jump(to);
        }
        turn().await;
    }

    /// The process dies here, whatever the plan says.
    pub(super) async fn die(&self, of: &str) {
        self.note(&format!("death of {of}"));
        self.state().crashed = true;
        self.count("poison");
        pending::<()>().await;
    }

    /// Whether clocks jump in this run.
    pub(super) fn jumps(&self) -> bool {
        self.state().plan.seed.is_multiple_of(3)
    }

    fn dies_here(&self, name: &str) -> bool {
        self.note(name);
        let mut state = self.state();
        state.steps += 1;
        let step = state.steps;
        let planned = state.plan.crash_at.contains(&step);
        let drawn = !state.calm && state.crashes < state.plan.crashes && {
            let likely = state.plan.faults;
            state.next() % 10_000 < likely
        };
        if planned || drawn {
            state.crashes += 1;
            state.crashed = true;
            state.count("crash");
        }
        state.crashed
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    pub(super) fn restarted(&self) {
        self.note("restart");
        self.state().crashed = false;
    }

    /// What happens to the next write.
    pub(super) fn write(&self) -> Write {
        let now = self.clock.monotonic();
        if self.state().disk_full_until > now {
            self.count("disk full");
            return Write::Full;
        }
        if self.fault("disk full", 2) {
            let long = Duration::from_secs([1, 30, 600][self.below(3)]);
            self.state().disk_full_until = now + long;
            return Write::Full;
        }
        if self.fault("write refused", 15) {
            return Write::Refused;
        }
        if self.fault("write lies", 10) {
            return Write::Lies;
        }
        Write::Goes
    }

    pub(super) fn count(&self, name: &'static str) {
        self.state().count(name);
    }

    /// Moves time to the next thing that somebody waits for.
    pub(super) fn advance(&self) -> bool {
        let Some(next) = self.clock.next_wake() else { return false };
        self.clock.advance(next.saturating_sub(self.clock.monotonic()));
        true
    }

    pub(super) fn is_over_time(&self) -> bool {
        self.clock.monotonic().saturating_sub(self.state().started) > LONGEST
    }

    pub(super) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Steps before the world was told to calm down.
    pub(super) fn busy_steps(&self) -> u64 {
        self.state().busy_steps
    }

    /// The hash of all that happened, in its order.
    pub(super) fn trace(&self) -> u64 {
        self.state().trace.finish()
    }

    pub(super) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.state().faults.clone()
    }

    /// The last things that happened.
    pub(super) fn tail(&self) -> String {
        let state = self.state();
        let from = state.tail.len().saturating_sub(KEPT);
        state.tail[from..].join("\n")
    }
}

/// Lines of the trace that a failure shows.
const KEPT: usize = 400;

impl State {
    /// SplitMix64 of Steele, Lea and Flood.
    fn next(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn count(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }
}

pub(super) fn refused() -> Error {
    Error::new(ErrorKind::Unavailable, "the simulated store is away").with_retry(Retry::Later)
}

pub(super) fn full() -> Error {
    Error::new(ErrorKind::StorageFull, "the simulated disk is full")
}

/// Runs a call of the true stores to its end before anything else goes on, so that their threads draw no lots.
pub(super) fn settled<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(call)
}

/// A write with its faults: `done` runs it.
pub(super) async fn write<T>(world: &World, name: &str, done: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    world.step(&format!("before {name}")).await;
    let outcome = match world.write() {
        Write::Goes => settled(done()),
        Write::Refused => Err(refused()),
        Write::Full => Err(full()),
        Write::Lies => match settled(done()) {
            // What the store itself refuses it tells as it is.
            Ok(_) => Err(refused()),
            Err(error) => Err(error),
        },
    };
    let word = outcome.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |_| "ok".to_owned());
    world.step(&format!("after {name}: {word}")).await;
    outcome
}

/// A read with its faults.
pub(super) async fn read<T>(world: &World, name: &str, done: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    world.step(name).await;
    if world.fault("read refused", 5) {
        return Err(refused());
    }
    settled(done())
}
