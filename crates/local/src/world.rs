//! The machine's clock and randomness: the only place that asks for them directly.
#![allow(clippy::disallowed_methods, reason = "this is the adapter behind the ports `Clock` and `Ids`")]

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use switchboard_core::{
    ports::{Clock, Ids},
    time::Timestamp,
};
use ulid::Ulid;

/// The machine's clocks.
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The operating system's randomness.
#[derive(Default)]
pub struct SystemIds {
    last: Mutex<Option<Ulid>>,
}

impl Ids for SystemIds {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // Going on with predictable bytes would make guessable keys: stopping is the safe answer.
            tracing::error!("the operating system gives no randomness");
            std::process::abort();
        }
    }

    fn ulid(&self, now: Timestamp) -> Ulid {
        let mut random = [0; 16];
        self.fill(&mut random);
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let fresh = Ulid::from_parts(millis, u128::from_le_bytes(random));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match *last {
            Some(last) if last.timestamp_ms() >= millis => last.increment().unwrap_or(fresh),
            _ => fresh,
        };
        *last = Some(next);
        next
    }
}
