//! A circuit breaker for each tenant's source, so that a dead source does not cost every ticket its time limit.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    ports::Clock,
    tenants::Tenant,
};

/// Failures in a row after which a source is left alone.
const FAILURES: u32 = 5;
/// How long it is left alone before one call tries again.
const REST: Duration = Duration::from_secs(10);
/// Sources that are watched; beyond that the one used longest ago starts anew.
const WATCHED: u64 = 10_000;

/// The breakers of one adapter, one for each tenant and URL.
pub(crate) struct Breakers {
    clock: Arc<dyn Clock>,
    watched: moka::sync::Cache<(TenantId, String), Arc<Mutex<Breaker>>>,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    /// On the monotonic clock.
    resting_until: Option<Duration>,
}

impl Breakers {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, watched: moka::sync::Cache::new(WATCHED) }
    }

    /// Runs `work` unless the source rests; then the answer is `Unavailable` at once, naming `who`.
    pub(crate) async fn run<T>(
        &self,
        tenant: &Tenant,
        url: &str,
        who: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let breaker = self.watched.get_with((tenant.id.clone(), url.to_owned()), Arc::default);
        if !lock(&breaker).lets_through(self.clock.monotonic()) {
            let message = format!("{who} failed {FAILURES} times in a row and is left alone for a moment");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let outcome = work.await;
        let failed = outcome.as_ref().is_err_and(|error| {
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadAnswer)
        });
        lock(&breaker).note(failed, self.clock.monotonic());
        outcome
    }
}

impl Breaker {
    /// The first call after the rest is the probe. It begins the next rest, so that the calls beside it are not let
    /// through, and a probe that is dropped half-way leaves nothing behind.
    fn lets_through(&mut self, now: Duration) -> bool {
        match self.resting_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.resting_until = Some(now + REST);
                true
            }
        }
    }

    fn note(&mut self, failed: bool, now: Duration) {
        if !failed {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.resting_until = Some(now + REST);
        }
    }
}

fn lock(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn broken_at(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.lets_through(now));
            breaker.note(true, now);
        }
        breaker
    }

    #[test]
    fn it_rests_after_failures_in_a_row_only() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES - 1 {
            breaker.note(true, at(0));
        }
        breaker.note(false, at(0));
        for _ in 0..FAILURES - 1 {
            breaker.note(true, at(0));
        }
        assert!(breaker.lets_through(at(0)));
        breaker.note(true, at(0));
        assert!(!breaker.lets_through(at(0)));
    }

    #[test]
    fn one_probe_comes_through_after_the_rest() {
        let mut breaker = broken_at(at(100));
        assert!(!breaker.lets_through(at(109)));
        assert!(breaker.lets_through(at(110)));
        assert!(!breaker.lets_through(at(110)));
    }

    #[test]
    fn a_good_probe_closes_it_and_a_bad_one_begins_another_rest() {
        let mut breaker = broken_at(at(0));
        assert!(breaker.lets_through(at(10)));
        breaker.note(true, at(12));
        assert!(!breaker.lets_through(at(21)));
        assert!(breaker.lets_through(at(22)));
        breaker.note(false, at(23));
        assert!(breaker.lets_through(at(23)));
        breaker.note(true, at(23));
        assert!(breaker.lets_through(at(23)));
    }

    #[test]
    fn a_probe_that_is_dropped_does_not_close_it_for_ever() {
        let mut breaker = broken_at(at(0));
        assert!(breaker.lets_through(at(10)));
        assert!(!breaker.lets_through(at(19)));
        assert!(breaker.lets_through(at(20)));
    }
}
