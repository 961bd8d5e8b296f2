//! A world that stands still until a test moves it: time, randomness and secrets.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use secrecy::SecretString;
use switchboard_core::{
    error::Result,
    ids::SecretName,
    ports::{Clock, Ids, Secrets, TenantScope},
    time::Timestamp,
};

/// 2026-11-20T08:00:00Z, where a [`FixedClock`] begins.
pub fn start() -> Timestamp {
    Timestamp::from_millis(1_795_161_600_000)
}

/// A clock that a test sets and moves. A clone shows the same time.
#[derive(Clone)]
pub struct FixedClock {
    hands: Arc<Mutex<Hands>>,
    auto: bool,
}

struct Hands {
    wall: Timestamp,
    monotonic: Duration,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
    sleeps: u64,
}

impl Default for FixedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl FixedClock {
    /// A clock at [`start`] that moves only when it is told to.
    pub fn new() -> Self {
        Self::at(start(), Duration::from_secs(1_000))
    }

    /// A clock with these two readings.
    pub fn at(wall: Timestamp, monotonic: Duration) -> Self {
        let hands = Hands { wall, monotonic, sleepers: BTreeMap::new(), sleeps: 0 };
        Self { hands: Arc::new(Mutex::new(hands)), auto: false }
    }

    /// A clock at [`start`] that moves itself to the end of every sleep that is polled, for code that waits and tries
    /// again. A time limit around true I/O fires at once on it.
    pub fn auto() -> Self {
        Self { auto: true, ..Self::new() }
    }

    /// Moves wall clock and monotonic time, and wakes who has slept long enough.
    pub fn advance(&self, duration: Duration) {
        let hands = self.hands();
        let to = hands.monotonic.saturating_add(duration);
        advance_to(hands, to);
    }

    /// Sets the wall clock alone, either way: an operator or NTP corrected it.
    pub fn jump(&self, wall: Timestamp) {
        self.hands().wall = wall;
    }

    /// The monotonic time at which the next sleeper wakes.
    pub fn next_wake(&self) -> Option<Duration> {
        self.hands().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// How many sleeps are under way.
    pub fn sleepers(&self) -> usize {
        self.hands().sleepers.len()
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        lock(&self.hands)
    }
}

/// Wakers run after the lock is given back: one of them may look at the clock.
fn advance_to(mut hands: MutexGuard<'_, Hands>, to: Duration) {
    let by = to.saturating_sub(hands.monotonic);
    hands.wall = hands.wall.plus(by);
    hands.monotonic += by;
    let later = hands.sleepers.split_off(&(to, u64::MAX));
    let due = std::mem::replace(&mut hands.sleepers, later);
    drop(hands);
    due.into_values().flatten().for_each(Waker::wake);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.hands().wall
    }

    fn monotonic(&self) -> Duration {
        self.hands().monotonic
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut hands = self.hands();
        hands.sleeps += 1;
        let key = (hands.monotonic.saturating_add(duration), hands.sleeps);
        if !duration.is_zero() {
            hands.sleepers.insert(key, None);
        }
        Box::pin(Sleep { hands: Arc::clone(&self.hands), key, auto: self.auto })
    }
}

struct Sleep {
    hands: Arc<Mutex<Hands>>,
    key: (Duration, u64),
    auto: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut hands = lock(&self.hands);
        if hands.monotonic >= self.key.0 {
            return Poll::Ready(());
        }
        if self.auto {
            advance_to(hands, self.key.0);
            return Poll::Ready(());
        }
        hands.sleepers.insert(self.key, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.hands).sleepers.remove(&self.key);
    }
}

/// Randomness that is the same in every run with the same seed.
pub struct SeededIds(Mutex<Generator>);

struct Generator {
    state: u64,
    last: u128,
}

impl SeededIds {
    /// The randomness of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Generator { state: seed, last: 0 }))
    }
}

impl Default for SeededIds {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Generator {
    /// SplitMix64 of Steele, Lea and Flood.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Ids for SeededIds {
    fn fill(&self, bytes: &mut [u8]) {
        let mut generator = lock(&self.0);
        for chunk in bytes.chunks_mut(8) {
            let word = generator.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    fn ulid(&self, now: Timestamp) -> ulid::Ulid {
        let mut generator = lock(&self.0);
        let random = (u128::from(generator.next()) << 16) | u128::from(generator.next() >> 48);
        let wanted = ulid::Ulid::from_parts(now.as_millis().unsigned_abs(), random);
        let next = if wanted.timestamp_ms() > ulid::Ulid::from(generator.last).timestamp_ms() {
            u128::from(wanted)
        } else {
            generator.last + 1 + (random & 0xffff)
        };
        generator.last = next;
        ulid::Ulid::from(next)
    }
}

/// Secrets of a list that a test may change; every tenant gets the same ones.
#[derive(Default)]
pub struct MapSecrets(Mutex<BTreeMap<SecretName, SecretString>>);

impl MapSecrets {
    /// No secrets.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more; the name must have the form of one.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.put(name.parse().expect("the name of a secret"), value);
        self
    }

    /// Puts one there, in the place of the one that is there already.
    pub fn put(&self, name: SecretName, value: &str) {
        lock(&self.0).insert(name, value.into());
    }

    /// Takes one away.
    pub fn remove(&self, name: &SecretName) {
        lock(&self.0).remove(name);
    }
}

#[async_trait]
impl Secrets for MapSecrets {
    async fn secret(&self, _scope: &TenantScope, name: &SecretName) -> Result<Option<SecretString>> {
        Ok(lock(&self.0).get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts;

    #[tokio::test]
    async fn seeded_ids_keep_the_contract() {
        contracts::ids(async || SeededIds::default()).await;
    }

    #[tokio::test]
    async fn a_clock_that_moves_itself_keeps_the_contract() {
        contracts::clock(async || FixedClock::auto()).await;
    }

    #[async_trait]
    impl contracts::secrets::Operated for Arc<MapSecrets> {
        fn secrets(&self) -> Arc<dyn Secrets> {
            self.clone()
        }

        async fn put(&self, name: &SecretName, value: &str) {
            MapSecrets::put(self, name.clone(), value);
        }

        async fn remove(&self, name: &SecretName) {
            MapSecrets::remove(self, name);
        }
    }

    #[tokio::test]
    async fn secrets_of_a_list_keep_the_contract() {
        contracts::secrets(async || Arc::new(MapSecrets::new())).await;
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come() {
        let clock = FixedClock::new();
        let sleeper = tokio::spawn(clock.sleep(Duration::from_secs(10)));
        let given_up = clock.sleep(Duration::from_secs(5));
        assert_eq!(clock.sleepers(), 2);
        drop(given_up);
        tokio::task::yield_now().await;
        clock.jump(start().plus(Duration::from_secs(60)));
        clock.advance(Duration::from_millis(9_999));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_millis(1));
        sleeper.await.unwrap();
        assert_eq!(clock.now(), start().plus(Duration::from_secs(70)));
        assert_eq!(clock.sleepers(), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let ids = |seed| SeededIds::new(seed).ulid(start());
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
    }
}
