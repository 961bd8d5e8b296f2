//! Tickets and decisions in DynamoDB.

mod accept;
mod decide;
pub(crate) mod head;
mod list;
mod quotas;
mod review;
mod review_queue;
mod sync;
mod usage;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use switchboard_core::{
    error::Result,
    event::Event,
    ids::{CustomerId, DecisionId, TenantId, TicketId},
    ports::{
        Accepted, Clock, Decided, Ids, Lease, NewReview, NewTicket, Page, PastDecision, Recorded, ReviewFilter,
        ReviewQueue, SyncChange, TenantScope, TicketFile, TicketFilter, TicketStore, TicketSummary,
    },
    tickets::Decision,
    time::Timestamp,
};
use tokio::sync::Notify;

use crate::{
    Clients,
    body::Bodies,
    db::{Db, Requests, Write, key},
    doorbell::{Doorbell, Nobody, Ring},
    queue::Counted,
};

/// The item of `meta` with the tenants that have, or had, work.
const TENANTS: &str = "tenants";
/// How long the register is used as it was read, for figures.
const REGISTER_USED: Duration = Duration::from_secs(30);

/// The tables behind the ports `TicketStore`, `EventQueue`, `EffectLedger`, `ExampleStore` and `UsageLedger`.
///
/// What one call has acknowledged, every later call sees that asks for a ticket, an event or an effect by its id. Lists,
/// counts, histories and the look into the queue go by indexes, which on AWS follow the tables after a moment, commonly well
/// below a second.
///
/// Many processes share the tables, so leases and retries go by the wall clock: a clock that is wrong by more than a lease's
/// time can let two work on one event, and the token then lets one of them record it.
pub struct DynamoStore {
    pub(crate) db: Db,
    pub(crate) bodies: Bodies,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// Rings when this process has queued events.
    pub(crate) queued: Notify,
    pub(crate) counted: Counted,
    doorbell: Arc<dyn Doorbell>,
    advance: Option<Duration>,
    /// Tenants that are known to be in the register.
    registered: Mutex<BTreeSet<TenantId>>,
    /// The register as it was read, and when (monotonic).
    register_read: Mutex<Option<(Duration, Vec<TenantId>)>>,
    /// The tenant that came last in the last look into the queue.
    pub(crate) last: Mutex<Option<TenantId>>,
    turns: AtomicU64,
}

impl DynamoStore {
    /// Over these tables. Nothing is read or written yet.
    pub fn new(clients: &Clients, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self {
            db: Db::new(clients, Arc::clone(&clock), Arc::clone(&ids)),
            bodies: Bodies::new(clients),
            clock,
            ids,
            queued: Notify::new(),
            counted: Counted::default(),
            doorbell: Arc::new(Nobody),
            advance: None,
            registered: Mutex::default(),
            register_read: Mutex::default(),
            last: Mutex::default(),
            turns: AtomicU64::new(0),
        }
    }

    /// The same store that wakes workers by `doorbell`.
    pub fn ringing(self, doorbell: Arc<dyn Doorbell>) -> Self {
        Self { doorbell, ..self }
    }

    /// The same store that stores the events of new tickets already leased for `time`, with the token that the doorbell tells:
    /// whoever gets the first message needs no claim. When it is lost, the event can be claimed after `time`.
    pub fn advance(self, time: Duration) -> Self {
        Self { advance: Some(time), ..self }
    }

    /// The requests that this store has made.
    pub fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.db.requests)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The number of this look into the queue.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The tenants that have, or had, work.
    pub(crate) async fn tenants(&self) -> Result<Vec<TenantId>> {
        let Some(item) = self.db.get("meta", key("name", TENANTS)).await? else { return Ok(Vec::new()) };
        let ids = item.get("ids").and_then(|ids| ids.as_ss().ok());
        let mut tenants: Vec<TenantId> = ids.into_iter().flatten().filter_map(|id| id.parse().ok()).collect();
        tenants.sort();
        Ok(tenants)
    }

    /// Puts the tenant into the register, once in the life of this process: before its first event is stored.
    async fn register(&self, tenant: &TenantId) -> Result<()> {
        if self.registered().contains(tenant) {
            return Ok(());
        }
        let ids = AttributeValue::Ss(vec![tenant.to_string()]);
        self.db.write("registering a tenant", &Write::update("meta", key("name", TENANTS)).add("ids", ids)).await?;
        self.registered().insert(tenant.clone());
        *self.register_read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The register, some seconds old at most: for figures.
    pub(crate) async fn tenants_of_late(&self) -> Result<Vec<TenantId>> {
        let now = self.clock.monotonic();
        let read = self.register_read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, tenants)) = read.filter(|(at, _)| now.saturating_sub(*at) < REGISTER_USED) {
            return Ok(tenants);
        }
        let tenants = self.tenants().await?;
        *self.register_read.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, tenants.clone()));
        Ok(tenants)
    }

    fn registered(&self) -> std::sync::MutexGuard<'_, BTreeSet<TenantId>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that events were queued.
    pub(crate) async fn wake(&self, rings: Vec<Ring>, delay: Duration) {
        self.queued.notify_one();
        if !rings.is_empty() {
            self.doorbell.ring(&rings, delay).await;
        }
    }

    /// Tells of an event that has just happened, whether it makes work or not.
    pub(crate) async fn wake_for(&self, event: &Event) {
        self.counted.add(&event.tenant, i64::from(event.detail.makes_work()));
        self.wake(vec![Ring::new(event, None)], Duration::ZERO).await;
    }
}

#[async_trait]
impl TicketStore for DynamoStore {
    async fn accept(&self, scope: &TenantScope, tickets: Vec<NewTicket>) -> Result<Vec<Result<Accepted>>> {
        accept::accept(self, scope.tenant(), tickets).await
    }

    async fn ticket(&self, scope: &TenantScope, id: &TicketId) -> Result<Option<TicketFile>> {
        head::ticket_file(self, scope.tenant(), id).await
    }

    async fn list(
        &self,
        scope: &TenantScope,
        filter: &TicketFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<TicketSummary>> {
        list::list(self, scope.tenant(), filter, cursor, limit).await
    }

    async fn history(
        &self,
        scope: &TenantScope,
        customer: &CustomerId,
        except: &TicketId,
        limit: u32,
    ) -> Result<Vec<PastDecision>> {
        list::history(self, scope.tenant(), customer, except, limit).await
    }

    async fn decide(&self, scope: &TenantScope, decision: &Decision, event: Event, lease: &Lease) -> Result<Decided> {
        decide::decide(self, scope.tenant(), decision, event, lease).await
    }

    async fn record_review(&self, scope: &TenantScope, new: NewReview) -> Result<Recorded> {
        review::record(self, scope.tenant(), new).await
    }

    async fn review_queue(
        &self,
        scope: &TenantScope,
        filter: &ReviewFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<ReviewQueue> {
        review_queue::page(self, scope.tenant(), filter, cursor, limit).await
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
        sync::Record { tenant: scope.tenant(), ticket, decision, change: &change, event: event.as_ref(), lease }
            .run(self)
            .await
    }
}
