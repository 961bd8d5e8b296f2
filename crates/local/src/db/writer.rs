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
/// Runs in an open transaction, or learns why there is none.
type Command = Box<dyn FnOnce(Result<&Connection, Reason>) -> Reply + Send>;

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
            Box::new(move |committed| {
                let answer = outcome.and_then(|value| committed.map(|()| value).map_err(Reason::into_error));
                // The caller may have gone; the write is what it is.
                let _ = tell.send(answer);
            })
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
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(Reason::from);
    let replies: Vec<Reply> =
        group.drain(..).map(|command| command(begun.as_ref().map(|()| connection).map_err(Reason::clone))).collect();
    let committed = begun.and_then(|()| {
        if connection.is_autocommit() {
            // A full disk makes SQLite roll back by itself; then there is nothing to commit and nothing was kept.
            let text = "the transaction was rolled back: the disk is full".to_owned();
            return Err(Reason { kind: ErrorKind::StorageFull, text });
        }
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
            if !connection.is_autocommit() {
                run("ROLLBACK TO one")?;
                run("RELEASE one")?;
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
