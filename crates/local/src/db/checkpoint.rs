//! Moves the write-ahead log into the database beside the writer, so that no commit has to wait for it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use rusqlite::Connection;

/// How often the log's size is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// A smaller log is left alone: it is soon overwritten anyway.
const WORTH_BYTES: u64 = 8 * 1024 * 1024;
/// Pages after which a commit does it itself, should this thread not keep up.
pub(super) const BACKSTOP_PAGES: u32 = 16_000;

/// The thread ends when this is dropped.
pub(super) struct Checkpointer {
    _stop: mpsc::SyncSender<()>,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection, database: &Path) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(0);
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        thread::Builder::new().name("sqlite-checkpoint".to_owned()).spawn(move || run(&connection, &log, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn run(connection: &Connection, log: &Path, stopped: &mpsc::Receiver<()>) {
    while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
        if fs::metadata(log).map_or(0, |metadata| metadata.len()) < WORTH_BYTES {
            continue;
        }
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log could not be moved into the database, a commit will do it");
        }
    }
}
