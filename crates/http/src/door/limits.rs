use std::time::Duration;

use serde::Deserialize;

/// How much the door lets through. 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second from one client address (of IPv6, from one /64 network).
    pub address_requests_per_second: u32,
    /// How many requests an attempt with a wrong key counts as.
    pub failed_attempt_cost: u32,
    /// Requests a second with one key.
    pub key_requests_per_second: u32,
    /// Requests a second of one tenant, with all its keys.
    pub tenant_requests_per_second: u32,
    /// Tickets a second with one key; each ticket of a batch counts.
    pub key_tickets_per_second: u32,
    /// Tickets a second of one tenant, with all its keys.
    pub tenant_tickets_per_second: u32,
    /// So many seconds' worth may come at once; of tickets, always a whole batch.
    pub burst_seconds: u32,
    /// Requests in work at the same time. One whose body is still on its way is not in work.
    pub requests_in_work: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Connections of one peer at the same time; trusted proxies are exempt.
    pub connections_per_address: usize,
    /// Time for a request's headers to arrive, counted from the connection's beginning or the answer before: it is the time
    /// that an idle connection is kept, too.
    pub header_seconds: u64,
    /// Time for a request's body to arrive.
    pub body_seconds: u64,
    /// Time for a request in all, from its headers to the first byte of its answer.
    pub request_seconds: u64,
    /// Time for the client to take an answer.
    pub answer_seconds: u64,
}

impl Limits {
    pub(crate) fn header_time(&self) -> Option<Duration> {
        seconds(self.header_seconds)
    }

    pub(crate) fn body_time(&self) -> Option<Duration> {
        seconds(self.body_seconds)
    }

    pub(crate) fn request_time(&self) -> Option<Duration> {
        seconds(self.request_seconds)
    }

    pub(crate) fn answer_time(&self) -> Option<Duration> {
        seconds(self.answer_seconds)
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
