//! Working off the queue: lease, do, settle. The loop is one plain future that keeps many events in hand; a shell runs
//! one of them, so that an event under suspicion can truly run alone.

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
    error::Result,
    limits,
    ports::{Lease, Leased},
};

/// Works until `stop` resolves; then finishes what it has in hand for at most `grace`, and gives back the rest.
pub async fn work(app: &App, stop: impl Future<Output = ()>, grace: Duration) {
    let mut stop = pin!(stop.fuse());
    let mut hands = Hands::default();
    let mut coming: Fuse<BoxFuture<'_, Vec<Leased>>> = Fuse::terminated();
    let mut suspects = SuspectWatch::default();
    loop {
        let free = limits::JOBS_IN_HAND - hands.running.len();
        let hands_empty = hands.running.is_empty();
        suspects.waiting &= !hands_empty;
        if coming.is_terminated() && (hands_empty || free >= limits::JOBS_IN_HAND / 8 && !suspects.wait(app).await) {
            coming = next_batch(app, free, hands_empty).boxed().fuse();
        }
        futures_util::select_biased! {
            () = stop => break,
            lease = hands.running.select_next_some() => hands.done(&lease),
            batch = coming => hands.take(app, batch),
        }
    }
    finish(app, hands, coming, grace).await;
}

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
    running: FuturesUnordered<BoxFuture<'a, Lease>>,
    leases: Vec<Lease>,
}

impl<'a> Hands<'a> {
    fn take(&mut self, app: &'a App, batch: Vec<Leased>) {
        for leased in batch {
            let lease = leased.lease.clone();
            self.leases.push(lease.clone());
            self.running.push(handle(app, leased).map(|_| lease).boxed());
        }
    }

    fn done(&mut self, lease: &Lease) {
        self.leases.retain(|held| held != lease);
    }
}

/// Looks now and then, while the worker is busy, whether an event waits to run alone; then nothing new is taken until the
/// hands are empty, so that a busy queue does not keep it waiting for ever.
#[derive(Default)]
struct SuspectWatch {
    looked_at: Duration,
    waiting: bool,
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

/// Leases what is due. When nothing is, waits until something may be. With empty hands, an event under suspicion runs
/// first: nothing else is in hand while it does.
async fn next_batch(app: &App, max: usize, hands_empty: bool) -> Vec<Leased> {
    if hands_empty && run_suspect(app).await {
        return Vec::new();
    }
    match app.queue.lease(max, limits::LEASE_TIME).await {
        Ok(batch) if batch.is_empty() => {
            app.queue.ready(limits::QUEUE_IDLE).await;
            batch
        }
        Ok(batch) => batch,
        Err(error) => {
            tracing::error!(error = error.report(), "the queue gives no leases");
            app.clock.sleep(limits::QUEUE_IDLE).await;
            Vec::new()
        }
    }
}

/// Runs one event under suspicion, if there is one.
async fn run_suspect(app: &App) -> bool {
    match app.queue.lease_suspect(limits::LEASE_TIME).await {
        Ok(Some(leased)) => {
            let (event, interrupted) = (&leased.lease.event, leased.interrupted);
            tracing::warn!(%event, interrupted, "an event that was interrupted often runs alone");
            handle(app, leased).await;
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::error!(error = error.report(), "the queue gives no suspects");
            false
        }
    }
}

async fn finish(app: &App, mut hands: Hands<'_>, coming: Fuse<BoxFuture<'_, Vec<Leased>>>, grace: Duration) {
    let Hands { running, leases } = &mut hands;
    let drained = pin!(async {
        while let Some(lease) = running.next().await {
            leases.retain(|held| *held != lease);
        }
    });
    let _ = select(drained, app.clock.sleep(grace)).await;
    let mut left = hands.leases;
    if !coming.is_terminated() {
        // It may be running a suspect, which takes its time; then its lease is left to the next start.
        let came = select(coming, app.clock.sleep(grace.max(limits::QUEUE_IDLE * 2))).await;
        if let Either::Left((batch, _)) = came {
            left.extend(batch.into_iter().map(|leased| leased.lease));
        }
    }
    if left.is_empty() {
        return;
    }
    if let Err(error) = app.queue.release(&left).await {
        tracing::error!(error = error.report(), left = left.len(), "leases could not be given back, they will expire");
    }
}
