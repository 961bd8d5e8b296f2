//! A file that keeps some of the disk for the work in hand. When the disk fills up, it is given back: new tickets are
//! refused, and what was accepted before can still be decided, written back and deleted.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Role, Spare};

/// Enough for the decisions of some thousand tickets.
const BYTES: usize = 16 * 1024 * 1024;
/// How often a reserve that was given back is tried to be taken again.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// The reserve of one database.
pub(crate) struct Reserve {
    spare: Arc<dyn Spare>,
    role: Role,
    state: Mutex<State>,
}

struct State {
    held: bool,
    tried_at: Duration,
}

impl Reserve {
    /// Takes the reserve, if there is room for it. A tool leaves that to the server.
    pub(super) fn take(spare: Arc<dyn Spare>, role: Role) -> Self {
        let held = role == Role::Tool || spare.is_taken() || spare.take().is_ok();
        Self { spare, role, state: Mutex::new(State { held, tried_at: Duration::ZERO }) }
    }

    /// Gives the reserve back to the disk.
    pub(super) fn give_back(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.held || self.role == Role::Tool {
            return;
        }
        state.held = false;
        match self.spare.give_back() {
            Ok(()) => tracing::error!("the disk is full: the reserve is given back, new tickets are refused"),
            Err(error) => tracing::error!(%error, "the disk is full and the reserve cannot be given back"),
        }
    }

    /// Whether there is room for something new. Takes the reserve again when there is; `now` is monotonic.
    pub(crate) fn has_room(&self, now: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.held && now.saturating_sub(state.tried_at) >= TRY_AGAIN {
            state.tried_at = now;
            state.held = self.spare.take().is_ok();
            if state.held {
                tracing::info!("there is room on the disk again, new tickets are taken");
            }
        }
        state.held
    }
}

/// The reserve as a file beside the database.
pub(super) struct SpareFile(PathBuf);

impl SpareFile {
    pub(super) fn beside(database: &Path) -> Self {
        Self(database.with_extension("reserve"))
    }
}

impl Spare for SpareFile {
    fn is_taken(&self) -> bool {
        fs::metadata(&self.0).is_ok_and(|file| file.len() == BYTES as u64)
    }

    fn take(&self) -> io::Result<()> {
        let write = || {
            let mut file = File::create(&self.0)?;
            // Written, not only sized: a sparse file reserves nothing.
            for _ in 0..BYTES / ZEROS.len() {
                file.write_all(&ZEROS)?;
            }
            file.sync_all()
        };
        write().inspect_err(|_| {
            if let Err(error) = fs::remove_file(&self.0) {
                tracing::error!(%error, "half a reserve cannot be removed");
            }
        })
    }

    fn give_back(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }
}

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use switchboard_core::error::{ErrorKind, Result};

    use super::super::{Database, Volume, explain};
    use super::*;

    async fn pages(db: &Database, most: u32) {
        let set =
            move |connection: &Connection| connection.pragma_update(None, "max_page_count", most).map_err(explain);
        db.writer.write(set).await.unwrap();
    }

    async fn insert(db: &Database) -> Result<usize> {
        let sql = "INSERT INTO ticket_records (record) VALUES (zeroblob(40000) || 'x')";
        db.writer.write(move |connection| connection.execute(sql, []).map_err(explain)).await
    }

    async fn count(db: &Database) -> i64 {
        db.look_up(|connection| connection.query_row("SELECT count(*) FROM ticket_records", [], |row| row.get(0)))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_refuses_writes_keeps_reads_and_recovers_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switchboard.db");
        let (db, ()) = Database::open(&Volume::default(), &path, Role::Server, |_| Ok(())).unwrap();
        let reserve = Arc::clone(&db.reserve);
        assert!(reserve.has_room(Duration::from_secs(10)));
        insert(&db).await.unwrap();
        pages(&db, 120).await;
        let mut kept = 1;
        let refused = loop {
            match insert(&db).await {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{}", refused.report());
        assert_eq!(count(&db).await, kept, "reads go on, and what was refused was not kept");
        assert!(!folder.path().join("switchboard.reserve").exists(), "given back");
        pages(&db, 1_000_000).await;
        insert(&db).await.unwrap();
        assert!(reserve.has_room(Duration::from_secs(20)), "taken again");
        assert!(folder.path().join("switchboard.reserve").exists());
    }
}
