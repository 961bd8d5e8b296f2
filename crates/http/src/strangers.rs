//! Room for bodies that must be read before anybody knows whose they are: the signature of a web hook is over its body. It is
//! small and apart from that of known callers, so that strangers who send and stop are in the way of nobody but strangers.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes of all strangers' bodies together.
const ALL_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the bodies that come from one address: four of the longest.
const ADDRESS_BYTES: usize = 4 * 1024 * 1024;

/// What strangers' bodies take.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Strangers {
    /// A body from `address`, of which nothing has come yet.
    pub(crate) fn guest(self: &Arc<Self>, address: Option<IpAddr>) -> Guest {
        Guest { room: Arc::clone(self), address, bytes: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room of one body, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    room: Arc<Strangers>,
    address: Option<IpAddr>,
    bytes: usize,
}

impl Guest {
    /// Takes room for more bytes; `false`, and nothing is taken, when there is none for this address or for all.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let mut taken = self.room.taken();
        let of_address = self.address.and_then(|address| taken.by_address.get(&address)).copied().unwrap_or(0);
        if bytes > ALL_BYTES - taken.all || bytes > ADDRESS_BYTES - of_address {
            return false;
        }
        taken.all += bytes;
        if let Some(address) = self.address {
            taken.by_address.insert(address, of_address + bytes);
        }
        drop(taken);
        self.bytes += bytes;
        true
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all -= self.bytes;
        let Some(address) = self.address else { return };
        let left = taken.by_address.get(&address).map_or(0, |bytes| bytes - self.bytes);
        match left {
            0 => taken.by_address.remove(&address),
            left => taken.by_address.insert(address, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_has_a_part_and_what_is_dropped_is_given_back() {
        let room = Arc::new(Strangers::default());
        let address = |n| Some(IpAddr::V4(Ipv4Addr::from_bits(n)));
        let mut first = room.guest(address(1));
        assert!(first.grow(ADDRESS_BYTES));
        assert!(!room.guest(address(1)).grow(1), "the address has its part");
        let others: Vec<_> = (2..=4)
            .map(|n| {
                let mut other = room.guest(address(n));
                assert!(other.grow(ADDRESS_BYTES));
                other
            })
            .collect();
        assert!(!room.guest(address(9)).grow(1), "the room is full");
        assert!(!room.guest(None).grow(1), "also for who has no address");
        drop(first);
        assert!(room.guest(address(1)).grow(1));
        drop(others);
        let taken = room.taken();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
