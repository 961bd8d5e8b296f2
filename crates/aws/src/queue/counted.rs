//! How much waits. Counting reads the index, so a count is used for a moment, with what this process has done since.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard_core::{
    error::Result,
    ids::TenantId,
    limits,
    ports::{Backlog, QueueDepth},
};

use super::job::{dead_queue, parse_turn, time_of};
use crate::{
    DynamoStore,
    db::{Find, Read, corrupt},
};

/// How long the count of the tenant that asks is used.
const OWN_USED: Duration = Duration::from_secs(2);
/// How long the counts of the others are used.
const OTHERS_USED: Duration = Duration::from_secs(30);
/// Tenants that are counted at the same time.
const AT_ONCE: usize = 8;

/// What was counted, by tenant: when (monotonic), and how many.
#[derive(Default)]
pub(crate) struct Counted(Mutex<BTreeMap<TenantId, (Duration, i64)>>);

impl Counted {
    /// This process has queued so many, or settled them.
    pub(crate) fn add(&self, tenant: &TenantId, jobs: i64) {
        if let Some((_, count)) = self.counts().get_mut(tenant) {
            *count = count.saturating_add(jobs).max(0);
        }
    }

    fn get(&self, tenant: &TenantId, now: Duration, used: Duration) -> Option<i64> {
        self.counts().get(tenant).filter(|(at, _)| now.saturating_sub(*at) < used).map(|(_, count)| *count)
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<TenantId, (Duration, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn backlog(store: &DynamoStore, tenant: &TenantId) -> Result<Backlog> {
    let own = count(store, tenant, OWN_USED).await?;
    let tenants = store.tenants_of_late().await?;
    let others = stream::iter(tenants.into_iter().filter(|other| other != tenant))
        .map(|other| async move { count(store, &other, OTHERS_USED).await })
        .buffer_unordered(AT_ONCE);
    let others: u64 = others.try_collect::<Vec<_>>().await?.into_iter().sum();
    Ok(Backlog { tenant: own, all: own + others })
}

/// Jobs of the tenant; from the limit on, at least so many.
async fn count(store: &DynamoStore, tenant: &TenantId, used: Duration) -> Result<u64> {
    let now = store.clock.monotonic();
    let known = match store.counted.get(tenant, now, used) {
        Some(known) => known,
        None => {
            let find = Find::by("events", "queue", "queue", tenant.as_str());
            let counted = store.db.count(&find, limits::TENANT_BACKLOG).await?;
            let counted = i64::try_from(counted).unwrap_or(i64::MAX);
            store.counted.counts().insert(tenant.clone(), (now, counted));
            counted
        }
    };
    Ok(known.unsigned_abs())
}

pub(super) async fn depth(store: &DynamoStore) -> Result<QueueDepth> {
    let depths = stream::iter(store.tenants().await?).map(|tenant| async move { depth_of(store, &tenant).await });
    let depths: Vec<QueueDepth> = depths.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(depths.iter().fold(QueueDepth::default(), |sum, one| QueueDepth {
        waiting: sum.waiting + one.waiting,
        leased: sum.leased + one.leased,
        oldest_ms: sum.oldest_ms.max(one.oldest_ms),
        dead: sum.dead + one.dead,
    }))
}

async fn depth_of(store: &DynamoStore, tenant: &TenantId) -> Result<QueueDepth> {
    let now = store.now();
    let mut depth = QueueDepth::default();
    for item in store.db.all(&Find::by("events", "queue", "queue", tenant.as_str()), usize::MAX).await? {
        let (state, place, event) = parse_turn(item.needed("turn")?).ok_or_else(|| corrupt("turn"))?;
        let place = switchboard_core::time::Timestamp::from_millis(place);
        if state == '0' && place > now {
            depth.leased += 1;
            continue;
        }
        depth.waiting += 1;
        let since = match state {
            '0' | '1' => place,
            _ => time_of(&event),
        };
        let waited = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        depth.oldest_ms = depth.oldest_ms.max(waited);
    }
    depth.dead = store.db.count(&Find::by("events", "queue", "queue", dead_queue(tenant)), u64::MAX).await?;
    Ok(depth)
}
