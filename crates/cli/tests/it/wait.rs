//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(20);

/// Looks until `look` finds something, and gives that; fails the test after `limit`, telling what it waited for.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(EVERY).await;
    }
}

/// The limit for what takes moments on a quiet machine; a busy one may be much slower.
pub(crate) const SOON: Duration = Duration::from_secs(30);
