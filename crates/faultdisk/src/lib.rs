//! A disk in memory for SQLite, for tests alone: it loses power, tears sectors, lies about syncing, and runs full.
//!
//! [`Disk`] takes the place of a folder: SQLite opens `disk.path("switchboard.db")` through the VFS [`vfs`] and keeps the
//! database, its journals and the shared memory of its write-ahead log on it. The disk writes down every operation that
//! changes something. [`Platter`] plays such a log back up to any operation and says what a power cut there may leave
//! ([`Survival`]); an [`Image`] of that is a new disk.
//!
//! It knows SQLite's interface and nothing of Switchboard. Start at [`Disk`]. The one file with `unsafe` is `vfs.rs`.

mod disk;
mod locks;
mod platter;
mod vfs;

pub use disk::{Disk, Entry, FileId, Image, Operation, Refusal};
pub use platter::{Platter, Survival};
pub use vfs::vfs;
