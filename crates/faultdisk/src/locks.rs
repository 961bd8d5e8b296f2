//! SQLite's locks between the connections of one process: those of a file, and those of a write-ahead log's index.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::atomic::AtomicU64,
};

/// An open file.
pub(crate) type HandleId = u64;

/// The lock is somebody else's.
#[derive(Debug)]
pub(crate) struct Busy;

/// Levels of a file's lock, as SQLite orders them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// Who holds a file, and how.
#[derive(Default)]
pub(crate) struct FileLocks(BTreeMap<HandleId, Level>);

impl FileLocks {
    pub(crate) fn lock(&mut self, handle: HandleId, to: Level) -> Result<(), Busy> {
        if self.level(handle) >= to {
            return Ok(());
        }
        let others = self.0.iter().filter(|(id, _)| **id != handle).map(|(_, level)| *level).max();
        let others = others.unwrap_or(Level::None);
        match to {
            Level::Shared if others >= Level::Pending => return Err(Busy),
            Level::Reserved | Level::Pending | Level::Exclusive if others >= Level::Reserved => return Err(Busy),
            Level::Exclusive if others >= Level::Shared => {
                // Nobody new gets in; those that are in have to leave first.
                self.0.insert(handle, Level::Pending);
                return Err(Busy);
            }
            _ => {}
        }
        self.0.insert(handle, to);
        Ok(())
    }

    pub(crate) fn unlock(&mut self, handle: HandleId, to: Level) {
        match to {
            Level::None => self.0.remove(&handle),
            to => self.0.insert(handle, to.min(self.level(handle))),
        };
    }

    /// Whether anybody is about to write.
    pub(crate) fn is_reserved(&self) -> bool {
        self.0.values().any(|level| *level >= Level::Reserved)
    }

    fn level(&self, handle: HandleId) -> Level {
        self.0.get(&handle).copied().unwrap_or(Level::None)
    }
}

/// The shared memory of a write-ahead log's index. Rust never looks into it, so atomics serve as memory that C may change.
#[derive(Default)]
pub(crate) struct SharedMemory {
    regions: Vec<Box<[AtomicU64]>>,
    slots: BTreeMap<usize, Slot>,
    users: BTreeSet<HandleId>,
}

#[derive(Default)]
struct Slot {
    shared: BTreeSet<HandleId>,
    exclusive: Option<HandleId>,
}

impl SharedMemory {
    /// Region `at` of `size` bytes, made when `extend`; it stays where it is until the last user has gone.
    pub(crate) fn map(&mut self, handle: HandleId, at: usize, size: usize, extend: bool) -> Option<*mut u64> {
        self.users.insert(handle);
        while extend && self.regions.len() <= at {
            self.regions.push((0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect());
        }
        self.regions.get(at)?.first().map(AtomicU64::as_ptr)
    }

    /// Whether region `at` is there already.
    pub(crate) fn has(&self, at: usize) -> bool {
        at < self.regions.len()
    }

    /// A process that comes later finds nothing and rebuilds the index from the log, as after a restart.
    pub(crate) fn unmap(&mut self, handle: HandleId) {
        self.unlock(handle, 0..usize::MAX);
        self.users.remove(&handle);
        if self.users.is_empty() {
            self.regions.clear();
        }
    }

    pub(crate) fn lock(&mut self, handle: HandleId, slots: Range<usize>, exclusive: bool) -> Result<(), Busy> {
        for slot in slots.clone().filter_map(|at| self.slots.get(&at)) {
            let held = slot.exclusive.is_some_and(|holder| holder != handle);
            if held || (exclusive && slot.shared.iter().any(|holder| *holder != handle)) {
                return Err(Busy);
            }
        }
        for at in slots {
            let slot = self.slots.entry(at).or_default();
            if exclusive {
                slot.exclusive = Some(handle);
            } else {
                slot.shared.insert(handle);
            }
        }
        Ok(())
    }

    pub(crate) fn unlock(&mut self, handle: HandleId, slots: Range<usize>) {
        for (_, slot) in self.slots.range_mut(slots) {
            slot.shared.remove(&handle);
            slot.exclusive = slot.exclusive.filter(|holder| *holder != handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_while_others_read_and_nobody_reads_while_one_is_alone() {
        let mut locks = FileLocks::default();
        assert!(locks.lock(1, Level::Shared).is_ok() && locks.lock(2, Level::Shared).is_ok());
        assert!(locks.lock(1, Level::Reserved).is_ok() && locks.is_reserved());
        assert!(locks.lock(2, Level::Reserved).is_err());
        assert!(locks.lock(1, Level::Exclusive).is_err(), "the other one still reads");
        assert!(locks.lock(3, Level::Shared).is_err(), "nobody gets in while one waits to be alone");
        locks.unlock(2, Level::None);
        assert!(locks.lock(1, Level::Exclusive).is_ok());
        locks.unlock(1, Level::Shared);
        assert!(locks.lock(3, Level::Shared).is_ok() && !locks.is_reserved());
    }

    #[test]
    fn slots_of_shared_memory_are_shared_or_exclusive() {
        let mut memory = SharedMemory::default();
        assert!(memory.map(1, 0, 32_768, false).is_none());
        assert!(memory.map(1, 0, 32_768, true).is_some() && memory.has(0));
        assert!(memory.lock(1, 3..4, false).is_ok() && memory.lock(2, 3..4, false).is_ok());
        assert!(memory.lock(1, 3..8, true).is_err());
        memory.unlock(2, 3..4);
        assert!(memory.lock(1, 3..8, true).is_ok() && memory.lock(2, 5..6, false).is_err());
        memory.unmap(1);
        assert!(memory.lock(2, 5..6, true).is_ok() && !memory.has(0), "the last user has gone");
    }
}
