//! How often: the generic cell rate algorithm of `governor`, by address, key and tenant, on the port's clock.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter, clock, clock::Clock as _, middleware::NoOpMiddleware, state::keyed::HashMapStateStore,
};
use switchboard_core::{
    access::{Principal, Who},
    error::{FieldError, PublicCode},
    ids::TenantId,
    limits,
    ports::Clock,
};

use super::{Limits, client};
use crate::Problem;

/// Names that one limit keeps apart. From there on new ones share [`SHARED`] counts: a flood from ever new addresses costs
/// precision and no memory.
const NAMES: usize = 50_000;
const SHARED: u64 = 1_024;
/// Checks between two looks at the number of names.
const LOOK_EVERY: u32 = 512;

/// All rates.
pub(crate) struct Rates {
    addresses: Option<Rate<IpAddr>>,
    watchers: Option<Rate<IpAddr>>,
    failed_attempt_cost: u32,
    keys: Option<Rate<Who>>,
    tenants: Option<Rate<TenantId>>,
    key_tickets: Option<Rate<Who>>,
    tenant_tickets: Option<Rate<TenantId>>,
}

impl Rates {
    pub(crate) fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        let requests = |per_second: u32| (per_second, per_second.saturating_mul(limits.burst_seconds));
        let tickets = |per_second: u32| {
            let batch = u32::try_from(limits::BATCH_TICKETS).unwrap_or(u32::MAX);
            (per_second, per_second.saturating_mul(limits.burst_seconds).max(batch))
        };
        Self {
            addresses: Rate::new(requests(limits.address_requests_per_second), clock),
            watchers: Rate::new(requests(limits.address_requests_per_second), clock),
            failed_attempt_cost: limits.failed_attempt_cost,
            keys: Rate::new(requests(limits.key_requests_per_second), clock),
            tenants: Rate::new(requests(limits.tenant_requests_per_second), clock),
            key_tickets: Rate::new(tickets(limits.key_tickets_per_second), clock),
            tenant_tickets: Rate::new(tickets(limits.tenant_tickets_per_second), clock),
        }
    }

    /// A request from `address`.
    pub(crate) fn request(&self, address: IpAddr) -> Result<(), Problem> {
        count(self.addresses.as_ref(), &client::counted(address), 1, "this address may send", "requests")
    }

    /// A request from `address` for the state of the server, counted by itself: who has sent too much else may still look.
    pub(crate) fn watching(&self, address: IpAddr) -> Result<(), Problem> {
        count(self.watchers.as_ref(), &client::counted(address), 1, "this address may send", "requests")
    }

    /// An attempt with a wrong key from `address`: it takes from what the address may send, down to nothing.
    pub(crate) fn failed_attempt(&self, address: IpAddr) {
        let Some(rate) = &self.addresses else { return };
        let address = client::counted(address);
        // The request itself was counted when it came in.
        for _ in 1..self.failed_attempt_cost {
            if rate.count(&address, NonZeroU32::MIN).is_err() {
                return;
            }
        }
    }

    /// A request of `principal`.
    pub(crate) fn key(&self, principal: &Principal) -> Result<(), Problem> {
        count(self.keys.as_ref(), &principal.who, 1, "this API key may send", "requests")?;
        self.tenant(&principal.tenant)
    }

    /// A request of `tenant`.
    pub(crate) fn tenant(&self, tenant: &TenantId) -> Result<(), Problem> {
        count(self.tenants.as_ref(), tenant, 1, "all keys of the tenant together may send", "requests")
    }

    /// Tickets that `principal` sends in. A batch costs as much as its tickets one by one, so it is no way round.
    pub(crate) fn tickets(&self, principal: &Principal, tickets: usize) -> Result<(), Problem> {
        let tickets = u32::try_from(tickets).unwrap_or(u32::MAX);
        count(self.key_tickets.as_ref(), &principal.who, tickets, "this API key may send", "tickets")?;
        self.tenant_tickets(&principal.tenant, tickets)
    }

    /// Tickets that are sent in for `tenant`.
    pub(crate) fn tenant_tickets(&self, tenant: &TenantId, tickets: u32) -> Result<(), Problem> {
        let whose = "all keys of the tenant together may send";
        count(self.tenant_tickets.as_ref(), tenant, tickets, whose, "tickets")
    }
}

fn count<K: Clone + Eq + Hash>(
    rate: Option<&Rate<K>>,
    name: &K,
    number: u32,
    who: &str,
    what: &str,
) -> Result<(), Problem> {
    let (Some(rate), Some(number)) = (rate, NonZeroU32::new(number)) else { return Ok(()) };
    rate.count(name, number).map_err(|refusal| match refusal {
        Refusal::Wait(wait) => {
            let detail = format!("{who} {} {what} a second; try again after Retry-After", rate.per_second);
            Problem::new(PublicCode::TooManyRequests, detail).retry_after(wait)
        }
        Refusal::Never => {
            let detail = format!("has {number} {what}; {who} at most {} at once", rate.burst);
            Problem::invalid_fields(vec![FieldError::new("", detail)])
        }
    })
}

/// Why something is not let through.
#[derive(Debug, PartialEq)]
enum Refusal {
    /// It will be after this time, when nothing else comes.
    Wait(Duration),
    /// It is more than may ever come at once.
    Never,
}

/// A rate that holds for each name alone.
struct Rate<K: Clone + Eq + Hash> {
    per_second: u32,
    burst: NonZeroU32,
    limiter: RateLimiter<Name<K>, HashMapStateStore<Name<K>>, Ticks, NoOpMiddleware<Duration>>,
    clock: Ticks,
    checks: AtomicU32,
    is_full: AtomicBool,
    hasher: RandomState,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name<K> {
    Own(K),
    Shared(u64),
}

/// The port's monotonic time as `governor` wants it.
#[derive(Clone)]
struct Ticks(Arc<dyn Clock>);

impl clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

impl<K: Clone + Eq + Hash> Rate<K> {
    fn new((per_second, burst): (u32, u32), clock: &Arc<dyn Clock>) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(burst).unwrap_or(rate);
        let clock = Ticks(Arc::clone(clock));
        Some(Self {
            per_second,
            burst,
            limiter: RateLimiter::hashmap_with_clock(Quota::per_second(rate).allow_burst(burst), clock.clone()),
            clock,
            checks: AtomicU32::new(0),
            is_full: AtomicBool::new(false),
            hasher: RandomState::new(),
        })
    }

    fn count(&self, name: &K, number: NonZeroU32) -> Result<(), Refusal> {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            self.forget();
        }
        let name = match self.is_full.load(Ordering::Relaxed) {
            false => Name::Own(name.clone()),
            true => Name::Shared(self.hasher.hash_one(name) % SHARED),
        };
        let wait = |until: NotUntil<Duration>| Refusal::Wait(until.wait_time_from(self.clock.now()));
        match number.get() {
            1 => self.limiter.check_key(&name).map_err(wait),
            _ => self.limiter.check_key_n(&name, number).map_err(|_| Refusal::Never)?.map_err(wait),
        }
    }

    /// Forgets the names that have their whole burst again.
    fn forget(&self) {
        if self.limiter.len() > NAMES / 2 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.is_full.store(self.limiter.len() >= NAMES, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use switchboard_core::access::Scope;

    use super::*;
    use crate::tests::Still;

    const SECOND: Duration = Duration::from_secs(1);

    fn rates(limits: Limits) -> (Rates, Arc<Still>) {
        let clock = Arc::new(Still::default());
        let port: Arc<dyn Clock> = clock.clone();
        (Rates::new(&limits, &port), clock)
    }

    fn principal(key: &str, tenant: &str) -> Principal {
        let (key, tenant) = (key.parse().unwrap(), tenant.parse().unwrap());
        Principal { who: Who::Key(key), name: String::new(), tenant, role: None, scopes: vec![Scope::TicketsWrite] }
    }

    fn let_through(mut one: impl FnMut() -> Result<(), Problem>) -> usize {
        (0..100_000).take_while(|_| one().is_ok()).count()
    }

    #[test]
    fn a_key_has_its_burst_then_its_rate() {
        let (rates, clock) = rates(Limits { key_requests_per_second: 100, burst_seconds: 2, ..Limits::default() });
        let (one, other) = (principal("0000000000000001", "acme"), principal("0000000000000002", "acme"));
        assert_eq!(let_through(|| rates.key(&one)), 200);
        assert_eq!(let_through(|| rates.key(&other)), 200, "another key of the tenant is not concerned");
        clock.advance(SECOND / 2);
        assert_eq!(let_through(|| rates.key(&one)), 50);
        let problem = rates.key(&one).unwrap_err();
        assert_eq!((problem.status, problem.retry_after), (429, Some(1)));
        assert_eq!(problem.detail, "this API key may send 100 requests a second; try again after Retry-After");
        clock.advance(SECOND * 100);
        assert_eq!(let_through(|| rates.key(&one)), 200, "what was not used is kept up to the burst");
    }

    #[test]
    fn all_keys_of_a_tenant_share_its_rate() {
        let (rates, _) = rates(Limits { tenant_requests_per_second: 10, burst_seconds: 1, ..Limits::default() });
        let keys = [principal("0000000000000001", "acme"), principal("0000000000000002", "acme")];
        let mut n = 0;
        let mut next = || {
            n += 1;
            rates.key(&keys[n % 2])
        };
        assert_eq!(let_through(&mut next), 10);
        assert_eq!(let_through(|| rates.key(&principal("0000000000000003", "globex"))), 10);
    }

    #[test]
    fn a_batch_counts_each_of_its_tickets() {
        let limits = Limits { key_tickets_per_second: 100, burst_seconds: 2, ..Limits::default() };
        let (rates, clock) = rates(limits);
        let caller = principal("0000000000000001", "acme");
        rates.tickets(&caller, 1_000).unwrap();
        assert_eq!(rates.tickets(&caller, 1_000).unwrap_err().retry_after, Some(10), "a thousand need ten seconds");
        assert_eq!(rates.tickets(&caller, 1).unwrap_err().retry_after, Some(1));
        rates.tickets(&caller, 0).unwrap();
        clock.advance(SECOND);
        rates.tickets(&caller, 60).unwrap();
        rates.tickets(&caller, 41).unwrap_err();
        rates.tickets(&caller, 40).unwrap();
        clock.advance(SECOND * 60);
        let never = rates.tickets(&caller, 1_001).unwrap_err();
        assert_eq!((never.status, never.retry_after), (422, None));
    }

    #[test]
    fn wrong_keys_use_an_address_up_sooner() {
        let limits =
            Limits { address_requests_per_second: 100, failed_attempt_cost: 10, burst_seconds: 1, ..Limits::default() };
        let (rates, clock) = rates(limits);
        let attempt = |address: u32| {
            let address = IpAddr::V4(Ipv4Addr::from(address));
            rates.request(address)?;
            rates.failed_attempt(address);
            Ok(())
        };
        assert_eq!(let_through(|| attempt(1)), 10);
        assert_eq!(let_through(|| attempt(2)), 10, "another address is not concerned");
        clock.advance(SECOND);
        assert_eq!(let_through(|| attempt(1)), 10);
    }

    #[test]
    fn a_flood_from_ever_new_addresses_takes_no_more_memory() {
        let (rates, clock) = rates(Limits { address_requests_per_second: 10, burst_seconds: 1, ..Limits::default() });
        let flood = |from: u32| {
            for n in from..from + 200_000 {
                let _ = rates.request(IpAddr::V4(Ipv4Addr::from(n)));
            }
        };
        let names = || rates.addresses.as_ref().unwrap().limiter.len();
        flood(0);
        assert!((NAMES..NAMES + 2 * LOOK_EVERY as usize + SHARED as usize).contains(&names()), "{}", names());
        assert_eq!(let_through(|| rates.request(IpAddr::V4(Ipv4Addr::from(7)))), 0, "shared counts are used up");
        clock.advance(SECOND * 2);
        flood(1_000_000);
        assert!(names() < NAMES + 2 * LOOK_EVERY as usize + SHARED as usize, "{}", names());
        clock.advance(SECOND * 2);
        rates.addresses.as_ref().unwrap().forget();
        assert_eq!(names(), 0, "addresses that have their burst again are forgotten");
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (rates, _) = rates(Limits::default());
        let caller = principal("0000000000000001", "acme");
        for _ in 0..10_000 {
            rates.key(&caller).unwrap();
            rates.tickets(&caller, 1_000).unwrap();
            rates.request(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        }
    }
}
