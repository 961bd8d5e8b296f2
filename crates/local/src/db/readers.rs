use std::{
    mem,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, InterruptHandle};
use switchboard_core::error::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

use super::explain;

/// Read-only connections.
const READERS: usize = 6;
/// Those that look-ups find free, whatever lists and reports go through: tickets are decided beside them.
const FOR_LOOK_UPS: usize = 2;

/// The read-only connections, and who may have one.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    /// One for each connection.
    permits: Arc<Semaphore>,
    /// One for each read that may take long.
    turns: Semaphore,
}

impl Readers {
    pub(super) fn open(connect: impl Fn() -> rusqlite::Result<Connection>) -> rusqlite::Result<Self> {
        let idle: Vec<Connection> = (0..READERS).map(|_| connect()).collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            permits: Arc::new(Semaphore::new(READERS)),
            turns: Semaphore::new(READERS - FOR_LOOK_UPS),
        })
    }

    /// See [`super::Database::look_up`].
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let Ok(_permit) = self.permits.try_acquire() else { return self.off_thread(read).await };
        read(&*Lent::from(&self.idle)?).map_err(explain)
    }

    /// See [`super::Database::read`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let _turn = self.turns.acquire().await.map_err(|_| gone())?;
        self.off_thread(read).await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| gone())?;
        let idle = Arc::clone(&self.idle);
        let wanted = Wanted::default();
        let state = Arc::clone(&wanted.0);
        let work = move || {
            let _permit = permit;
            let connection = Lent::from(&idle)?;
            let _running = Running::begin(&state, &connection)?;
            read(&connection).map_err(explain)
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "a database read stopped").caused_by(error))?
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the database was closed")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that goes back where it came from, also when the read panics.
struct Lent<'a> {
    idle: &'a Mutex<Vec<Connection>>,
    connection: Option<Connection>,
}

impl<'a> Lent<'a> {
    /// The caller holds a permit, so there is one.
    fn from(idle: &'a Mutex<Vec<Connection>>) -> Result<Self> {
        let connection = lock(idle).pop();
        let none = || Error::new(ErrorKind::Internal, "no database reader is free");
        if connection.is_none() { Err(none()) } else { Ok(Self { idle, connection }) }
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        // invariant: it is there from `from` to `drop`
        self.connection.as_ref().unwrap_or_else(|| unreachable!("a lent connection is gone"))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        lock(self.idle).extend(self.connection.take());
    }
}

/// A read on another thread, for as long as its caller waits: a request that ran out of time keeps no reader.
#[derive(Default)]
struct Wanted(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Runs(InterruptHandle),
    Over,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        // Under the lock: the connection may not go to the next one before it is interrupted.
        let mut state = lock(&self.0);
        if let State::Runs(handle) = mem::replace(&mut *state, State::Over) {
            handle.interrupt();
        }
    }
}

struct Running<'a>(&'a Mutex<State>);

impl<'a> Running<'a> {
    fn begin(state: &'a Mutex<State>, connection: &Connection) -> Result<Self> {
        let mut now = lock(state);
        if matches!(*now, State::Over) {
            return Err(Error::new(ErrorKind::Unavailable, "nobody waits for this read any more"));
        }
        *now = State::Runs(connection.get_interrupt_handle());
        Ok(Self(state))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *lock(self.0) = State::Over;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, time::Duration};

    use super::*;

    const FOR_EVER: &str =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0";

    fn one(connection: &Connection) -> rusqlite::Result<i64> {
        connection.query_row("SELECT 1", [], |row| row.get(0))
    }

    fn for_ever(connection: &Connection) -> rusqlite::Result<i64> {
        connection.query_row(FOR_EVER, [], |row| row.get(0))
    }

    async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased; done = work => Some(done), () = ready(()) => None }
    }

    #[allow(clippy::disallowed_methods, reason = "another thread has to get somewhere")]
    async fn settles() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn reads_that_take_long_leave_room_and_end_when_nobody_waits() {
        let readers = Arc::new(Readers::open(Connection::open_in_memory).unwrap());
        let start = || {
            let readers = Arc::clone(&readers);
            tokio::spawn(async move { readers.read(for_ever).await })
        };
        let long: Vec<_> = (0..READERS * 2).map(|_| start()).collect();
        settles().await;
        let look_up = at_once(readers.look_up(one)).await.expect("a look-up waits for nobody");
        assert_eq!(look_up.unwrap(), 1);
        assert!(at_once(readers.read(one)).await.is_none(), "a read waits for its turn");
        for read in long {
            read.abort();
        }
        let answer = tokio::time::timeout(Duration::from_secs(30), readers.read(one)).await;
        assert_eq!(answer.expect("the readers came back").unwrap(), 1);
        while readers.permits.available_permits() < READERS {
            settles().await;
        }
        assert_eq!(lock(&readers.idle).len(), READERS);
    }

    #[tokio::test]
    async fn a_read_that_panics_gives_its_connection_back() {
        let readers = Readers::open(Connection::open_in_memory).unwrap();
        for _ in 0..=READERS {
            assert!(readers.read(|_| -> rusqlite::Result<()> { panic!("as planned") }).await.is_err());
        }
        assert_eq!(readers.read(one).await.unwrap(), 1);
    }
}
