//! Tickets and decisions in SQLite.

mod accept;
mod list;
mod quotas;
mod review;
mod review_queue;
pub(crate) mod rows;
mod settle;
pub(crate) mod usage;

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use moka::sync::Cache;
pub(crate) use rows::{EVENT_COLUMNS, code, count, event, parsed, time, word};
use switchboard_core::{
    access::audit::chain::AuditKey,
    error::{Error, ErrorKind, Result},
    event::Event,
    ids::{CustomerId, DecisionId, KeyId, TicketId},
    limits,
    ports::{
        Accepted, Clock, Decided, KeyRecord, Lease, NewReview, NewTicket, Page, PastDecision, Recorded, ReviewFilter,
        ReviewQueue, SyncChange, TenantScope, TicketFile, TicketFilter, TicketStore, TicketSummary,
    },
    tickets::Decision,
};
use tokio::sync::Notify;

use crate::{
    db::{DataError, Database, Integrity, Role, Volume},
    queue,
    retention::Keeper,
};

/// Keys as they were found, absent ones too, each with the time of its look-up.
pub(crate) type KeyCache = Cache<KeyId, (Duration, Option<KeyRecord>)>;

/// One SQLite file behind the ports `TicketStore`, `EventQueue`, `EffectLedger`, `ExampleStore`, `KeyStore`, `CustomerStore`,
/// `AuditLog`, `OperatorStore` and `UsageLedger`.
pub struct SqliteStore {
    pub(crate) db: Database,
    pub(crate) clock: Arc<dyn Clock>,
    /// Rings when a commit has queued events.
    pub(crate) queued: Notify,
    pub(crate) keys: KeyCache,
    pub(crate) turns: Arc<queue::Turns>,
    /// What is kept for how long.
    pub(crate) keeper: Keeper,
    /// Signs the audit log; not there before [`SqliteStore::seal_audit`].
    pub(crate) audit_key: OnceLock<Arc<AuditKey>>,
    tokens: AtomicU64,
}

impl SqliteStore {
    /// Opens the file, or makes it, and brings its tables to the newest version. A server also ends the leases of all
    /// processes before it; the caller makes sure that there is one server at a time.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, role: Role) -> Result<Self, DataError> {
        Self::open_on(&Volume::default(), path, clock, role)
    }

    /// The same on a volume of a test's making.
    #[doc(hidden)]
    pub fn open_on(volume: &Volume, path: &Path, clock: Arc<dyn Clock>, role: Role) -> Result<Self, DataError> {
        let (db, epoch) = Database::open(volume, path, role, |connection| {
            // What is deleted is overwritten: texts of customers do not stay in free pages.
            connection.pragma_update(None, "secure_delete", true)?;
            match role {
                Role::Server => queue::begin_epoch(connection, clock.now(), millis(clock.monotonic())),
                Role::Tool => Ok(0),
            }
        })?;
        Ok(Self {
            db,
            clock,
            queued: Notify::new(),
            keys: Cache::new(limits::KEYS_CACHED),
            turns: Arc::default(),
            keeper: Keeper::default(),
            audit_key: OnceLock::new(),
            tokens: AtomicU64::new(epoch << 32),
        })
    }

    /// The same store with the key that signs its audit log. Without one, nothing that belongs in the log can be done.
    pub fn seal_audit(self, key: AuditKey) -> Self {
        // The store is new and nobody has set one yet; a second key would not count.
        let _ = self.audit_key.set(Arc::new(key));
        self
    }

    /// Checks the whole file (`PRAGMA integrity_check`).
    pub async fn integrity(&self) -> Result<Integrity> {
        self.db.integrity().await
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.db.path()
    }

    pub(crate) fn next_token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Refuses what comes from outside while the disk is full.
    pub(crate) fn need_room(&self) -> Result<()> {
        if self.db.reserve.has_room(self.clock.monotonic()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::StorageFull, "the disk is full; what was accepted before is worked off"))
    }

    /// The time for leases, in milliseconds: monotonic, so that a jump of the wall clock steals none.
    pub(crate) fn lease_clock(&self) -> i64 {
        millis(self.clock.monotonic())
    }
}

/// A time as the tables keep it.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl TicketStore for SqliteStore {
    async fn accept(&self, scope: &TenantScope, tickets: Vec<NewTicket>) -> Result<Vec<Result<Accepted>>> {
        self.need_room()?;
        let tenant = scope.tenant().clone();
        let outcomes = self.db.writer.write(move |connection| accept::accept(connection, &tenant, tickets)).await?;
        self.queued.notify_one();
        Ok(outcomes)
    }

    async fn has_room(&self) -> Result<()> {
        self.need_room()
    }

    async fn ticket(&self, scope: &TenantScope, id: &TicketId) -> Result<Option<TicketFile>> {
        let (tenant, id) = (scope.tenant().clone(), id.clone());
        self.db.look_up(move |connection| rows::ticket_file(connection, &tenant, &id)).await
    }

    async fn list(
        &self,
        scope: &TenantScope,
        filter: &TicketFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TicketSummary>> {
        let query = list::Query::new(scope.tenant(), filter, cursor, limit)?;
        self.db.read(move |connection| query.run(connection)).await
    }

    async fn history(
        &self,
        scope: &TenantScope,
        customer: &CustomerId,
        except: &TicketId,
        limit: u32,
    ) -> Result<Vec<PastDecision>> {
        let (tenant, customer, except) = (scope.tenant().clone(), customer.clone(), except.clone());
        self.db.look_up(move |connection| rows::history(connection, &tenant, &customer, &except, limit)).await
    }

    async fn decide(&self, scope: &TenantScope, decision: &Decision, event: Event, lease: &Lease) -> Result<Decided> {
        let work = settle::Decide {
            tenant: scope.tenant().clone(),
            record: rows::to_json(decision)?,
            decision: decision.clone(),
            event,
            lease: lease.clone(),
            lease_clock: self.lease_clock(),
        };
        let decided = self.db.writer.write(move |connection| work.run(connection)).await?;
        self.queued.notify_one();
        Ok(decided)
    }

    async fn record_review(&self, scope: &TenantScope, new: NewReview) -> Result<Recorded> {
        self.need_room()?;
        let work = review::Record { tenant: scope.tenant().clone(), record: rows::to_json(&new.review)?, new };
        let recorded = self.db.writer.write(move |connection| work.run(connection)).await?;
        self.queued.notify_one();
        Ok(recorded)
    }

    async fn review_queue(
        &self,
        scope: &TenantScope,
        filter: &ReviewFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ReviewQueue> {
        let query = review_queue::Query::new(scope.tenant(), filter, cursor, limit, self.clock.now())?;
        self.db.read(move |connection| query.run(connection)).await
    }

    async fn record_sync(
        &self,
        scope: &TenantScope,
        ticket: &TicketId,
        decision: &DecisionId,
        change: SyncChange,
        event: Option<Event>,
        lease: &Lease,
    ) -> Result<()> {
        let due = match &change {
            SyncChange::Retry { at, .. } | SyncChange::Deferred { at, .. } => Some(queue::Due::new(self, *at)),
            SyncChange::Succeeded { .. } | SyncChange::Failed { .. } | SyncChange::Superseded => None,
        };
        let work = settle::RecordSync {
            tenant: scope.tenant().clone(),
            ticket: ticket.clone(),
            decision: decision.clone(),
            change,
            event,
            lease: lease.clone(),
            now: self.clock.now(),
            lease_clock: self.lease_clock(),
            due,
        };
        self.db.writer.write(move |connection| work.run(connection)).await
    }
}
