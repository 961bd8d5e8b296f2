use std::time::Duration;

use switchboard_core::limits;
use tokio::task::JoinHandle;

use crate::{contracts::bench::Bench, sample};

/// Longer than any test: who returns before has seen an event.
const LONG: Duration = Duration::from_secs(24 * 3_600);
/// Real time after which a wait counts as endless.
const PATIENCE: Duration = Duration::from_secs(30);

fn waiting(bench: &Bench, max_wait: Duration) -> JoinHandle<()> {
    let queue = bench.queue.clone();
    tokio::spawn(async move { queue.ready(max_wait).await })
}

async fn expect_returns(what: &str, waiting: JoinHandle<()>) {
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(joined) => joined.expect("ready does not panic"),
        Err(_) => {
            panic!("{what}\n  expected: ready returns\n  seen:     it still waits after {} s", PATIENCE.as_secs())
        }
    }
}

pub(super) async fn it_returns_when_an_event_comes(bench: Bench) {
    for n in 0..3 {
        let waiting = waiting(&bench, LONG);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        bench.accept(&bench.acme, sample::ticket(n)).await;
        expect_returns("an event was accepted while ready waited", waiting).await;
        let leased = bench.lease_only("after ready").await;
        bench.complete(&leased.lease).await;
    }
}

pub(super) async fn it_returns_when_an_event_is_due_already(bench: Bench) {
    bench.accept(&bench.acme, sample::ticket(1)).await;
    let waiting = waiting(&bench, LONG);
    expect_returns("an event was accepted before ready was called", waiting).await;
    bench.lease_only("after ready").await;
}

/// The clock is moved again and again: the wait begins only when the task is polled for the first time.
pub(super) async fn it_returns_after_the_longest_wait(bench: Bench) {
    let mut waiting = waiting(&bench, limits::QUEUE_IDLE);
    let pushed = tokio::time::timeout(PATIENCE, async {
        loop {
            bench.clock.advance(limits::QUEUE_IDLE);
            // A real millisecond: an adapter with a thread of its own needs a chance to run.
            match tokio::time::timeout(Duration::from_millis(1), &mut waiting).await {
                Ok(joined) => break joined.expect("ready does not panic"),
                Err(_) => continue,
            }
        }
    });
    if pushed.await.is_err() {
        panic!("ready with an empty queue\n  expected: it returns after the longest wait\n  seen:     it still waits");
    }
}
