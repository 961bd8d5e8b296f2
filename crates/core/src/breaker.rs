//! A circuit breaker for each tenant's connection to another system, so that a dead system costs neither every ticket its
//! time limit nor the worker its hands. Ticketing systems, sources and language models share it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind, Result, Retry},
    ids::TenantId,
    ports::Clock,
    tenants::Tenant,
};

/// Failures in a row after which a system is left alone.
const FAILURES: u32 = 5;
/// How long it is left alone before one call tries again.
const REST: Duration = Duration::from_secs(10);
/// The longest rest of [`Rests::Growing`]: an outage of hours is noticed to be over within this time.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// The longest that the other side's `Retry-After` is believed.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);
/// How soon those come back that meet a probe on its way, or a system in trouble with enough calls in hand.
const SOON: Duration = Duration::from_secs(2);
/// A call that takes longer is a sign of trouble.
const SLOW: Duration = Duration::from_secs(5);
/// So are failures in a row: one or two happen to everybody.
const FAILURES_IN_TROUBLE: u32 = 3;
/// Calls at the same time to a system in trouble.
const CALLS_IN_TROUBLE: usize = 8;
/// Connections that are watched; beyond that the one used longest ago starts anew.
const WATCHED: u64 = 10_000;

/// How long a system that keeps failing is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rests {
    /// Always the same time: for questions that a ticket's decision can do without.
    Even,
    /// Twice as long after each probe that fails: for work that waits and comes back each time.
    Growing,
}

/// The breakers of one adapter, one for each tenant and connection, which is named by its URL or likewise.
pub struct Breakers {
    clock: Arc<dyn Clock>,
    rests: Rests,
    slow: Duration,
    watched: moka::sync::Cache<(TenantId, String), Arc<Mutex<Breaker>>>,
}

struct Breaker {
    rests: Rests,
    slow: Duration,
    /// In a row.
    failures: u32,
    /// Rests in a row.
    rested: u32,
    resting: Option<Resting>,
    /// When each call began that is on its way, by its number.
    in_hand: BTreeMap<u64, Duration>,
    calls: u64,
}

/// On the monotonic clock.
#[derive(Clone, Copy)]
struct Resting {
    until: Duration,
    /// The other side asked for it, so a success that is late changes nothing.
    asked: bool,
    /// A probe is on its way.
    probing: bool,
}

/// What a call tells of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answers.
    Up,
    /// It answers, and asks to be left alone.
    Asks(Duration),
    /// It fails; perhaps it says for how long.
    Down(Duration),
    /// Nothing: the call did not get that far.
    None,
}

/// A call that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pass {
    call: u64,
    is_probe: bool,
}

impl Breakers {
    /// No connection is watched yet.
    pub fn new(clock: Arc<dyn Clock>, rests: Rests) -> Self {
        Self { clock, rests, slow: SLOW, watched: moka::sync::Cache::new(WATCHED) }
    }

    /// The same for systems whose calls may well take so long: only longer ones are a sign of trouble.
    pub fn with_slow(self, slow: Duration) -> Self {
        Self { slow, ..self }
    }

    /// How long a call that came now would be put off, if at all. Asking is no call.
    pub fn stops(&self, tenant: &Tenant, connection: &str) -> Option<Duration> {
        let breaker = self.watched.get(&(tenant.id.clone(), connection.to_owned()))?;
        lock(&breaker).stops(self.clock.monotonic())
    }

    /// Begins a call unless the system rests; then it says for how long.
    ///
    /// # Errors
    /// How long to stay away.
    pub fn enter(&self, tenant: &Tenant, connection: &str) -> std::result::Result<Call, Duration> {
        let key = (tenant.id.clone(), connection.to_owned());
        let breaker = self.watched.get_with(key, || Arc::new(Mutex::new(Breaker::new(self.rests, self.slow))));
        let started = self.clock.monotonic();
        let pass = lock(&breaker).lets_through(started)?;
        Ok(Call { breaker, clock: self.clock.clone(), pass, started, slow: self.slow, sign: None })
    }

    /// Runs `work` unless the system rests; then the answer is `Unavailable` at once, naming `who`, and put off to the end
    /// of the rest.
    ///
    /// # Errors
    /// Those of `work`, and [`ErrorKind::Unavailable`].
    pub async fn run<T>(
        &self,
        tenant: &Tenant,
        connection: &str,
        who: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let call = self.enter(tenant, connection).map_err(|wait| {
            let message =
                format!("{who} failed or asked for a pause, and is left alone for {} s", wait.as_secs().max(1));
            Error::new(ErrorKind::Unavailable, message).deferred(wait)
        })?;
        let outcome = work.await;
        call.ended(sign(&outcome));
        outcome
    }
}

/// A call on its way. It is settled also when it is dropped half-way, as one that runs out of its caller's time is.
pub struct Call {
    breaker: Arc<Mutex<Breaker>>,
    clock: Arc<dyn Clock>,
    pass: Pass,
    started: Duration,
    slow: Duration,
    sign: Option<Sign>,
}

impl Call {
    /// The call has ended, and says this of the other side.
    pub fn ended(mut self, sign: Sign) {
        self.sign = Some(sign);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        let took_long = now.saturating_sub(self.started) >= self.slow;
        let dropped = if took_long { Sign::Down(Duration::ZERO) } else { Sign::None };
        lock(&self.breaker).settle(self.pass, self.sign.unwrap_or(dropped), now);
    }
}

fn sign<T>(outcome: &Result<T>) -> Sign {
    let Err(error) = outcome else { return Sign::Up };
    let wish = match error.retry() {
        Retry::After(wish) => wish,
        Retry::Never | Retry::Later => Duration::ZERO,
    };
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadAnswer => Sign::Down(wish),
        ErrorKind::Throttled if !wish.is_zero() => Sign::Asks(wish),
        ErrorKind::Throttled
        | ErrorKind::Refused
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Unauthorized
        | ErrorKind::Forbidden => Sign::Up,
        ErrorKind::Invalid
        | ErrorKind::LeaseLost
        | ErrorKind::StorageFull
        | ErrorKind::Overloaded
        | ErrorKind::BacklogFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::Internal => Sign::None,
    }
}

impl Sign {
    /// The same, with the other side's wish believed up to a bound.
    fn bounded(self) -> Self {
        match self {
            Self::Asks(wish) => Self::Asks(wish.min(LONGEST_WISH)),
            Self::Down(wish) => Self::Down(wish.min(LONGEST_WISH)),
            Self::Up | Self::None => self,
        }
    }
}

impl Breaker {
    fn new(rests: Rests, slow: Duration) -> Self {
        Self { rests, slow, failures: 0, rested: 0, resting: None, in_hand: BTreeMap::new(), calls: 0 }
    }

    /// Lets the call through, or says how long to stay away. The first call after a rest is the probe. It begins the next
    /// rest, so that the calls beside it are not let through, and a probe that never ends leaves nothing behind.
    fn lets_through(&mut self, now: Duration) -> std::result::Result<Pass, Duration> {
        if let Some(wait) = self.stops(now) {
            return Err(wait);
        }
        let is_probe = self.resting.is_some();
        if let Some(resting) = &mut self.resting {
            *resting = Resting { until: now + REST, probing: true, ..*resting };
        }
        self.calls += 1;
        self.in_hand.insert(self.calls, now);
        Ok(Pass { call: self.calls, is_probe })
    }

    /// How long a call that came now would have to stay away, if at all.
    fn stops(&self, now: Duration) -> Option<Duration> {
        let Some(resting) = &self.resting else {
            let oldest = self.in_hand.values().next();
            let hangs = oldest.is_some_and(|began| now.saturating_sub(*began) >= self.slow);
            let in_trouble = hangs || self.failures >= FAILURES_IN_TROUBLE;
            return (in_trouble && self.in_hand.len() >= CALLS_IN_TROUBLE).then_some(SOON);
        };
        let rest = resting.until.checked_sub(now).filter(|rest| !rest.is_zero())?;
        Some(if resting.probing { rest.min(SOON) } else { rest })
    }

    fn settle(&mut self, pass: Pass, sign: Sign, now: Duration) {
        self.in_hand.remove(&pass.call);
        let sign = sign.bounded();
        if let Some(resting) = self.resting.as_mut().filter(|_| !pass.is_probe) {
            // It began before the rest did.
            match sign {
                Sign::Asks(wish) => resting.until = resting.until.max(now + wish),
                Sign::Up if !resting.asked => self.close(),
                Sign::Up | Sign::Down(_) | Sign::None => {}
            }
            return;
        }
        match sign {
            Sign::Up => self.close(),
            Sign::Asks(wish) => {
                self.close();
                self.resting = Some(Resting { until: now + wish, asked: true, probing: false });
            }
            Sign::Down(wish) => {
                self.failures = self.failures.saturating_add(1);
                if pass.is_probe || self.failures >= FAILURES {
                    let until = now + self.rest().max(wish);
                    self.rested = self.rested.saturating_add(1);
                    self.resting = Some(Resting { until, asked: false, probing: false });
                }
            }
            Sign::None => {}
        }
    }

    fn close(&mut self) {
        (self.failures, self.rested, self.resting) = (0, 0, None);
    }

    fn rest(&self) -> Duration {
        match self.rests {
            Rests::Even => REST,
            Rests::Growing => REST.saturating_mul(1 << self.rested.min(16)).min(LONGEST_REST),
        }
    }
}

fn lock(breaker: &Mutex<Breaker>) -> MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
