use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::door::Limits;

/// Connections beyond the limit that are still answered, with a refusal, so that whoever watches the server can tell a full one
/// from a dead one.
const SURPLUS: usize = 32;

/// How many connections there are, and whose.
pub(super) struct Places {
    limit: usize,
    per_address: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    peer: Option<IpAddr>,
    is_surplus: bool,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let or_no_limit = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let (limit, per_address) = (or_no_limit(limits.connections), or_no_limit(limits.connections_per_address));
        Self { limit, per_address, taken: Arc::default() }
    }

    /// A place for a connection of `peer`; `None` as the peer is one whose connections are not counted for themselves.
    pub(super) fn take(&self, peer: Option<IpAddr>) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.limit.saturating_add(SURPLUS) {
            return None;
        }
        let is_surplus = taken.all >= self.limit;
        if let Some(peer) = peer {
            let own = taken.by.entry(peer).or_default();
            if *own >= self.per_address {
                return None;
            }
            *own += 1;
        }
        taken.all += 1;
        Some(Place { taken: Arc::clone(&self.taken), peer, is_surplus })
    }
}

impl Place {
    /// Whether it is beyond the limit.
    pub(super) fn is_surplus(&self) -> bool {
        self.is_surplus
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(peer) = self.peer
            && let Some(own) = taken.by.get_mut(&peer)
        {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn a_peer_has_its_share_and_places_come_back() {
        let places = Places::new(&Limits { connections_per_address: 2, ..Limits::default() });
        let (one, two) = (places.take(peer(1)).unwrap(), places.take(peer(1)).unwrap());
        assert!(places.take(peer(1)).is_none());
        assert!(places.take(peer(2)).is_some());
        let proxy: Vec<_> = (0..10).map(|_| places.take(None).unwrap()).collect();
        drop(one);
        let again = places.take(peer(1)).unwrap();
        assert!(places.take(peer(1)).is_none());
        drop((two, again, proxy));
        let taken = places.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by.len()), (0, 0), "addresses that are gone are forgotten");
    }

    #[test]
    fn a_full_server_has_a_few_places_for_refusals() {
        let places = Places::new(&Limits { connections: 3, ..Limits::default() });
        let all: Vec<_> = (0..100).map_while(|n| places.take(peer(n))).collect();
        assert_eq!(all.len(), 3 + SURPLUS);
        assert_eq!(all.iter().filter(|place| place.is_surplus()).count(), SURPLUS);
    }
}
