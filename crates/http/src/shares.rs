//! Room for bodies of which nobody may take all: each address or tenant has a part of it at most, so that who sends and stops is
//! in the way of himself first.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use switchboard_core::ids::TenantId;

/// Bytes of all bodies whose callers are known only when they are read (a web hook's signature is over its body), and of those
/// that come from one address: four of the longest.
const STRANGERS_BYTES: (usize, usize) = (16 * 1024 * 1024, 4 * 1024 * 1024);
/// Bytes of all batches, and of those of one tenant: four, and one, of the longest.
const BATCHES_BYTES: (usize, usize) = (256 * 1024 * 1024, 64 * 1024 * 1024);

/// Whose part of the room a body takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// That of an address, as it is counted.
    Address(IpAddr),
    /// That of a tenant.
    Tenant(TenantId),
}

/// A room and what is taken of it.
#[derive(Debug)]
pub(crate) struct Shares {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<Whose, usize>,
}

impl Shares {
    fn new((all, each): (usize, usize)) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// For bodies of nobody known.
    pub(crate) fn of_strangers() -> Arc<Self> {
        Self::new(STRANGERS_BYTES)
    }

    /// For batches.
    pub(crate) fn of_batches() -> Arc<Self> {
        Self::new(BATCHES_BYTES)
    }

    /// For a body of which nothing has come yet. Without a name only the whole room bounds it.
    pub(crate) fn share(self: &Arc<Self>, whose: Option<Whose>) -> Share {
        Share { room: Arc::clone(self), whose, bytes: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room of one body, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Shares>,
    whose: Option<Whose>,
    bytes: usize,
}

impl Share {
    /// Takes room for more bytes; `false`, and nothing is taken, when there is none in the part or in all.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let mut taken = self.room.taken();
        let of_each = self.whose.as_ref().and_then(|whose| taken.each.get(whose)).copied().unwrap_or(0);
        if bytes > self.room.all - taken.all || bytes > self.room.each - of_each {
            return false;
        }
        taken.all += bytes;
        if let Some(whose) = &self.whose {
            taken.each.insert(whose.clone(), of_each + bytes);
        }
        drop(taken);
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all -= self.bytes;
        let Some(whose) = &self.whose else { return };
        match taken.each.get(whose).map_or(0, |bytes| bytes - self.bytes) {
            0 => taken.each.remove(whose),
            left => taken.each.insert(whose.clone(), left),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_has_a_part_and_what_is_dropped_is_given_back() {
        let room = Shares::new((40, 10));
        let share = |n| room.share(Some(Whose::Address(IpAddr::V4(Ipv4Addr::from_bits(n)))));
        let mut first = share(1);
        assert!(first.grow(10));
        assert!(!share(1).grow(1), "the address has its part");
        let others: Vec<_> = (2..=4)
            .map(|n| {
                let mut other = share(n);
                assert!(other.grow(4) && other.grow(6));
                other
            })
            .collect();
        assert!(!share(9).grow(1), "the room is full");
        assert!(!room.share(None).grow(1), "also for who has no name");
        drop(first);
        assert!(share(1).grow(1));
        drop(others);
        let taken = room.taken();
        assert_eq!((taken.all, taken.each.len()), (0, 0));
    }
}
