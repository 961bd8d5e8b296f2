//! Working off the queue: lease, do, settle. The loop is one plain future that keeps many events in hand; a shell runs
//! one of them, so that an event under suspicion can truly run alone.

pub mod fair;
mod work;

use std::{future::Future, pin::pin, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, Fuse, FusedFuture, select},
    stream::FuturesUnordered,
};

pub use work::{Outcome, handle};

use crate::{
    app::App,
    error::{ErrorKind, Result},
    limits,
    ports::{Lease, Leased},
};

/// Works until `stop` resolves; then finishes what it has in hand for at most `grace`, and gives back the rest.
pub async fn work(app: &App, stop: impl Future<Output = ()>, grace: Duration) {
    let mut stop = pin!(stop.fuse());
    let mut hands = Hands::default();
    let mut coming: Fuse<BoxFuture<'_, Vec<Leased>>> = Fuse::terminated();
    let mut idle: Fuse<BoxFuture<'_, ()>> = Fuse::terminated();
    let mut suspects = SuspectWatch::default();
    loop {
        let empty = hands.running.is_empty();
        suspects.waiting &= !empty;
        let enough = empty || hands.free() >= HANDS_WORTH_A_LOOK;
        if coming.is_terminated() && idle.is_terminated() && enough && (empty || !suspects.wait(app).await) {
            let left = std::mem::take(&mut hands.left);
            coming = next_batch(app, left, hands.free(), empty && suspects.may_run).boxed().fuse();
            suspects.may_run = true;
        }
        futures_util::select_biased! {
            () = stop => break,
            (lease, outcome) = hands.running.select_next_some() => {
                hands.done(lease, outcome);
                // What a tenant that has its share is waiting for is its own hands, which nobody rings for.
                if hands.done_since_look >= HANDS_WORTH_A_LOOK || hands.running.is_empty() {
                    idle = Fuse::terminated();
                }
            }
            batch = coming => {
                hands.done_since_look = 0;
                if batch.is_empty() {
                    idle = app.queue.ready(limits::QUEUE_IDLE).fuse().boxed().fuse();
                }
                hands.take(app, batch);
            }
            () = idle => {}
        }
    }
    finish(app, hands, coming, grace).await;
}

/// So many free hands, or hands that became free, make another look into the queue worth its price.
const HANDS_WORTH_A_LOOK: usize = limits::JOBS_IN_HAND / 16;

/// Runs everything that is due now, one after the other, and says how many: for tests, which want to know when all is done.
pub async fn drain(app: &App) -> Result<usize> {
    let mut done = 0;
    loop {
        let batch = app.queue.lease(limits::JOBS_IN_HAND, limits::LEASE_TIME).await?;
        if batch.is_empty() {
            return Ok(done);
        }
        for leased in batch {
            handle(app, leased).await;
            done += 1;
        }
    }
}

#[derive(Default)]
struct Hands<'a> {
    running: FuturesUnordered<BoxFuture<'a, (Lease, Outcome)>>,
    leases: Vec<Lease>,
    /// Leases of which nothing could be recorded: they are given back when the store works again.
    left: Vec<Lease>,
    done_since_look: usize,
}

impl<'a> Hands<'a> {
    fn free(&self) -> usize {
        limits::JOBS_IN_HAND.saturating_sub(self.running.len())
    }

    fn take(&mut self, app: &'a App, batch: Vec<Leased>) {
        for leased in batch {
            let lease = leased.lease.clone();
            self.leases.push(lease.clone());
            self.running.push(hold(app, leased).map(|outcome| (lease, outcome)).boxed());
        }
    }

    fn done(&mut self, lease: Lease, outcome: Outcome) {
        self.leases.retain(|held| *held != lease);
        self.done_since_look += 1;
        if outcome == Outcome::Left {
            self.left.push(lease);
        }
    }
}

/// Does the work of one event while its lease is renewed. When the lease is lost, somebody else does the work: it is dropped.
async fn hold(app: &App, leased: Leased) -> Outcome {
    let lease = leased.lease.clone();
    let renewal = async {
        loop {
            app.clock.sleep(limits::LEASE_RENEWAL).await;
            match app.queue.extend(&lease, limits::LEASE_TIME).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::LeaseLost => return,
                Err(error) => {
                    tracing::warn!(event = %lease.event, error = error.report(), "a lease was not renewed");
                }
            }
        }
    };
    match select(pin!(handle(app, leased)), pin!(renewal)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => {
            tracing::error!(event = %lease.event, "a lease was lost while its work went on, the work is dropped");
            Outcome::Left
        }
    }
}

/// Looks now and then, while the worker is busy, whether an event waits to run alone; then nothing new is taken until the
/// hands are empty, so that a busy queue does not keep it waiting for ever.
#[derive(Default)]
struct SuspectWatch {
    looked_at: Duration,
    waiting: bool,
    /// Not before the first look into the queue: a process that dies of each of them has done something else before.
    may_run: bool,
}

impl SuspectWatch {
    async fn wait(&mut self, app: &App) -> bool {
        let now = app.clock.monotonic();
        if now.saturating_sub(self.looked_at) >= limits::SUSPECT_LOOK {
            self.looked_at = now;
            self.waiting = app.queue.has_suspects().await.unwrap_or_else(|error| {
                tracing::error!(error = error.report(), "the queue does not tell of suspects");
                false
            });
        }
        self.waiting
    }
}

/// Gives back what could not be settled, then leases what is due. With empty hands, one event under suspicion may run
/// before: nothing else is in hand while it does, and many of them keep nobody waiting for all.
async fn next_batch(app: &App, left: Vec<Lease>, max: usize, suspect_may_run: bool) -> Vec<Leased> {
    give_back(app, &left).await;
    if suspect_may_run {
        run_suspect(app).await;
    }
    match app.queue.lease(max, limits::LEASE_TIME).await {
        Ok(batch) => batch,
        Err(error) => {
            tracing::error!(error = error.report(), "the queue gives no leases");
            app.clock.sleep(limits::QUEUE_IDLE).await;
            Vec::new()
        }
    }
}

/// Runs one event under suspicion, if there is one.
async fn run_suspect(app: &App) {
    match app.queue.lease_suspect(limits::LEASE_TIME).await {
        Ok(Some(leased)) => {
            let (event, interrupted) = (&leased.lease.event, leased.interrupted);
            tracing::warn!(%event, interrupted, "an event that was interrupted often runs alone");
            hold(app, leased).await;
        }
        Ok(None) => {}
        Err(error) => tracing::error!(error = error.report(), "the queue gives no suspects"),
    }
}

async fn finish(app: &App, mut hands: Hands<'_>, coming: Fuse<BoxFuture<'_, Vec<Leased>>>, grace: Duration) {
    let Hands { running, leases, left: unsettled, .. } = &mut hands;
    let drained = pin!(async {
        while let Some((lease, outcome)) = running.next().await {
            leases.retain(|held| *held != lease);
            if outcome == Outcome::Left {
                unsettled.push(lease);
            }
        }
    });
    let _ = select(drained, app.clock.sleep(grace)).await;
    let mut left = hands.leases;
    left.extend(hands.left);
    if !coming.is_terminated() {
        // It may be running a suspect, which takes its time; then its lease is left to the next start.
        let came = select(coming, app.clock.sleep(grace.max(limits::QUEUE_IDLE * 2))).await;
        if let Either::Left((batch, _)) = came {
            left.extend(batch.into_iter().map(|leased| leased.lease));
        }
    }
    give_back(app, &left).await;
}

async fn give_back(app: &App, left: &[Lease]) {
    if left.is_empty() {
        return;
    }
    if let Err(error) = app.queue.release(left).await {
        tracing::error!(error = error.report(), left = left.len(), "leases could not be given back, they will expire");
    }
}
