//! The ledger of what leaves the system. An intent is in the transaction of what asks for it, a result in that of the end of
//! its lease.

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    ids::{EffectId, TenantId},
    limits,
    ports::{
        Attempt, Effect, EffectFilter, EffectKind, EffectLedger, EffectState, Lane, Lease, Resolution, TenantScope,
    },
    tickets::SyncStatus,
    time::Timestamp,
};

use crate::{
    DynamoStore,
    db::{Find, Item, Read, Write, key, millis, n, s, throttled},
    queue::{State, is_held, lost, publish, ticket_key, ttl},
    store::head,
};

/// Beginnings of a transaction, each of which has learnt what the one before failed by.
const TRIES: usize = 5;
/// Tenants that are asked at the same time.
const TENANTS_AT_ONCE: usize = 8;
/// Lines that are looked at for those of one state.
const LOOK: usize = 1_000;

/// The key of an effect.
pub(crate) fn effect_key(tenant: &TenantId, id: &EffectId) -> Item {
    key("effect", format!("{tenant}#{id}"))
}

/// Stores that the effect of an event is to happen, when it has one.
pub(crate) fn intend(event: &Event) -> Option<Write> {
    let id = event.detail.effect()?;
    Some(Write::put("effects", line(event, &id)))
}

fn line(event: &Event, id: &EffectId) -> Item {
    let ticket = event.detail.ticket_id();
    let mut item = effect_key(&event.tenant, id);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put("tenant", s(event.tenant.as_str()));
    put("id", s(id.as_str()));
    put("kind", s(EffectKind::DeskUpdate.word()));
    put("ticket", s(ticket.as_str()));
    put("ticket_key", s(ticket_key(&event.tenant, ticket)));
    put("event", s(event.id.as_str()));
    put("state", s(EffectState::Intended.word()));
    put("attempts", n(0));
    put("intended_at", millis(event.at));
    put("changed_at", millis(event.at));
    put("ttl", ttl(event.at, limits::TICKET_RETENTION));
    item
}

/// Sets the state, and its place among those that wait for a person.
fn set_state(write: Write, tenant: &TenantId, state: EffectState) -> Write {
    let held = state.is_held().then(|| s(head::of_tenant(tenant, state.word())));
    write.set("state", s(state.word())).set_or_remove("held", held)
}

/// What came of an attempt, on its way into the ledger. One that stays as it was keeps the time of its beginning, unless a
/// clock that was wrong has put that into the future: which of both holds is found out by trying.
pub(crate) struct Settled {
    tenant: TenantId,
    id: EffectId,
    state: EffectState,
    now: Timestamp,
    guess: Guess,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    Changes,
    Stays,
    Absent,
}

impl Settled {
    pub(crate) fn new(tenant: &TenantId, id: &EffectId, state: EffectState, now: Timestamp) -> Self {
        // Before a result comes an attempt, so only what stays open is as it was.
        let guess = if state == EffectState::Attempted { Guess::Stays } else { Guess::Changes };
        Self { tenant: tenant.clone(), id: id.clone(), state, now, guess }
    }

    /// The write by the present guess; `None` when there is no such line.
    pub(crate) fn write(&self, receipt: Option<&str>, error: Option<&str>) -> Option<Write> {
        let write = Write::update("effects", effect_key(&self.tenant, &self.id));
        let write = set_state(write, &self.tenant, self.state)
            .set_or_remove("receipt", receipt.map(s))
            .set_some("error", error.map(s));
        let values = [("new", s(self.state.word())), ("now", millis(self.now))];
        match self.guess {
            Guess::Absent => None,
            Guess::Stays => Some(write.when("#state = :new AND #changed_at <= :now", values)),
            Guess::Changes => Some(
                write
                    .set("changed_at", millis(self.now))
                    .when("attribute_exists(#effect) AND (#state <> :new OR #changed_at > :now)", values),
            ),
        }
    }

    /// The guess was wrong: the line is this.
    pub(crate) fn failed(&mut self, item: &Item) {
        self.guess = match (item.is_empty(), self.guess) {
            (true, _) => Guess::Absent,
            (false, Guess::Stays) => Guess::Changes,
            (false, _) => Guess::Stays,
        };
    }
}

/// A newer effect tells everything again: those of these that have not happened are not to happen any more, and nobody need
/// find out about the others. One that is under way ends by itself.
pub(crate) async fn supersede(
    store: &DynamoStore,
    tenant: &TenantId,
    ids: &[EffectId],
    at: Timestamp,
) -> Result<Vec<Write>> {
    let keys = ids.iter().map(|id| effect_key(tenant, id)).collect();
    let mut writes = Vec::new();
    for item in store.db.fetch("effects", keys).await? {
        let state: EffectState = item.parsed("state")?;
        if matches!(state, EffectState::Intended | EffectState::Failed | EffectState::Unknown) {
            let write = Write::update("effects", key("effect", item.needed("effect")?));
            let write = set_state(write, tenant, EffectState::Superseded).set("changed_at", millis(at));
            writes.push(write.when("#state = :seen", [("seen", s(state.word()))]));
        }
    }
    Ok(writes)
}

/// What a burial makes of an effect: where an attempt has begun, nobody knows what came of it. `None` when it is settled.
pub(crate) async fn bury(store: &DynamoStore, tenant: &TenantId, id: &EffectId, reason: &str) -> Result<Option<Write>> {
    let Some(item) = store.db.get("effects", effect_key(tenant, id)).await? else { return Ok(None) };
    let state: EffectState = item.parsed("state")?;
    let buried = match state {
        EffectState::Intended => EffectState::Failed,
        EffectState::Attempted => EffectState::Unknown,
        _ => return Ok(None),
    };
    let write = set_state(Write::update("effects", effect_key(tenant, id)), tenant, buried);
    let write = write.set("changed_at", millis(store.now())).set("error", s(reason));
    Ok(Some(write.when("#state = :seen", [("seen", s(state.word()))])))
}

/// What giving up its dead letter makes of an effect that is held; `None` when it is not.
pub(crate) async fn abandon(store: &DynamoStore, tenant: &TenantId, id: &EffectId) -> Result<Option<Write>> {
    let found = held(store, tenant, id).await?;
    found.map(|item| resolved(store, tenant, id, &item, EffectState::Abandoned, None)).transpose()
}

/// The line of an effect that waits for a person.
async fn held(store: &DynamoStore, tenant: &TenantId, id: &EffectId) -> Result<Option<Item>> {
    let item = store.db.get("effects", effect_key(tenant, id)).await?;
    let Some(item) = item else { return Ok(None) };
    Ok(item.parsed::<EffectState>("state")?.is_held().then_some(item))
}

fn resolved(
    store: &DynamoStore,
    tenant: &TenantId,
    id: &EffectId,
    seen: &Item,
    state: EffectState,
    receipt: Option<&str>,
) -> Result<Write> {
    let write = set_state(Write::update("effects", effect_key(tenant, id)), tenant, state);
    let write = write.set("changed_at", millis(store.now())).set_or_remove("receipt", receipt.map(s));
    Ok(write.when("#state = :seen", [("seen", s(seen.needed("state")?))]))
}

fn effect(item: &Item) -> Result<Effect> {
    Ok(Effect {
        id: item.parsed("id")?,
        kind: item.parsed("kind")?,
        ticket_id: item.parsed("ticket")?,
        event: item.parsed("event")?,
        state: item.parsed("state")?,
        attempts: item.number("attempts").unwrap_or(0),
        intended_at: item.needed_time("intended_at")?,
        changed_at: item.needed_time("changed_at")?,
        receipt: item.text("receipt").map(str::to_owned),
        error: item.text("error").map(str::to_owned),
    })
}

#[async_trait]
impl EffectLedger for DynamoStore {
    async fn attempt(&self, scope: &TenantScope, id: &EffectId, lease: &Lease, repeat: bool) -> Result<Attempt> {
        let (tenant, now) = (scope.tenant(), self.now());
        let mut after_open = false;
        for _ in 0..TRIES {
            let write = Write::update("effects", effect_key(tenant, id));
            let write =
                set_state(write, tenant, EffectState::Attempted).add("attempts", n(1)).set("changed_at", millis(now));
            let from = if after_open {
                [EffectState::Attempted, EffectState::Unknown]
            } else {
                [EffectState::Intended, EffectState::Failed]
            };
            let [one, other] = from.map(|state| s(state.word()));
            let write = write.when("#state = :one OR #state = :other", [("one", one), ("other", other)]);
            let Err(cancelled) = self.db.transact("beginning an attempt", &[is_held(lease, now), write]).await? else {
                return Ok(Attempt::Begun { after_open });
            };
            if cancelled.failed(0).is_some() {
                return Err(lost());
            }
            let Some(item) = cancelled.failed(1).filter(|item| !item.is_empty()) else {
                self.intend_late(tenant, id, lease, now).await?;
                continue;
            };
            match item.parsed("state")? {
                state @ (EffectState::Done | EffectState::Superseded | EffectState::Abandoned) => {
                    return Ok(Attempt::Settled(state));
                }
                EffectState::Attempted | EffectState::Unknown if !repeat => {
                    return Ok(Attempt::Open { since: item.needed_time("changed_at")? });
                }
                EffectState::Attempted | EffectState::Unknown => after_open = true,
                EffectState::Intended | EffectState::Failed => after_open = false,
            }
        }
        Err(throttled("an effect changes all the time"))
    }

    async fn effect(&self, scope: &TenantScope, id: &EffectId) -> Result<Option<Effect>> {
        let item = self.db.get("effects", effect_key(scope.tenant(), id)).await?;
        item.as_ref().map(effect).transpose()
    }

    async fn effects(&self, scope: &TenantScope, filter: &EffectFilter) -> Result<Vec<Effect>> {
        let (tenant, limit) = (scope.tenant(), filter.limit as usize);
        let finds = match &filter.ticket {
            Some(ticket) => vec![Find::by("effects", "by_ticket", "ticket_key", ticket_key(tenant, ticket))],
            None => EffectState::ALL
                .iter()
                .filter(|state| state.is_held() && filter.state.is_none_or(|asked| asked == **state))
                .map(|state| Find::by("effects", "held", "held", head::of_tenant(tenant, state.word())))
                .collect(),
        };
        let mut keys = Vec::new();
        for find in finds {
            let most = if filter.ticket.is_some() { LOOK.max(limit) } else { limit };
            for item in self.db.all(&find.newest_first(), most).await? {
                keys.push(key("effect", item.needed("effect")?));
            }
        }
        let found = self.db.fetch("effects", keys).await?;
        let mut effects = found.iter().map(effect).collect::<Result<Vec<_>>>()?;
        effects.retain(|effect| {
            let of_state = filter.state.is_none_or(|state| effect.state == state);
            of_state && (filter.ticket.is_some() || effect.state.is_held())
        });
        effects.sort_by(|one, other| other.id.cmp(&one.id));
        effects.truncate(limit);
        Ok(effects)
    }

    async fn resolve(
        &self,
        scope: &TenantScope,
        id: &EffectId,
        resolution: Resolution,
        event: Option<Event>,
    ) -> Result<bool> {
        let tenant = scope.tenant();
        for _ in 0..TRIES {
            let Some(item) = held(self, tenant, id).await? else { return Ok(false) };
            let line = effect(&item)?;
            // What is in somebody's hands ends by itself: it finds the effect settled.
            let job = self.job(&line.event).await?.filter(|job| job.state.is_some_and(|state| state != State::Leased));
            let letter = job.as_ref().filter(|job| job.state == Some(State::Dead));
            let given_up = job.as_ref().filter(|_| resolution == Resolution::Abandon && letter.is_none());
            let (state, receipt) = match &resolution {
                Resolution::Happened { receipt } => (EffectState::Done, Some(receipt.as_str())),
                Resolution::TryAgain => (EffectState::Intended, None),
                Resolution::Abandon => (EffectState::Abandoned, None),
            };
            let mut writes = vec![resolved(self, tenant, id, &item, state, receipt)?];
            let revived = resolution == Resolution::TryAgain && letter.is_some();
            match (&resolution, letter.or(given_up)) {
                (Resolution::TryAgain, Some(job)) => writes.push(job.again(Lane::Ordinary)?),
                (_, Some(job)) => writes.push(job.discard(self.now())?),
                (_, None) => {}
            }
            writes.extend(self.head_of_resolved(tenant, &line, &resolution).await?);
            if let Some(event) = &event {
                let detail = self.bodies.keep(tenant, &format!("{}/detail", event.id), event.detail_json()).await?;
                writes.push(publish(event, event.detail.lane(), detail, None));
            }
            if self.db.transact("resolving an effect", &writes).await?.is_ok() {
                self.counted.add(tenant, -i64::from(given_up.is_some()));
                if revived {
                    self.wake_again(tenant, vec![line.event]).await;
                }
                return Ok(true);
            }
        }
        Err(throttled("an effect changes all the time"))
    }

    async fn unknown(&self) -> Result<u64> {
        let counts = stream::iter(self.tenants().await?).map(|tenant| async move {
            let held = head::of_tenant(&tenant, EffectState::Unknown.word());
            self.db.count(&Find::by("effects", "held", "held", held), u64::MAX).await
        });
        Ok(counts.buffer_unordered(TENANTS_AT_ONCE).try_collect::<Vec<_>>().await?.into_iter().sum())
    }
}

impl DynamoStore {
    /// Puts in the line of an event whose intent was not stored.
    async fn intend_late(&self, tenant: &TenantId, id: &EffectId, lease: &Lease, now: Timestamp) -> Result<()> {
        let job = self.job(&lease.event).await?.filter(|job| job.tenant == *tenant).ok_or_else(lost)?;
        job.is_held(lease, now)?;
        let event = job.load(&self.bodies).await?;
        if event.detail.effect().as_ref() != Some(id) {
            return Err(Error::new(ErrorKind::Internal, "the effect is not that of the leased event"));
        }
        let write = Write::put("effects", line(&event, id)).when("attribute_not_exists(#effect)", []);
        // When somebody was quicker, the line is there all the same.
        let _ = self.db.transact("putting in an effect", &[write]).await?;
        Ok(())
    }

    /// What a resolution makes of the ticket's write-back, when the effect is the newest one.
    async fn head_of_resolved(
        &self,
        tenant: &TenantId,
        line: &Effect,
        resolution: &Resolution,
    ) -> Result<Option<Write>> {
        let head_key = || head::part(tenant, &line.ticket_id, head::HEAD);
        let Some(found) = self.db.get("tickets", head_key()).await? else { return Ok(None) };
        if found.text("sync_of") != Some(line.id.as_str()) {
            return Ok(None);
        }
        let write = Write::update("tickets", head_key()).when("#sync_of = :about", [("about", s(line.id.as_str()))]);
        Ok(match resolution {
            Resolution::Happened { receipt } => Some(
                head::set_sync(write, tenant, SyncStatus::Success)
                    .set("sync_receipt", s(receipt.as_str()))
                    .set("sync_changed_at", millis(self.now())),
            ),
            Resolution::TryAgain => Some(head::set_sync(write, tenant, SyncStatus::Pending)),
            Resolution::Abandon if found.text("sync") == Some(SyncStatus::Pending.word()) => {
                Some(head::set_sync(write, tenant, SyncStatus::Failed))
            }
            Resolution::Abandon => None,
        })
    }
}
