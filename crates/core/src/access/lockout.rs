//! Wrong passwords, and how long who sends them has to wait.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::limits;

/// Slows down who guesses passwords: after some failures of one address, and after many of all together, each further one
/// has to wait twice as long.
///
/// An attempt counts as failed from its beginning on, so that many at the same time get no more tries than one after the
/// other; the right password takes the count of its address back. An IPv6 address counts with all others of its /64, which
/// is what one household or machine has. Memory is bounded: of very many addresses the longest silent ones are forgotten,
/// and the count of all together still holds.
#[derive(Default)]
pub struct Lockout(Mutex<State>);

#[derive(Default)]
struct State {
    of: HashMap<Option<IpAddr>, Failures>,
    all: Failures,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u64,
    last: Duration,
    locked_until: Duration,
}

/// The right to try one password.
#[derive(Debug)]
pub struct Attempt {
    from: Option<IpAddr>,
    before: u64,
    locks: Option<(Duration, u64)>,
}

/// Sign-in is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// For so long.
    pub wait: Duration,
}

impl Attempt {
    /// For how long sign-in is locked if this attempt is wrong, and after how many failures; `None` when it is not.
    pub fn locks(&self) -> Option<(Duration, u64)> {
        self.locks
    }

    /// How many attempts of the same address went wrong before.
    pub fn failures_before(&self) -> u64 {
        self.before
    }
}

impl Lockout {
    /// Lets one attempt through, or says how long to wait. `now` is monotonic.
    pub fn begin(&self, address: Option<IpAddr>, now: Duration) -> Result<Attempt, Locked> {
        let from = address.map(network);
        let mut state = self.state();
        let known = state.of.get(&from).copied().unwrap_or_default().remembered(now);
        let all = state.all.remembered(now);
        let locked = known.locked_until.max(all.locked_until);
        if now < locked {
            return Err(Locked { wait: locked - now });
        }
        let (known_next, own_wait) = known.one_more(now, limits::LOGIN_FAILURES, limits::LOGIN_LOCK_MOST);
        let (all_next, all_wait) = all.one_more(now, limits::LOGIN_FAILURES_OF_ALL, limits::LOGIN_LOCK_OF_ALL_MOST);
        if !state.of.contains_key(&from) && state.of.len() >= limits::LOGIN_ADDRESSES {
            let silent = state.of.iter().min_by_key(|(_, failures)| failures.last).map(|(from, _)| *from);
            silent.and_then(|silent| state.of.remove(&silent));
        }
        state.of.insert(from, known_next);
        state.all = all_next;
        let locks = own_wait.max(all_wait).map(|wait| (wait, known_next.count));
        Ok(Attempt { from, before: known.count, locks })
    }

    /// The attempt was right: its address begins anew.
    pub fn forgive(&self, attempt: &Attempt) {
        let mut state = self.state();
        state.of.remove(&attempt.from);
        state.all.count = state.all.count.saturating_sub(1);
        if state.all.count < limits::LOGIN_FAILURES_OF_ALL {
            state.all.locked_until = Duration::ZERO;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn remembered(self, now: Duration) -> Self {
        if now.saturating_sub(self.last) >= limits::LOGIN_FORGOTTEN { Self::default() } else { self }
    }

    /// After one more failure; and for how long that locks, if it does.
    fn one_more(self, now: Duration, free: u64, most: Duration) -> (Self, Option<Duration>) {
        let count = self.count.saturating_add(1);
        if count < free {
            return (Self { count, last: now, ..self }, None);
        }
        let doublings = u32::try_from(count - free).unwrap_or(u32::MAX).min(31);
        let wait = limits::LOGIN_LOCK_LEAST.saturating_mul(1 << doublings).min(most);
        (Self { count, last: now, locked_until: now + wait }, Some(wait))
    }
}

/// The address, or of IPv6 the /64 that it is in.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)))
    }

    fn wait(lockout: &Lockout, from: Option<IpAddr>, now: Duration) -> u64 {
        lockout.begin(from, now).err().map_or(0, |locked| locked.wait.as_secs())
    }

    #[test]
    fn five_failures_lock_and_each_further_one_doubles_the_wait() {
        let lockout = Lockout::default();
        for n in 1..=5 {
            let attempt = lockout.begin(address(1), START).unwrap();
            assert_eq!(attempt.locks().is_some(), n == 5, "{n}");
            assert_eq!(attempt.failures_before(), n - 1);
        }
        let mut now = START;
        for expected in [30, 60, 120, 240] {
            assert_eq!(wait(&lockout, address(1), now), expected);
            assert_eq!(wait(&lockout, address(2), now), 0, "another address is free");
            now += Duration::from_secs(expected);
            lockout.begin(address(1), now).unwrap();
        }
        for _ in 0..100 {
            now += limits::LOGIN_LOCK_MOST;
            lockout.begin(address(1), now).unwrap();
        }
        assert_eq!(wait(&lockout, address(1), now), limits::LOGIN_LOCK_MOST.as_secs());
        now += limits::LOGIN_FORGOTTEN;
        assert!(lockout.begin(address(1), now).unwrap().locks().is_none(), "forgotten");
    }

    #[test]
    fn the_right_password_begins_anew() {
        let lockout = Lockout::default();
        for _ in 0..1_000 {
            for _ in 0..3 {
                lockout.begin(address(1), START).unwrap();
            }
            let right = lockout.begin(address(1), START);
            lockout.forgive(&right.unwrap());
            // Those of all together stay counted, or the three wrong ones before each right one would be free.
            if lockout.state().all.count >= limits::LOGIN_FAILURES_OF_ALL - 4 {
                break;
            }
        }
        assert!(lockout.begin(address(1), START).unwrap().failures_before() == 0);
    }

    #[test]
    fn many_addresses_together_lock_for_a_short_while_only() {
        let lockout = Lockout::default();
        let mut now = START;
        for n in 0..u32::try_from(limits::LOGIN_FAILURES_OF_ALL).unwrap() {
            lockout.begin(address(n), now).unwrap();
        }
        assert_eq!(wait(&lockout, address(999_999), now), limits::LOGIN_LOCK_LEAST.as_secs());
        for n in 0..50 {
            now += limits::LOGIN_LOCK_OF_ALL_MOST;
            lockout.begin(address(1_000_000 + n), now).unwrap();
        }
        assert_eq!(wait(&lockout, address(5), now), limits::LOGIN_LOCK_OF_ALL_MOST.as_secs());
    }

    #[test]
    fn memory_is_bounded_and_a_network_counts_as_one() {
        let lockout = Lockout::default();
        let mut now = START;
        for n in 0..u32::try_from(limits::LOGIN_ADDRESSES).unwrap() + 50 {
            now += limits::LOGIN_LOCK_OF_ALL_MOST;
            lockout.begin(address(n), now).unwrap();
        }
        assert_eq!(lockout.state().of.len(), limits::LOGIN_ADDRESSES);
        let lockout = Lockout::default();
        for n in 0..5_u16 {
            lockout.begin(Some(IpAddr::from([0x2001, 0xdb8, 0, 1, n, 2, 3, 4])), START).unwrap();
        }
        assert_eq!(wait(&lockout, Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9])), START), 30);
        assert_eq!(wait(&lockout, Some(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1])), START), 0);
    }
}
