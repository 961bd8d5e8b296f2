//! Dead letters and the archive.

use std::time::Duration;

use switchboard_core::{
    error::Result,
    event::Event,
    ids::{EventId, TenantId},
    ports::{DeadLetter, EventFilter, Lane, Lease},
    tickets::SyncStatus,
    time::Timestamp,
};
use ulid::Ulid;

use super::job::{self, Job, State, dead_queue, event_key, let_go, lost, ticket_key};
use crate::{
    DynamoStore,
    db::{Find, Item, Read, TRANSACTION_ITEMS, Write, millis, s, throttled},
    effects,
    store::head,
};

/// Beginnings of a transaction, when what it is about moves in between.
const TRIES: usize = 5;
/// Lines of the archive that are read at once.
const LOOK: usize = 300;
/// How far an event's id may be ahead of its time: ids never go back, clocks do.
const IDS_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// Why an event is a dead letter that nobody has buried.
const DIED: &str = "the process died or stalled each time it worked on this, also alone";

/// The first id that an event of that time can have.
fn first_id_of(at: Timestamp) -> String {
    Ulid::from_parts(at.as_millis().unsigned_abs(), 0).to_string()
}

/// The last id that an event of that time can have.
pub(super) fn last_id_of(at: Timestamp) -> String {
    Ulid::from_parts(at.as_millis().unsigned_abs(), u128::MAX >> 48).to_string()
}

/// Ends a lease: nobody works on the event by himself any more.
pub(super) async fn bury(store: &DynamoStore, lease: &Lease, reason: &str) -> Result<()> {
    for _ in 0..TRIES {
        let now = store.now();
        let job = store.held(lease, now).await?;
        let mut writes = vec![job::bury(&job.tenant, lease, now, reason), let_go(&job.ticket_key, &lease.event)];
        writes.extend(consequences(store, &job, reason).await?);
        let Err(cancelled) = store.db.transact("burying an event", &writes).await? else {
            store.counted.add(&job.tenant, -1);
            return Ok(());
        };
        if cancelled.failed(0).is_some() || cancelled.failed(1).is_some() {
            return Err(lost());
        }
    }
    Err(throttled("an event's ticket changes all the time"))
}

/// Buries an event that died too often.
pub(super) async fn give_up(store: &DynamoStore, job: &Job, interrupted: u32) -> Result<()> {
    for _ in 0..TRIES {
        let mut writes = vec![job.give_up(store.now(), interrupted, DIED)?];
        writes.extend(consequences(store, job, DIED).await?);
        let Err(cancelled) = store.db.transact("burying an event", &writes).await? else {
            store.counted.add(&job.tenant, -1);
            return Ok(());
        };
        if cancelled.failed(0).is_some() {
            // Somebody else was quicker.
            return Ok(());
        }
    }
    Err(throttled("an event's ticket changes all the time"))
}

/// A write-back that nobody tries again has failed, whatever it failed by, and so has its effect, unless an attempt is open.
async fn consequences(store: &DynamoStore, job: &Job, reason: &str) -> Result<Vec<Write>> {
    let Some(effect) = job.effect()? else { return Ok(Vec::new()) };
    let failed = head_of(store, job, SyncStatus::Pending, SyncStatus::Failed).await?;
    let failed = failed.map(|write| write.set("sync_error", s(reason)).set("sync_changed_at", millis(store.now())));
    let effect = effects::bury(store, &job.tenant, &effect, reason).await?;
    Ok(failed.into_iter().chain(effect).collect())
}

/// Moves the write-back of the job's ticket, when that is the job's and stands so.
async fn head_of(store: &DynamoStore, job: &Job, from: SyncStatus, to: SyncStatus) -> Result<Option<Write>> {
    let Some(effect) = job.effect()? else { return Ok(None) };
    let key = head::part(&job.tenant, &job.ticket()?, head::HEAD);
    let Some(found) = store.db.get("tickets", key.clone()).await? else { return Ok(None) };
    if found.text("sync_of") != Some(effect.as_str()) || found.text("sync") != Some(from.word()) {
        return Ok(None);
    }
    let values = [("from", s(from.word())), ("about", s(effect.as_str()))];
    let write = Write::update("tickets", key).when("#sync = :from AND #sync_of = :about", values);
    Ok(Some(head::set_sync(write, &job.tenant, to)))
}

pub(super) async fn list(store: &DynamoStore, tenant: &TenantId, limit: usize) -> Result<Vec<DeadLetter>> {
    let find = Find::by("events", "queue", "queue", dead_queue(tenant)).newest_first().at_most(limit);
    let keys = keys(&store.db.all(&find, limit).await?)?;
    let mut letters = Vec::new();
    for item in store.db.fetch("events", keys).await? {
        let job = Job::read(item)?;
        if job.state == Some(State::Dead) {
            letters.push(DeadLetter {
                event: job.load(&store.bodies).await?,
                reason: job.item.text("reason").unwrap_or_default().to_owned(),
                failed: job.failed,
                interrupted: job.interrupted,
                at: job.item.needed_time("died_at")?,
            });
        }
    }
    letters.sort_by(|one, other| (other.at, &other.event.id).cmp(&(one.at, &one.event.id)));
    Ok(letters)
}

fn keys(lines: &[Item]) -> Result<Vec<Item>> {
    lines.iter().map(|line| Ok(event_key(&line.parsed("event")?))).collect()
}

/// The tenant's dead letter of that id.
async fn letter(store: &DynamoStore, tenant: &TenantId, id: &EventId) -> Result<Option<Job>> {
    Ok(store.job(id).await?.filter(|job| job.tenant == *tenant && job.state == Some(State::Dead)))
}

pub(super) async fn revive(store: &DynamoStore, tenant: &TenantId, id: &EventId, lane: Lane) -> Result<bool> {
    for _ in 0..TRIES {
        let Some(job) = letter(store, tenant, id).await? else { return Ok(false) };
        let mut writes = vec![job.again(lane)?];
        // A write-back that is tried again is no failed one any more.
        writes.extend(head_of(store, &job, SyncStatus::Failed, SyncStatus::Pending).await?);
        if store.db.transact("reviving an event", &writes).await?.is_ok() {
            store.wake_again(tenant, vec![id.clone()]).await;
            return Ok(true);
        }
    }
    Err(throttled("a dead letter changes all the time"))
}

pub(super) async fn discard(store: &DynamoStore, tenant: &TenantId, id: &EventId) -> Result<bool> {
    for _ in 0..TRIES {
        let Some(job) = letter(store, tenant, id).await? else { return Ok(false) };
        let mut writes = vec![job.discard(store.now())?];
        if let Some(effect) = job.effect()? {
            writes.extend(effects::abandon(store, tenant, &effect).await?);
        }
        if store.db.transact("discarding an event", &writes).await?.is_ok() {
            return Ok(true);
        }
    }
    Err(throttled("a dead letter changes all the time"))
}

/// Reads the archive, oldest first.
struct Archive<'a> {
    store: &'a DynamoStore,
    filter: &'a EventFilter,
    find: Find,
    from: Option<Item>,
    done: bool,
}

impl<'a> Archive<'a> {
    fn new(store: &'a DynamoStore, tenant: &TenantId, filter: &'a EventFilter) -> Self {
        let find = match &filter.ticket {
            Some(ticket) => Find::by("events", "by_ticket", "ticket_key", ticket_key(tenant, ticket)),
            None => Find::by("events", "by_tenant", "tenant", tenant.as_str()),
        };
        let first = filter.since.map_or_else(|| "0".to_owned(), first_id_of);
        let last = filter.until.map_or_else(|| "~".to_owned(), |until| last_id_of(until.plus(IDS_AHEAD)));
        Self { store, filter, find: find.between("event", first, last).at_most(LOOK), from: None, done: false }
    }

    /// The next ones that fit; `None` at the end.
    async fn next(&mut self) -> Result<Option<Vec<Job>>> {
        if self.done {
            return Ok(None);
        }
        let (lines, from) = self.store.db.page(&self.find, self.from.take()).await?;
        self.done = from.is_none();
        self.from = from;
        let items = self.store.db.fetch("events", keys(&lines)?).await?;
        let mut jobs = items.into_iter().map(Job::read).collect::<Result<Vec<_>>>()?;
        jobs.sort_by(|one, other| one.event.cmp(&other.event));
        jobs.retain(|job| {
            let at = job.item.time("at").unwrap_or(Timestamp::from_millis(0));
            let name = job.item.text("detail_type");
            self.filter.since.is_none_or(|since| at >= since)
                && self.filter.until.is_none_or(|until| at < until)
                && self.filter.detail_type.as_deref().is_none_or(|asked| name == Some(asked))
        });
        Ok(Some(jobs))
    }
}

pub(super) async fn archived(store: &DynamoStore, tenant: &TenantId, filter: &EventFilter) -> Result<Vec<Event>> {
    let mut archive = Archive::new(store, tenant, filter);
    let (mut events, limit) = (Vec::new(), filter.limit as usize);
    while events.len() < limit
        && let Some(jobs) = archive.next().await?
    {
        for job in jobs.iter().take(limit - events.len()) {
            events.push(job.load(&store.bodies).await?);
        }
    }
    Ok(events)
}

pub(super) async fn replay(store: &DynamoStore, tenant: &TenantId, filter: &EventFilter) -> Result<u64> {
    let mut archive = Archive::new(store, tenant, filter);
    let (mut queued, limit) = (0, filter.limit as usize);
    while queued < limit
        && let Some(jobs) = archive.next().await?
    {
        let done: Vec<Job> = jobs.into_iter().filter(|job| job.state.is_none() && makes_work(job)).collect();
        for chunk in done.chunks(TRANSACTION_ITEMS) {
            let again = queue_again(store, chunk.iter().take(limit - queued).collect()).await?;
            queued += again.len();
            store.wake_again(tenant, again).await;
        }
    }
    Ok(queued as u64)
}

/// Whether somebody has work to do with it: the same as [`switchboard_core::event::EventDetail::makes_work`], by the item.
fn makes_work(job: &Job) -> bool {
    job.item.text("detail_type") == Some("TicketReceived") || job.item.text("effect").is_some()
}

/// Queues what is done; those that somebody else has queued meanwhile are left alone.
async fn queue_again(store: &DynamoStore, mut jobs: Vec<&Job>) -> Result<Vec<EventId>> {
    while !jobs.is_empty() {
        let writes = jobs.iter().map(|job| job.again(Lane::Bulk)).collect::<Result<Vec<_>>>()?;
        match store.db.transact("replaying events", &writes).await? {
            Ok(()) => break,
            Err(cancelled) => {
                let mut at = 0..;
                jobs.retain(|_| at.next().is_some_and(|at| cancelled.failed(at).is_none()));
            }
        }
    }
    Ok(jobs.into_iter().map(|job| job.event.clone()).collect())
}
