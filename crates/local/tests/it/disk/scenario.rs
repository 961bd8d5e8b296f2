//! A short life of the store: every kind of write, by the public ports, one after the other.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Duration};

use rusqlite::OpenFlags;
use switchboard_core::{
    access::{Pepper, audit::Action},
    error::{Error, ErrorKind, Result},
    event::{Event, EventDetail},
    ids::{DecisionId, EffectId, TicketId},
    ports::{
        Clock, CustomerStore, EffectLedger, EventFilter, EventQueue, ExampleStore, Ids, KeyStore, Leased, NewTicket,
        SyncChange, TenantScope, TicketStore,
    },
    tickets::Decision,
};
use switchboard_faultdisk::Disk;
use switchboard_local::{Role, SqliteStore, Swept, Volume};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds, start},
};

use super::dump;

/// A lease outlasts all tries of a step on a full disk.
const LONG: Duration = Duration::from_secs(3_600);

/// One write, or what moves writes about on the disk. Numbers are tickets.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Open,
    Customers,
    Examples,
    CreateKey(u8),
    RevokeKey(u8),
    Accept(RangeInclusive<u32>),
    /// Leases all that is due.
    Lease,
    Extend(u32),
    Release(u32),
    Decide(u32),
    /// The job ends, and nothing was done: only the sweep can find the ticket.
    Forget(u32),
    /// An attempt of the write-back begins.
    Attempt(u32),
    Synced(u32),
    Retry(u32),
    Failed(u32),
    Bury(u32),
    Review(u32),
    Revive(u32),
    Discard(u32),
    Replay,
    /// The part of a sweep that finds what has no job.
    QueueAgain,
    /// The part of a sweep that deletes, so many days later.
    Retain(u64),
    /// What the checkpointer does now and then: the log goes into the database, and the next write begins a new one.
    Checkpoint,
    /// The server ends and another one starts: the log goes into the database and is deleted.
    Restart,
}

/// The life that is led: two rounds of tickets and what becomes of them.
pub(super) fn steps() -> Vec<Step> {
    use Step::*;
    let mut steps = vec![Open, Customers, Examples];
    for round in 0..2_u8 {
        let n = u32::from(round) * 10;
        steps.extend([
            CreateKey(round + 1),
            Accept(n + 1..=n + 1),
            Accept(n + 2..=n + 2),
            Accept(n + 3..=n + 7),
            Lease,
        ]);
        steps.extend([Decide(n + 1), Decide(n + 2), Decide(n + 3), Bury(n + 4), Forget(n + 5), Release(n + 6)]);
        steps.extend([Lease, Extend(n + 7), Attempt(n + 1), Synced(n + 1), Attempt(n + 2), Retry(n + 2)]);
        steps.extend([Attempt(n + 3), Failed(n + 3), Checkpoint]);
        steps.extend([Review(n + 1), Lease, Synced(n + 1), Synced(n + 2), QueueAgain, Retain(0), Revive(n + 4)]);
        steps.push(if round == 0 { Discard(n + 3) } else { Revive(n + 3) });
        steps.push(if round == 1 { Restart } else { Checkpoint });
        steps.extend([Accept(n + 8..=n + 8), Lease, Decide(n + 4), Decide(n + 5), RevokeKey(round + 1)]);
    }
    steps.extend([Replay, QueueAgain, Retain(91), Restart, Accept(90..=99), Lease, Decide(95), QueueAgain, Retain(0)]);
    steps
}

/// The store, and what its one client knows.
pub(super) struct Life {
    pub(super) disk: Arc<Disk>,
    pub(super) clock: Arc<FixedClock>,
    pub(super) scope: TenantScope,
    pub(super) store: Option<SqliteStore>,
    volume: Volume,
    held: BTreeMap<TicketId, Leased>,
    decisions: BTreeMap<u32, Decision>,
}

impl Life {
    pub(super) fn new(disk: Arc<Disk>, volume: Volume) -> Self {
        let clock = Arc::new(FixedClock::new());
        let (held, decisions) = (BTreeMap::new(), BTreeMap::new());
        Self { disk, clock, scope: sample::scope("acme"), store: None, volume, held, decisions }
    }

    pub(super) fn store(&self) -> &SqliteStore {
        self.store.as_ref().expect("an open store")
    }

    /// Takes step `number`, and gives what it came to. A step that failed can be taken again.
    pub(super) async fn take(&mut self, number: usize, step: &Step) -> Result<String> {
        let at = start().plus(Duration::from_secs(number as u64));
        self.clock.jump(at);
        let ids = SeededIds::new(number as u64);
        let scope = self.scope.clone();
        match step {
            Step::Open => self.open(),
            Step::Restart => {
                self.close();
                self.open()
            }
            Step::Checkpoint => {
                let beside = dump::connect(&self.disk, OpenFlags::default()).map_err(said)?;
                let moved = beside.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2));
                moved.map(|moved| format!("moved {}", moved > 0)).map_err(said)
            }
            Step::Customers => {
                let customers = (1..=10).map(sample::stored_customer).collect();
                told(self.store().put_customers(&scope, customers).await)
            }
            Step::Examples => told(self.store().add(&scope, (1..=5).map(sample::example).collect()).await),
            Step::CreateKey(n) => told(
                self.store().create_key(&scope, sample::key("acme", *n), &[], sample::act(Action::KeyCreate, *n)).await,
            ),
            Step::RevokeKey(n) => told({
                let act = sample::act(Action::KeyRevoke, *n);
                self.store().revoke_key(&scope, &sample::key("acme", *n).id, at, act).await
            }),
            Step::Accept(tickets) => {
                let new = tickets.clone().map(|n| new_ticket(&scope, n, &ids)).collect();
                let accepted = self.store().accept(&scope, new).await?;
                accepted.into_iter().map(told).collect()
            }
            Step::Lease => {
                let leased = self.store().lease(100, LONG).await?;
                // Their order goes by the turn of the lanes, which a step that is taken again is one further in.
                let mut what: Vec<_> = leased.iter().map(|leased| format!("{} ", leased.event.id)).collect();
                what.sort();
                let what = what.concat();
                self.held.extend(leased.into_iter().map(|leased| (leased.event.detail.ticket_id().clone(), leased)));
                Ok(what)
            }
            Step::Extend(n) => told(self.store().extend(&self.held(*n).lease, LONG * 2).await),
            Step::Release(n) => {
                let released = told(self.store().release(&[self.held(*n).lease.clone()]).await)?;
                self.ends(*n, released)
            }
            Step::Forget(n) => {
                let completed = told(self.store().complete(&self.held(*n).lease).await)?;
                self.ends(*n, completed)
            }
            Step::Bury(n) => {
                let buried = told(self.store().bury(&self.held(*n).lease, "it cannot be done").await)?;
                self.ends(*n, buried)
            }
            Step::Decide(n) => {
                let ticket = sample::ticket(*n);
                let decision = sample::decision(&ticket, &ids);
                let event = sample::routed(&scope, &ticket, &decision, &ids);
                let decided = self.store().decide(&scope, &decision, event, &self.held(*n).lease).await;
                let decided = told(decided)?;
                self.decisions.insert(*n, decision);
                self.ends(*n, decided)
            }
            Step::Attempt(n) => {
                let id = EffectId::from(&self.about(*n));
                told(self.store().attempt(&scope, &id, &self.held(*n).lease, true).await)
            }
            Step::Synced(n) => {
                let change = SyncChange::Succeeded { receipt: format!("receipt {n}") };
                self.settle(*n, change, |ticket, decision| sample::synced(&scope, ticket, decision, "done", &ids)).await
            }
            Step::Failed(n) => {
                let change = SyncChange::Failed { error: "refused".to_owned(), open: true };
                let event = |ticket: &_, decision: &_| sample::sync_failed(&scope, ticket, decision, "refused", &ids);
                self.settle(*n, change, event).await
            }
            Step::Retry(n) => {
                let change = SyncChange::Retry { at, error: "down".to_owned(), open: true };
                let (ticket, about) = (sample::ticket(*n).id, self.about(*n));
                let lease = &self.held(*n).lease;
                let recorded = told(self.store().record_sync(&scope, &ticket, &about, change, None, lease).await)?;
                self.ends(*n, recorded)
            }
            Step::Review(n) => {
                let review = sample::review(&scope, &sample::ticket(*n), &self.decisions[n], &ids);
                told(self.store().record_review(&scope, review).await)
            }
            Step::Revive(n) => told(self.store().revive(&scope, &self.letter(*n).await?.id).await),
            Step::Discard(n) => told(self.store().discard(&scope, &self.letter(*n).await?.id).await),
            Step::Replay => {
                let some = EventFilter { limit: 5, ..EventFilter::default() };
                told(self.store().replay(&scope, &some).await)
            }
            Step::QueueAgain => told(self.store().queue_unfinished().await),
            Step::Retain(days) => {
                self.clock.jump(at.plus(Duration::from_secs(days * 24 * 3_600)));
                let mut swept = Swept::default();
                told(self.store().retain(&mut swept).await.map(|()| swept))
            }
        }
    }

    fn open(&mut self) -> Result<String> {
        let path = self.disk.path("switchboard.db");
        let clock: Arc<dyn Clock> = self.clock.clone();
        let opened = SqliteStore::open_on(&self.volume, &path, clock, Role::Server);
        // A store that cannot be opened is told by the command line in words; that it is for want of room is in its cause.
        let opened = opened.map_err(|error| Error::new(ErrorKind::StorageFull, "not opened").caused_by(error))?;
        self.store = Some(opened.seal_audit(Pepper::new([7; 32]).audit_key()));
        Ok("opened".to_owned())
    }

    /// Closes the store. A connection beside it goes last, so that it is always the same one that puts the log away.
    pub(super) fn close(&mut self) {
        self.held.clear();
        let Some(store) = self.store.take() else { return };
        let last = dump::connect(&self.disk, OpenFlags::default()).and_then(|last| {
            last.query_row("SELECT epoch FROM process", [], |_| Ok(()))?;
            Ok(last)
        });
        drop(store);
        assert!(self.disk.wait_until_open(2, Duration::from_secs(30)), "the store's threads keep its files open");
        drop(last);
        assert!(self.disk.wait_until_open(0, Duration::from_secs(30)));
    }

    fn held(&self, n: u32) -> &Leased {
        self.held.get(&sample::ticket(n).id).unwrap_or_else(|| panic!("ticket {n} is not leased"))
    }

    fn ends(&mut self, n: u32, outcome: String) -> Result<String> {
        self.held.remove(&sample::ticket(n).id);
        Ok(outcome)
    }

    /// What the held write-back of ticket `n` is about.
    fn about(&self, n: u32) -> DecisionId {
        match &self.held(n).event.detail {
            EventDetail::TicketRouted(routed) => routed.decision_id.clone(),
            EventDetail::TicketReviewed(reviewed) => reviewed.review_id.clone(),
            other => panic!("{other:?} is no write-back"),
        }
    }

    async fn settle(
        &mut self,
        n: u32,
        change: SyncChange,
        event: impl Fn(&switchboard_core::tickets::Ticket, &Decision) -> Event,
    ) -> Result<String> {
        let (ticket, about) = (sample::ticket(n), self.about(n));
        let event = event(&ticket, &self.decisions[&n]);
        let (scope, lease) = (self.scope.clone(), self.held(n).lease.clone());
        let recorded = self.store().record_sync(&scope, &ticket.id, &about, change, Some(event), &lease).await;
        let recorded = told(recorded)?;
        self.ends(n, recorded)
    }

    async fn letter(&self, n: u32) -> Result<Event> {
        let letters = self.store().dead_letters(&self.scope, 100).await?;
        let id = sample::ticket(n).id;
        Ok(letters.into_iter().map(|letter| letter.event).find(|event| *event.detail.ticket_id() == id).unwrap())
    }
}

/// Ticket `n` on its way in, some of them larger than a quarter of a page.
pub(super) fn new_ticket(scope: &TenantScope, n: u32, ids: &dyn Ids) -> NewTicket {
    let mut ticket = sample::ticket(n);
    let words = "The line is dead and the lamp is red. ".repeat(usize::try_from(n % 5).unwrap() * 10);
    ticket.description = switchboard_core::untrusted::Untrusted::new(words + "SVC204");
    sample::new_ticket(scope, ticket, ids)
}

fn told<T: std::fmt::Debug>(outcome: Result<T>) -> Result<String> {
    outcome.map(|value| format!("{value:?}").chars().take(8).collect())
}

/// A failure of the connection beside the store, in the store's words.
fn said(error: rusqlite::Error) -> Error {
    let full = matches!(
        error.sqlite_error().map(|error| error.extended_code),
        Some(rusqlite::ffi::SQLITE_FULL | rusqlite::ffi::SQLITE_IOERR_WRITE)
    );
    let kind = if full { ErrorKind::StorageFull } else { ErrorKind::Internal };
    Error::new(kind, "the connection beside the store failed").caused_by(error)
}
