//! The database as it is at one moment, while others go on writing: the copy that a backup holds, and its check.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use switchboard_core::error::{Error, ErrorKind, Result};

use crate::db::{self, explain};

/// Pages that are copied between two looks at the progress: 4 MB.
const PAGES_AT_ONCE: i32 = 1_024;
const BUSY: Duration = Duration::from_secs(5);

/// What a copied database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseCopy {
    /// The version of its tables.
    pub schema_version: usize,
    /// Its tickets, of all tenants.
    pub tickets: u64,
}

/// A connection that sees the database as it is now and goes on seeing that, however much is written meanwhile. It writes
/// nothing and brings no tables to a newer version. Until it is closed, the write-ahead log grows by what others write.
pub(crate) fn open_snapshot(database: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let connection =
            Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch("BEGIN")?;
        // The transaction begins with its first read.
        db::version(&connection)?;
        Ok(connection)
    };
    let connection = open().map_err(explain)?;
    let found = db::version(&connection).map_err(explain)?;
    if found > db::newest() {
        return Err(too_new(found));
    }
    Ok(connection)
}

fn too_new(found: usize) -> Error {
    let message = format!(
        "the database has version {found}, this program knows versions up to {}: use a newer program",
        db::newest()
    );
    Error::new(ErrorKind::Invalid, message)
}

/// Copies the database `from` to the file `to`, which is new or empty, durably. Nobody waits for it: readers and writers go
/// on. The copy is `from` at the moment of the call. `progress` is told the pages done and all pages. Blocks.
pub fn copy_database(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<DatabaseCopy> {
    let source = open_snapshot(from)?;
    let copied = describe(&source).map_err(explain)?;
    let mut target = Connection::open(to).map_err(explain)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(explain)?;
    let backup = Backup::new(&source, &mut target).map_err(explain)?;
    loop {
        // The source's open transaction pins its state: without it, every write in between would begin the copy anew.
        let step = backup.step(PAGES_AT_ONCE).map_err(explain)?;
        let at = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        progress(pages(at.pagecount - at.remaining), pages(at.pagecount));
        match step {
            StepResult::More => {}
            StepResult::Done => break,
            _ => return Err(Error::new(ErrorKind::Unavailable, "another process holds the database")),
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| explain(error))?;
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::new(ErrorKind::Unavailable, "the copy cannot be written").caused_by(error))?;
    Ok(copied)
}

fn describe(connection: &Connection) -> rusqlite::Result<DatabaseCopy> {
    let tickets: i64 = connection.query_row("SELECT count(*) FROM tickets", [], |row| row.get(0))?;
    Ok(DatabaseCopy { schema_version: db::version(connection)?, tickets: tickets.unsigned_abs() })
}

/// Checks the whole of a database that nobody has open: its pages, its indexes, its version. Blocks.
pub fn check_database(path: &Path) -> Result<DatabaseCopy> {
    let check = || -> rusqlite::Result<(Vec<String>, usize)> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        let messages = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok((messages, db::version(&connection)?))
    };
    let damaged = |detail: String| Error::new(ErrorKind::Invalid, format!("the database is damaged: {detail}"));
    let (messages, version) = check().map_err(|error| damaged(explain(error).report()))?;
    if messages != ["ok"] {
        return Err(damaged(messages.join("; ")));
    }
    match version {
        0 => Err(damaged("it has no tables".to_owned())),
        newer if newer > db::newest() => Err(too_new(newer)),
        _ => {
            let connection = Connection::open(path).map_err(explain)?;
            let described = describe(&connection).map_err(explain)?;
            // Of a database in WAL mode, the last one to close removes the log.
            connection.close().map_err(|(_, error)| explain(error))?;
            Ok(described)
        }
    }
}

/// Ends the operator's sessions in a database that nobody has open: an older copy has some that were ended since. Blocks.
pub fn end_sessions(path: &Path) -> Result<()> {
    let connection = Connection::open(path).map_err(explain)?;
    let end = || -> rusqlite::Result<()> {
        connection.pragma_update(None, "secure_delete", true)?;
        let kept = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'sessions'";
        if connection.query_row(kept, [], |row| row.get::<_, i64>(0))? > 0 {
            connection.execute("DELETE FROM sessions", [])?;
        }
        Ok(())
    };
    end().map_err(explain)?;
    connection.close().map_err(|(_, error)| explain(error))
}

/// The files beside a database that belong to it and are worth nothing without it.
pub fn companions(database: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|end| {
        let mut name = database.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_database_at_the_moment_of_the_call_however_much_is_written_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from.db"), folder.path().join("to.db"));
        let mut writer = Connection::open(&from).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        db::migrate_for_tests(&mut writer, &from);
        // Some pages more than are copied in one step.
        let fill = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4000)
            INSERT INTO ticket_records (record) SELECT hex(randomblob(2000)) FROM n";
        writer.execute_batch(fill).unwrap();
        let mut steps = 0;
        let copied = copy_database(&from, &to, &mut |_, _| {
            steps += 1;
            writer.execute("INSERT INTO ticket_records (record) VALUES ('late')", []).unwrap();
        });
        assert_eq!(copied.unwrap().schema_version, db::newest());
        assert!(steps > 1, "the copy took one step, so nothing came in between");
        assert_eq!(check_database(&to).unwrap().tickets, 0);
        let count = |path: &Path| -> i64 {
            let count = "SELECT count(*) FROM ticket_records WHERE record = 'late'";
            Connection::open(path).unwrap().query_row(count, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count(&to), count(&from)), (0, steps));
    }

    #[test]
    fn a_damaged_a_foreign_and_a_newer_database_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        std::fs::write(&path, b"no database").unwrap();
        assert_eq!(check_database(&path).unwrap_err().kind(), ErrorKind::Invalid);
        std::fs::remove_file(&path).unwrap();
        let mut connection = Connection::open(&path).unwrap();
        assert!(check_database(&path).unwrap_err().to_string().contains("no tables"));
        db::migrate_for_tests(&mut connection, &path);
        assert_eq!(check_database(&path).unwrap().tickets, 0);
        connection.pragma_update(None, "user_version", 10_000).unwrap();
        assert!(check_database(&path).unwrap_err().to_string().contains("use a newer program"));
        assert!(open_snapshot(&path).unwrap_err().to_string().contains("use a newer program"));
    }
}
