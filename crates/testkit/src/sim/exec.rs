//! A single-threaded executor that does everything in an order drawn from the seed: which task goes on, when time moves.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use super::world::World;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whose task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Of the process under test: it ends with it.
    Process,
    /// Of the world around it: clients, operators.
    World,
}

/// Starts tasks from within tasks.
#[derive(Clone, Default)]
pub(super) struct Spawner(Arc<Mutex<Vec<(Owner, Task)>>>);

impl Spawner {
    pub(super) fn spawn(&self, owner: Owner, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((owner, Box::pin(task)));
    }
}

struct Bell {
    task: u64,
    rung: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

/// Why the executor came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The process died.
    Crashed,
    /// All tasks of the world ended.
    Done,
    /// Nothing can go on any more, or it went on for too long.
    Stuck(&'static str),
}

#[derive(Default)]
pub(super) struct Executor {
    tasks: BTreeMap<u64, (Owner, Task)>,
    next: u64,
    ready: Vec<u64>,
    rung: Arc<Mutex<Vec<u64>>>,
    pub(super) spawner: Spawner,
}

/// More polls than any run needs: something goes round in circles without time passing.
const POLLS_AT_ONE_TIME: u32 = 200_000;

impl Executor {
    fn adopt(&mut self) {
        let new = std::mem::take(&mut *self.spawner.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (owner, task) in new {
            self.tasks.insert(self.next, (owner, task));
            self.ready.push(self.next);
            self.next += 1;
        }
        self.ready.append(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner));
        self.ready.sort_unstable();
        self.ready.dedup();
    }

    /// The process is gone: its tasks are dropped where they stand.
    pub(super) fn kill(&mut self) {
        self.adopt();
        self.tasks.retain(|_, (owner, _)| *owner == Owner::World);
    }

    /// Goes on until the process dies, the world's tasks have ended, or nothing goes on.
    pub(super) fn run(&mut self, world: &World) -> Stopped {
        let mut polls = 0;
        loop {
            self.adopt();
            if world.has_crashed() {
                return Stopped::Crashed;
            }
            if !self.tasks.values().any(|(owner, _)| *owner == Owner::World) {
                return Stopped::Done;
            }
            if self.ready.is_empty() {
                polls = 0;
                if world.is_over_time() {
                    return Stopped::Stuck("it goes on for days");
                }
                if !world.advance() {
                    return Stopped::Stuck("nobody waits for anything that will come");
                }
                continue;
            }
            polls += 1;
            if polls > POLLS_AT_ONE_TIME {
                return Stopped::Stuck("tasks go round without time passing");
            }
            let chosen = self.ready.swap_remove(world.below(self.ready.len()));
            let Some((_, task)) = self.tasks.get_mut(&chosen) else { continue };
            let waker = Waker::from(Arc::new(Bell { task: chosen, rung: Arc::clone(&self.rung) }));
            if let Poll::Ready(()) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.tasks.remove(&chosen);
            }
        }
    }
}

/// Lets others go on once.
pub(super) async fn turn() {
    let mut gone = false;
    std::future::poll_fn(move |context| {
        if gone {
            return Poll::Ready(());
        }
        gone = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
