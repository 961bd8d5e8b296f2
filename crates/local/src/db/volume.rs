use std::{io, path::Path, sync::Arc};

use rusqlite::{Connection, OpenFlags};

use super::reserve::SpareFile;

/// Where a database lies. The product's is the [`Default`]: files, by the operating system. Tests put one in its place that
/// loses power or runs full.
#[doc(hidden)]
#[derive(Clone)]
pub struct Volume {
    /// SQLite's name of the file system; `None` is its default.
    pub vfs: Option<&'static str>,
    /// What `PRAGMA synchronous` is set to. Anything but `FULL` loses acknowledged writes: for controls that must fail.
    pub synchronous: &'static str,
    /// The space held back for the work in hand; `None` is a file beside the database.
    pub spare: Option<Arc<dyn Spare>>,
}

/// Space that is held back.
#[doc(hidden)]
pub trait Spare: Send + Sync {
    /// Whether it is held already, by a process before.
    fn is_taken(&self) -> bool;

    /// Takes it, all or nothing.
    fn take(&self) -> io::Result<()>;

    /// Gives it back.
    fn give_back(&self) -> io::Result<()>;
}

impl Default for Volume {
    fn default() -> Self {
        Self { vfs: None, synchronous: "FULL", spare: None }
    }
}

impl Volume {
    pub(super) fn connect(&self, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
        match self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
            None => Connection::open_with_flags(path, flags),
        }
    }

    pub(super) fn spare(&self, database: &Path) -> Arc<dyn Spare> {
        self.spare.clone().unwrap_or_else(|| Arc::new(SpareFile::beside(database)))
    }
}
