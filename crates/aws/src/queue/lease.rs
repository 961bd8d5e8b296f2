//! Who gets which events: by a look into the queue, or by a message that names them.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard_core::{
    error::Result,
    ids::{EventId, TenantId},
    jobs::fair,
    limits,
    ports::{Lane, Lease, Leased},
    time::Timestamp,
};

use super::{
    job::{Job, Standing, event_key, parse_turn},
    letters,
};
use crate::{
    DynamoStore,
    db::{Find, Item, Read, TRANSACTION_ITEMS},
    doorbell::Ring,
};

/// After how long an event is asked for again whose ticket has another one in hand: most take a second or two.
const HELD_UP_WAIT: Duration = Duration::from_secs(5);
/// Events that one call of [`DynamoStore::unfinished`] tells of each tenant.
pub const UNFINISHED_AT_ONCE: usize = 1_000;
/// Tenants whose queues are looked into at the same time.
const TENANTS_AT_ONCE: usize = 8;
/// Lines of a queue that one look reads: a queue that is shorter costs one request.
const LOOK: usize = 1_000;
/// Events that are read beyond those wanted, because some may be taken or belong to a ticket that is in hand.
const SPARE: usize = 16;

/// What a look into a tenant's queue has found.
struct Look {
    tenant: TenantId,
    /// Events in somebody's hands.
    held: usize,
    /// Events whose lease has ended, or whose time has come.
    ripe: Vec<EventId>,
    /// Events to be run alone.
    alone: Vec<EventId>,
    /// Due events by their lane, in the order of leasing.
    due: Vec<(u8, EventId)>,
}

impl Look {
    fn new(tenant: TenantId) -> Self {
        Self { tenant, held: 0, ripe: Vec::new(), alone: Vec::new(), due: Vec::new() }
    }

    fn read(&mut self, items: &[Item], now: Timestamp) {
        for item in items {
            let Some((state, place, event)) = item.text("turn").and_then(parse_turn) else {
                tracing::error!(tenant = %self.tenant, "a line of the queue cannot be read");
                continue;
            };
            let at = Timestamp::from_millis(place);
            match state {
                '0' if at > now => self.held += 1,
                '1' if at > now && at <= now.plus(limits::RETRY_WAIT) => {}
                '0' | '1' => self.ripe.push(event),
                '2' => self.alone.push(event),
                _ => self.due.push((u8::try_from(place).unwrap_or(Lane::Ordinary as u8), event)),
            }
        }
    }

    /// How many could be leased, as far as they need be counted.
    fn due(&self, max: usize) -> usize {
        (self.ripe.len() + self.due.len()).min(max)
    }
}

/// The order of lanes in this turn: every so-many-eth begins with the last.
fn lane_order(lane: u8, from_the_last: bool) -> u8 {
    if from_the_last { Lane::Bulk as u8 - lane.min(Lane::Bulk as u8) } else { lane }
}

async fn look(store: &DynamoStore, tenant: TenantId, max: usize, from_the_last: bool) -> Result<Look> {
    let now = store.now();
    let queue = || Find::by("events", "queue", "queue", tenant.as_str());
    let (items, more) = store.db.page(&queue().at_most(LOOK), None).await?;
    let mut look = Look::new(tenant.clone());
    if more.is_none() {
        look.read(&items, now);
    } else {
        look.read(&store.db.all(&queue().under("turn", "0"), usize::MAX).await?, now);
        let ripe = queue().between("turn", "1#", format!("1#{:015}$", now.as_millis()));
        look.read(&store.db.all(&ripe.at_most(max), max).await?, now);
        look.read(&store.db.all(&queue().under("turn", "2").at_most(max), max).await?, now);
        let lanes = Lane::ALL.iter().map(|lane| *lane as u8);
        let mut lanes: Vec<u8> = lanes.collect();
        lanes.sort_by_key(|lane| lane_order(*lane, from_the_last));
        for lane in lanes {
            let left = (max + SPARE).saturating_sub(look.due.len());
            if left > 0 {
                let find = queue().under("turn", &format!("3#{lane}")).at_most(left);
                look.read(&store.db.all(&find, left).await?, now);
            }
        }
    }
    look.due.sort_by_key(|(lane, event)| (lane_order(*lane, from_the_last), event.clone()));
    Ok(look)
}

/// Looks into all tenants' queues, beginning after the tenant that came last.
async fn looks(store: &DynamoStore, max: usize, from_the_last: bool) -> Result<Vec<Look>> {
    let mut tenants = store.tenants().await?;
    if let Some(last) = &*store.last.lock().unwrap_or_else(PoisonError::into_inner) {
        let after = tenants.partition_point(|tenant| tenant <= last);
        tenants.rotate_left(after);
    }
    let looks = stream::iter(tenants).map(|tenant| look(store, tenant, max, from_the_last));
    looks.buffered(TENANTS_AT_ONCE).try_collect().await
}

pub(super) async fn lease(store: &DynamoStore, max: usize, time: Duration) -> Result<Vec<Leased>> {
    if max == 0 {
        return Ok(Vec::new());
    }
    let from_the_last = store.next_turn().is_multiple_of(limits::LANES_TURN);
    let looks = looks(store, max, from_the_last).await?;
    let all_held: usize = looks.iter().map(|look| look.held).sum();
    let looks: Vec<Look> = looks.into_iter().filter(|look| look.due(max) > 0).take(max).collect();
    let waiting: Vec<_> = looks.iter().map(|look| fair::Waiting { held: look.held, due: look.due(max) }).collect();
    let free = limits::JOBS_IN_HAND.saturating_sub(all_held).max(max);
    let shares = fair::deal(max, free, &waiting);
    let shares: Vec<_> = looks.into_iter().zip(shares).filter(|(_, share)| *share > 0).collect();
    if let Some((look, _)) = shares.last() {
        *store.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(look.tenant.clone());
    }
    let mut leased = Vec::new();
    for (look, share) in shares {
        leased.extend(take(store, look, share, time, from_the_last).await?);
    }
    Ok(leased)
}

/// Leases the tenant's share.
async fn take(
    store: &DynamoStore,
    look: Look,
    share: usize,
    time: Duration,
    from_the_last: bool,
) -> Result<Vec<Leased>> {
    let mut leased = Vec::with_capacity(share);
    let mut tickets = BTreeSet::new();
    let (mut window, mut due) = (look.ripe, look.due.into_iter().map(|(_, event)| event));
    loop {
        window.extend(due.by_ref().take(share - leased.len() + SPARE));
        if window.is_empty() {
            return Ok(leased);
        }
        let mut jobs = jobs(store, std::mem::take(&mut window)).await?;
        jobs.sort_by_key(|job| (lane_order(job.lane, from_the_last), job.event.clone()));
        let mut chosen = Vec::new();
        for job in jobs {
            if chosen.len() + leased.len() == share {
                break;
            }
            match job.standing(store.now()) {
                Standing::Free { interrupted } if tickets.insert(job.ticket_key.clone()) => {
                    chosen.push((job, interrupted));
                }
                standing => settle_dead(store, &job, standing).await?,
            }
        }
        leased.extend(claim_all(store, chosen, time).await?);
        if leased.len() >= share {
            return Ok(leased);
        }
    }
}

/// Sets aside what was interrupted often, and buries what died alone too.
async fn settle_dead(store: &DynamoStore, job: &Job, standing: Standing) -> Result<()> {
    match standing {
        Standing::Suspect { interrupted } if !job.is_aside() => {
            // When it fails, somebody else was quicker.
            let _ = store.db.write("setting an event aside", &job.set_aside(interrupted)?).await?;
            Ok(())
        }
        Standing::Lost { interrupted } => letters::give_up(store, job, interrupted).await,
        Standing::Suspect { .. } | Standing::Free { .. } | Standing::Not => Ok(()),
    }
}

async fn jobs(store: &DynamoStore, events: Vec<EventId>) -> Result<Vec<Job>> {
    let unique: BTreeSet<EventId> = events.into_iter().collect();
    let found = store.db.fetch("events", unique.iter().map(event_key).collect()).await?;
    found.into_iter().map(Job::read).collect()
}

/// Leases these, as far as they and their tickets are free.
async fn claim_all(store: &DynamoStore, jobs: Vec<(Job, u32)>, time: Duration) -> Result<Vec<Leased>> {
    let mut held_up = Vec::new();
    claim_free(store, jobs, time, &mut held_up).await
}

/// The same; which events were due, but others of their tickets in hand, is added to `held_up`.
async fn claim_free(
    store: &DynamoStore,
    jobs: Vec<(Job, u32)>,
    time: Duration,
    held_up: &mut Vec<EventId>,
) -> Result<Vec<Leased>> {
    let mut leased = Vec::with_capacity(jobs.len());
    let mut jobs = jobs.into_iter().peekable();
    while jobs.peek().is_some() {
        let mut left: Vec<(Job, u32)> = jobs.by_ref().take(TRANSACTION_ITEMS / 2).collect();
        while !left.is_empty() {
            let now = store.now();
            let mut writes = Vec::with_capacity(left.len() * 2);
            for (job, interrupted) in &left {
                writes.extend(job.claim(now, now.plus(time), *interrupted)?);
            }
            match store.db.transact("leasing events", &writes).await? {
                Ok(()) => break,
                Err(cancelled) => {
                    let mut at = (0..).step_by(2);
                    left.retain(|(job, _)| {
                        let at = at.next().unwrap_or_default();
                        let (taken, held) = (cancelled.failed(at).is_some(), cancelled.failed(at + 1).is_some());
                        if held && !taken {
                            held_up.push(job.event.clone());
                        }
                        !taken && !held
                    });
                }
            }
        }
        for (job, interrupted) in left {
            // One whose body cannot be read is in hand now and will be found dead; the others go on.
            match job.load(&store.bodies).await {
                Ok(event) => leased.push(Leased {
                    lease: Lease { event: job.event, token: job.token + 1 },
                    event,
                    failed: job.failed,
                    interrupted,
                }),
                Err(error) => {
                    tracing::error!(event = %job.event, error = error.report(), "a leased event cannot be read");
                }
            }
        }
    }
    Ok(leased)
}

pub(super) async fn claim(
    store: &DynamoStore,
    tenant: &TenantId,
    events: &[EventId],
    time: Duration,
) -> Result<Vec<Leased>> {
    let alone = events.len() == 1;
    let mut jobs = jobs(store, events.to_vec()).await?;
    jobs.retain(|job| job.tenant == *tenant);
    jobs.sort_by(|one, other| one.event.cmp(&other.event));
    let (mut chosen, mut tickets, mut held_up) = (Vec::new(), BTreeSet::new(), Vec::new());
    for job in jobs {
        match job.standing(store.now()) {
            Standing::Free { interrupted } if tickets.insert(job.ticket_key.clone()) => chosen.push((job, interrupted)),
            Standing::Free { .. } => held_up.push(job.event),
            Standing::Suspect { interrupted } if alone => chosen.push((job, interrupted)),
            standing => settle_dead(store, &job, standing).await?,
        }
    }
    let leased = claim_free(store, chosen, time, &mut held_up).await?;
    if !held_up.is_empty() {
        // Their message is used up, and the sweeper looks once a minute.
        let rings = held_up.into_iter().map(|event| Ring::again(tenant.clone(), event));
        store.wake(rings.collect(), HELD_UP_WAIT).await;
    }
    Ok(leased)
}

pub(super) async fn lease_suspect(store: &DynamoStore, time: Duration) -> Result<Option<Leased>> {
    for look in looks(store, 1, false).await? {
        let ids = look.alone.into_iter().chain(look.ripe).collect();
        for job in jobs(store, ids).await? {
            match job.standing(store.now()) {
                Standing::Suspect { interrupted } => {
                    if let Some(leased) = claim_all(store, vec![(job, interrupted)], time).await?.pop() {
                        return Ok(Some(leased));
                    }
                }
                Standing::Lost { .. } => settle_dead(store, &job, job.standing(store.now())).await?,
                Standing::Free { .. } | Standing::Not => {}
            }
        }
    }
    Ok(None)
}

pub(super) async fn has_suspects(store: &DynamoStore) -> Result<bool> {
    for look in looks(store, 1, false).await? {
        if !look.alone.is_empty() {
            return Ok(true);
        }
        let now = store.now();
        let suspect = |job: &Job| matches!(job.standing(now), Standing::Suspect { .. });
        if !look.ripe.is_empty() && jobs(store, look.ripe).await?.iter().any(suspect) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) async fn unfinished(store: &DynamoStore, older_than: Duration) -> Result<Vec<Ring>> {
    let now = store.now();
    let before = now.minus(older_than);
    let rings = stream::iter(store.tenants().await?).map(|tenant| unfinished_of(store, tenant, now, before));
    Ok(rings.buffered(TENANTS_AT_ONCE).try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
}

async fn unfinished_of(store: &DynamoStore, tenant: TenantId, now: Timestamp, before: Timestamp) -> Result<Vec<Ring>> {
    let last_id = letters::last_id_of(before);
    let mut places = vec![
        // A lease's end is a wait already: whoever works on renews it.
        ("0#".to_owned(), format!("0#{:015}$", now.as_millis())),
        ("1#".to_owned(), format!("1#{:015}$", before.as_millis())),
        ("2#".to_owned(), format!("2#{last_id}")),
    ];
    places.extend(
        Lane::ALL.iter().map(|lane| *lane as u8).map(|lane| (format!("3#{lane}#"), format!("3#{lane}#{last_id}"))),
    );
    let mut rings = Vec::new();
    for (low, high) in places {
        let left = UNFINISHED_AT_ONCE.saturating_sub(rings.len());
        if left == 0 {
            break;
        }
        let find = Find::by("events", "queue", "queue", tenant.as_str()).between("turn", low, high).at_most(left);
        for item in store.db.all(&find, left).await? {
            rings.push(Ring::again(tenant.clone(), item.parsed("event")?));
        }
    }
    Ok(rings)
}
