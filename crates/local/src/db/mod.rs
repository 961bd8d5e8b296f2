//! The SQLite file: one writer thread that commits in groups, several read-only connections, migrations.
//!
//! WAL with `synchronous=FULL`: an acknowledged write survives a power cut; `NORMAL` would lose it
//! (`docs/reliability.md`). One commit costs one fsync however many writes are in it, so the writer takes all that wait.

mod checkpoint;
mod migrations;
mod readers;
mod reserve;
mod volume;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use switchboard_core::error::{Error, ErrorKind, Result};

use checkpoint::Checkpointer;
pub use migrations::STEPS as MIGRATIONS;
pub(crate) use migrations::{newest, version};
use readers::Readers;
pub(crate) use reserve::Reserve;
pub use volume::{Spare, Volume};
pub(crate) use writer::Writer;

/// Negative: in kilobytes. Readers find the rest in the operating system's cache.
const READER_CACHE: i32 = -1_000;
const WRITER_CACHE: i32 = -16_000;

/// What the triggers that keep a wiped tenant out say.
const WIPED: &str = "the tenant was wiped";

/// Who opens the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one process that works off the queue: leases of its predecessors are void.
    Server,
    /// A command that looks or changes something beside a server.
    Tool,
}

/// The data cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// SQLite refused.
    #[error("the database {path} cannot be opened")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer Switchboard wrote it.
    #[error("the database {path} has version {found}, this program knows versions up to {known}: use a newer program")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// SQLite keeps another kind of journal than the one that acknowledgements and readers count on.
    #[error(
        "the database {path} has a journal of the kind `{journal}` and cannot change to a write-ahead log: is the disk full?"
    )]
    NoLog {
        /// The file.
        path: PathBuf,
        /// What it has.
        journal: String,
    },
    /// The writer thread could not start.
    #[error("the database writer cannot start")]
    Thread(#[source] std::io::Error),
}

/// What a check of the file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// SQLite's own words: `ok`, or what is wrong.
    pub messages: Vec<String>,
    /// The version of the tables.
    pub schema_version: usize,
}

/// Whether the tables of the database `path`, which is there, are of a version before this program's: whoever opens it would
/// bring them forward. Nothing is written.
pub fn is_older(path: &Path) -> Result<bool, DataError> {
    let found = connect(&Volume::default(), path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| migrations::version(&connection));
    let found = found.map_err(|source| DataError::Open { path: path.to_owned(), source })?;
    Ok(found < migrations::newest())
}

/// The open file.
pub(crate) struct Database {
    pub(crate) writer: Writer,
    pub(crate) reserve: Arc<Reserve>,
    readers: Readers,
    path: PathBuf,
    _checkpointer: Checkpointer,
}

impl Database {
    /// Opens the file and runs `begin` on it before anybody else writes.
    pub(crate) fn open<T>(
        volume: &Volume,
        path: &Path,
        role: Role,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<(Self, T), DataError> {
        let failed = |source| DataError::Open { path: path.to_owned(), source };
        let mut connection = connect(volume, path, OpenFlags::default()).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        // When a write fails in between, SQLite keeps the old journal without an error and even answers `wal`; it is asked
        // again once it has read the file.
        migrations::version(&connection).map_err(failed)?;
        let asked = connection.pragma_query_value(None, "journal_mode", |row| row.get(0));
        let journal: String = asked.map_err(failed)?;
        if journal != "wal" {
            return Err(DataError::NoLog { path: path.to_owned(), journal });
        }
        connection.pragma_update(None, "synchronous", volume.synchronous).map_err(failed)?;
        connection.pragma_update(None, "wal_autocheckpoint", checkpoint::BACKSTOP_PAGES).map_err(failed)?;
        connection.pragma_update(None, "cache_size", WRITER_CACHE).map_err(failed)?;
        migrations::migrate(&mut connection, path)?;
        let begun = begin(&mut connection).map_err(failed)?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let readers = Readers::open(|| connect(volume, path, read_only)).map_err(failed)?;
        let checkpointer = Checkpointer::start(connect(volume, path, OpenFlags::default()).map_err(failed)?, path);
        let reserve = Arc::new(Reserve::take(volume.spare(path), role));
        let database = Self {
            _checkpointer: checkpointer.map_err(DataError::Thread)?,
            writer: Writer::start(connection, Arc::clone(&reserve)).map_err(DataError::Thread)?,
            reserve,
            readers,
            path: path.to_owned(),
        };
        Ok((database, begun))
    }

    pub(crate) async fn integrity(&self) -> Result<Integrity> {
        self.read(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check")?;
            let messages = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok(Integrity { messages, schema_version: migrations::version(connection)? })
        })
        .await
    }

    /// Runs a read of a few rows found by an index at once, on the caller's thread: microseconds from the page cache,
    /// less than handing it to another thread would cost. With all connections busy it waits off the async threads.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.look_up(read).await
    }

    /// Runs `read` on a read-only connection, off the async threads. It may take long, so some connections are kept from it;
    /// it ends when its caller is gone.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(read).await
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn connect(volume: &Volume, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = volume.connect(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Otherwise a statement whose tables have partial indexes is planned again for every value bound to it, at a multiple of
    // what it costs to run it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", READER_CACHE)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

#[cfg(test)]
pub(crate) fn migrate_for_tests(connection: &mut Connection, path: &Path) {
    migrations::migrate(connection, path).expect("the steps run on a new file");
}

/// SQLite's failures in our words.
pub(crate) fn explain(error: rusqlite::Error) -> Error {
    use rusqlite::{
        ErrorCode,
        ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE},
    };
    let extended = error.sqlite_error().map(|error| error.extended_code);
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (ErrorKind::StorageFull, "the disk is full"),
        // A quota and a limit on the size of files come as a failed write. A disk that fails otherwise is no place for new
        // tickets either; the reserve finds out when it takes writes again.
        Some(ErrorCode::SystemIoFailure) if matches!(extended, Some(SQLITE_IOERR_WRITE | SQLITE_IOERR_SHMSIZE)) => {
            (ErrorKind::StorageFull, "the disk takes no more: it is full, or over a quota or a limit, or it fails")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Unavailable, "another process holds the database")
        }
        Some(ErrorCode::SystemIoFailure) => (ErrorKind::Unavailable, "the disk failed"),
        // What a trigger says; see the table `wiped_tenants`.
        _ if error.to_string() == WIPED => (ErrorKind::NotFound, WIPED),
        _ => (ErrorKind::Internal, "the database failed"),
    };
    Error::new(kind, message).caused_by(error)
}

/// A stored value that no longer has the form it was stored in.
pub(crate) fn corrupt(what: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    tracing::error!(what, %error, "a stored value cannot be read");
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}
