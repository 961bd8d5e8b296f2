use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Duration,
};

use rusqlite::Connection;
use switchboard_core::error::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::{Reserve, explain};
use crate::audit::Act;

/// Writes that wait before callers have to.
const WAITING_WRITES: usize = 1_024;
/// Writes of one commit.
const GROUP: usize = 512;

/// A group of so many writes says that more are on their way.
const BUSY: usize = 8;
/// How long a busy writer waits for the writes on their way. Neighbours change the same pages, so fewer and larger commits
/// write each page once instead of ten times; with few writes there is no wait.
const LINGER: Duration = Duration::from_millis(2);

/// Tells the caller, once it is known whether the commit held.
type Reply = Box<dyn FnOnce(Result<(), Reason>) + Send>;
/// Runs in an open transaction, or learns why there is none. Says what it failed by, besides.
type Command = Box<dyn FnOnce(Result<&Connection, Reason>) -> (Option<Reason>, Reply) + Send>;

/// Why a group of writes was not kept.
#[derive(Clone)]
struct Reason {
    kind: ErrorKind,
    text: String,
}

/// The thread that writes. Each write is atomic; those that wait at the same time share one commit, and each is told only
/// after that commit is on disk.
pub(crate) struct Writer {
    sender: mpsc::Sender<Command>,
}

impl Writer {
    pub(super) fn start(connection: Connection, reserve: Arc<Reserve>) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_WRITES);
        thread::Builder::new().name("sqlite-writer".to_owned()).spawn(move || run(&connection, &reserve, receiver))?;
        Ok(Self { sender })
    }

    /// Runs `write` in the next commit, with its entry in the audit log when it is an act. An error of `write` undoes that
    /// write alone.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let act = Act::of_this_task();
        let write = move |connection: &Connection| {
            let before = connection.total_changes();
            let done = write(connection)?;
            act.map_or(Ok(()), |act| act.record(connection, before)).map(|()| done)
        };
        let (tell, told) = oneshot::channel();
        let command: Command = Box::new(move |connection| {
            let outcome = connection.map_err(Reason::into_error).and_then(|connection| in_savepoint(connection, write));
            let failure = outcome.as_ref().err().map(|error| Reason { kind: error.kind(), text: error.report() });
            let reply: Reply = Box::new(move |committed| {
                let answer = outcome.and_then(|value| committed.map(|()| value).map_err(Reason::into_error));
                // The caller may have gone; the write is what it is.
                let _ = tell.send(answer);
            });
            (failure, reply)
        });
        let gone = || Error::new(ErrorKind::Internal, "the database writer has stopped");
        self.sender.send(command).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }
}

fn run(connection: &Connection, reserve: &Reserve, mut receiver: mpsc::Receiver<Command>) {
    let mut group = Vec::with_capacity(GROUP);
    let mut busy = false;
    while receiver.blocking_recv_many(&mut group, GROUP) > 0 {
        if busy && group.len() < GROUP {
            thread::sleep(LINGER);
            while group.len() < GROUP
                && let Ok(command) = receiver.try_recv()
            {
                group.push(command);
            }
        }
        busy = group.len() >= BUSY;
        commit(connection, reserve, &mut group);
    }
}

fn commit(connection: &Connection, reserve: &Reserve, group: &mut Vec<Command>) {
    let mut open = connection.execute_batch("BEGIN IMMEDIATE").map_err(Reason::from);
    let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
    for command in group.drain(..) {
        let (failure, reply) = command(open.as_ref().map(|()| connection).map_err(Reason::clone));
        replies.push(reply);
        // A full disk or one that fails makes SQLite roll back by itself, all that came before included. What would run now
        // would be a transaction of its own, and kept although the group is refused.
        if open.is_ok() && connection.is_autocommit() {
            let text = "the transaction was rolled back: the disk is full".to_owned();
            open = Err(failure.unwrap_or(Reason { kind: ErrorKind::StorageFull, text }));
        }
    }
    let committed = open.and_then(|()| {
        connection.execute_batch("COMMIT").map_err(|error| {
            // Often SQLite has done it by itself.
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a failed commit could not be rolled back");
            }
            Reason::from(error)
        })
    });
    if let Err(reason) = &committed {
        if reason.kind == ErrorKind::StorageFull {
            reserve.give_back();
        }
        tracing::error!(reason = reason.text, writes = replies.len(), "a commit failed, its writes are undone");
    }
    for reply in replies {
        reply(committed.clone());
    }
}

fn in_savepoint<T>(connection: &Connection, write: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map_err(explain);
    run("SAVEPOINT one")?;
    // A broken invariant costs the one write, not the thread on which all others wait.
    let outcome = catch_unwind(AssertUnwindSafe(|| write(connection)))
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a database write broke an invariant")));
    match outcome {
        Ok(value) => {
            run("RELEASE one")?;
            Ok(value)
        }
        Err(error) => {
            if !connection.is_autocommit()
                && let Err(error) = run("ROLLBACK TO one").and_then(|_| run("RELEASE one"))
            {
                // Half a write must not be kept: the group goes with it.
                let _ = connection.execute_batch("ROLLBACK");
                return Err(error);
            }
            Err(error)
        }
    }
}

impl Reason {
    fn into_error(self) -> Error {
        Error::new(self.kind, format!("the write was not kept: {}", self.text))
    }
}

impl From<rusqlite::Error> for Reason {
    fn from(error: rusqlite::Error) -> Self {
        let error = explain(error);
        Self { kind: error.kind(), text: error.report() }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Role, reserve::SpareFile},
        *,
    };

    #[tokio::test]
    async fn a_rollback_in_the_middle_of_a_group_keeps_nothing_of_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("writer.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (0)").unwrap();
        let reserve = Reserve::take(Arc::new(SpareFile::beside(&path)), Role::Tool);
        let writer = Writer::start(connection, Arc::new(reserve)).unwrap();
        let insert = |sql: &'static str| writer.write(move |connection| connection.execute(sql, []).map_err(explain));
        let (busy, free) = std::sync::mpsc::sync_channel::<()>(1);
        let (tell, told) = oneshot::channel();
        // While the writer waits in this one, the others come together in the next group.
        let first = writer.write(move |_| {
            tell.send(()).unwrap();
            free.recv().unwrap();
            Ok(())
        });
        let group = async {
            told.await.unwrap();
            let before = insert("INSERT INTO t VALUES (1)");
            let breaks = insert("INSERT OR ROLLBACK INTO t VALUES (0)");
            let after = insert("INSERT INTO t VALUES (2)");
            tokio::join!(biased; before, breaks, after, async { busy.send(()).unwrap() })
        };
        let (first, (before, breaks, after, ())) = tokio::join!(first, group);
        first.unwrap();
        assert!(before.is_err() && breaks.is_err() && after.is_err());
        let kept = || {
            writer.write(|connection| {
                connection
                    .query_row("SELECT group_concat(n) FROM t", [], |row| row.get::<_, String>(0))
                    .map_err(explain)
            })
        };
        assert_eq!(kept().await.unwrap(), "0");
        insert("INSERT INTO t VALUES (3)").await.unwrap();
        assert_eq!(kept().await.unwrap(), "0,3", "the writer goes on");
    }
}
