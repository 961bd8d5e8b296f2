//! Taking tickets in: head, record, event, idempotency key and counts of as many as fit, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{IdempotencyKey, TenantId, TicketId},
    limits,
    ports::{Accepted, NewTicket},
    tickets::Ticket,
    time::Timestamp,
};

use super::{
    DynamoStore, head,
    quotas::{self, Counter, Counts},
};
use crate::{
    body::Body,
    db::{Read, TRANSACTION_BYTES, TRANSACTION_ITEMS, Write, pair, s, throttled, to_json},
    doorbell::Ring,
    queue::{publish, ttl},
};

/// Transactions of one batch at the same time.
const AT_ONCE: usize = 8;
/// Bodies of one batch that are stored at the same time.
const BODIES_AT_ONCE: usize = 8;
/// Beginnings of one transaction, each of which has learnt what the one before failed by.
const TRIES: usize = 24;
/// Bytes of a ticket's items beside its bodies, generously.
const ITEMS_BYTES: usize = 3_000;

/// A ticket with the values that its items hold.
struct Prepared {
    new: NewTicket,
    record: Body,
    detail: Body,
}

/// What is there already.
enum Known {
    /// A ticket of this id.
    Id,
    /// The idempotency key, for this ticket.
    Key(TicketId),
}

/// What became of a ticket, before what is stored was read.
enum Came {
    New,
    Known(Known),
    Refused(Error),
}

/// What a write of the transaction is about.
enum About {
    Head(usize),
    Key(usize),
    Count(Counter),
    Nothing,
}

pub(super) async fn accept(
    store: &DynamoStore,
    tenant: &TenantId,
    tickets: Vec<NewTicket>,
) -> Result<Vec<Result<Accepted>>> {
    if tickets.is_empty() {
        return Ok(Vec::new());
    }
    store.register(tenant).await?;
    let prepared: Vec<_> = stream::iter(tickets)
        .map(|new| prepare(store, tenant, new))
        .buffered(BODIES_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    let call = Call { store, tenant, prepared, now: store.now() };
    let mut came = BTreeMap::new();
    let mut left: Vec<usize> = (0..call.prepared.len()).collect();
    while !left.is_empty() {
        let (wave, later) = call.without_doubles(left);
        for (at, outcome) in call.run(wave).await? {
            came.insert(at, outcome);
        }
        left = later;
    }
    call.ring(&came).await;
    call.outcomes(came).await
}

async fn prepare(store: &DynamoStore, tenant: &TenantId, new: NewTicket) -> Result<Prepared> {
    let id = &new.event.id;
    let record = store.bodies.keep(tenant, &format!("{id}/record"), to_json(&new.ticket.to_record())?).await?;
    let detail = store.bodies.keep(tenant, &format!("{id}/detail"), new.event.detail_json()).await?;
    Ok(Prepared { new, record, detail })
}

struct Call<'a> {
    store: &'a DynamoStore,
    tenant: &'a TenantId,
    prepared: Vec<Prepared>,
    now: Timestamp,
}

impl Call<'_> {
    /// The first of each id and of each key, and the others, which meet what the first ones came to.
    fn without_doubles(&self, all: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        all.into_iter().partition(|at| {
            let new = &self.prepared[*at].new;
            let fresh_key = new.idempotency_key.as_ref().is_none_or(|key| !keys.contains(key));
            let first = fresh_key && !ids.contains(&new.ticket.id);
            if first {
                ids.insert(new.ticket.id.clone());
                keys.extend(new.idempotency_key.clone());
            }
            first
        })
    }

    async fn run(&self, wave: Vec<usize>) -> Result<Vec<(usize, Came)>> {
        // Quotas are used up in the order of the tickets, so there one transaction follows the other.
        let counted = wave.iter().any(|at| quotas::counts(&self.prepared[*at].new));
        let at_once = if counted { 1 } else { AT_ONCE };
        let chunks = stream::iter(self.chunks(wave)).map(|chunk| self.store(chunk)).buffered(at_once);
        Ok(chunks.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    /// As many as fit into a transaction.
    fn chunks(&self, wave: Vec<usize>) -> Vec<Vec<usize>> {
        let (mut chunks, mut chunk, mut items, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
        for at in wave {
            let Prepared { new, record, detail } = &self.prepared[at];
            let takes = 3 + usize::from(new.idempotency_key.is_some()) + 2 * usize::from(quotas::counts(new));
            let weighs = ITEMS_BYTES + record.bytes() + detail.bytes();
            if !chunk.is_empty() && (items + takes > TRANSACTION_ITEMS || bytes + weighs > TRANSACTION_BYTES) {
                chunks.push(std::mem::take(&mut chunk));
                (items, bytes) = (0, 0);
            }
            items += takes;
            bytes += weighs;
            chunk.push(at);
        }
        chunks.push(chunk);
        chunks
    }

    /// Stores those of the chunk that are new and within their quotas.
    async fn store(&self, mut left: Vec<usize>) -> Result<Vec<(usize, Came)>> {
        let mut counts = Counts::default();
        let mut came: BTreeMap<usize, Came> = BTreeMap::new();
        for _ in 0..TRIES {
            counts.plan_anew();
            let (mut taken, mut refused) = (Vec::new(), Vec::new());
            for at in &left {
                match counts.plan(self.tenant, &self.prepared[*at].new) {
                    Ok(()) => taken.push(*at),
                    Err(error) => refused.push((*at, Came::Refused(error))),
                }
            }
            if !taken.is_empty() {
                let (abouts, writes) = self.writes(&taken, &counts);
                if let Err(cancelled) = self.store.db.transact("accepting tickets", &writes).await? {
                    for (n, about) in abouts.into_iter().enumerate() {
                        let Some(item) = cancelled.failed(n) else { continue };
                        match about {
                            About::Head(at) => {
                                came.entry(at).or_insert(Came::Known(Known::Id));
                            }
                            About::Key(at) => {
                                came.insert(at, Came::Known(Known::Key(item.parsed("ticket")?)));
                            }
                            About::Count(counter) => counts.learn(counter, item),
                            About::Nothing => {}
                        }
                    }
                    left.retain(|at| !came.contains_key(at));
                    continue;
                }
            }
            came.extend(taken.into_iter().map(|at| (at, Came::New)));
            came.extend(refused);
            return Ok(came.into_iter().collect());
        }
        Err(throttled("too many accept tickets of this tenant's quota at the same time"))
    }

    fn writes(&self, taken: &[usize], counts: &Counts) -> (Vec<About>, Vec<Write>) {
        let seconds = self.now.as_millis() / 1_000;
        let mut writes = Vec::with_capacity(taken.len() * 4);
        for at in taken {
            let Prepared { new, record, detail } = &self.prepared[*at];
            let until = ttl(new.ticket.accepted_at, limits::TICKET_RETENTION);
            let new_head = Write::put("tickets", head::new_head(self.tenant, new)).when_absent("ticket_id", seconds);
            writes.push((About::Head(*at), new_head));
            let mut item = head::part(self.tenant, &new.ticket.id, head::RECORD);
            item.insert("tenant".to_owned(), s(self.tenant.as_str()));
            item.insert("ttl".to_owned(), until.clone());
            record.clone().put(&mut item, "record");
            writes.push((About::Nothing, Write::put("tickets", item)));
            let advance = self.store.advance.map(|time| self.now.plus(time));
            writes.push((About::Nothing, publish(&new.event, new.lane, detail.clone(), advance)));
            if let Some(key) = &new.idempotency_key {
                let mut item = self.key(key);
                item.insert("ticket".to_owned(), s(new.ticket.id.as_str()));
                item.insert("ttl".to_owned(), until);
                writes.push((About::Key(*at), Write::put("tickets", item).when_absent("ticket_id", seconds)));
            }
        }
        writes.extend(counts.writes().into_iter().map(|(counter, write)| (About::Count(counter), write)));
        writes.into_iter().unzip()
    }

    fn key(&self, key: &IdempotencyKey) -> crate::db::Item {
        pair("ticket_id", format!("k#{}#{key}", self.tenant), "timestamp", head::HEAD)
    }

    async fn ring(&self, came: &BTreeMap<usize, Came>) {
        let new: Vec<_> = came.iter().filter(|(_, came)| matches!(came, Came::New)).map(|(at, _)| *at).collect();
        if new.is_empty() {
            return;
        }
        self.store.counted.add(self.tenant, i64::try_from(new.len()).unwrap_or(i64::MAX));
        let token = self.store.advance.map(|_| 1);
        let rings = new.into_iter().map(|at| Ring::new(&self.prepared[at].new.event, token));
        self.store.wake(rings.collect(), std::time::Duration::ZERO).await;
    }

    /// The outcomes, in order, with the tickets that are stored.
    async fn outcomes(&self, mut came: BTreeMap<usize, Came>) -> Result<Vec<Result<Accepted>>> {
        // A repetition is told as ever, also when the quota is used up: nothing is stored, so nothing is counted.
        let refused: Vec<usize> =
            came.iter().filter(|(_, came)| matches!(came, Came::Refused(_))).map(|(at, _)| *at).collect();
        for (at, known) in self.known(&refused).await? {
            came.insert(at, Came::Known(known));
        }
        let stored = self.stored(&came).await?;
        let missing = || Error::new(ErrorKind::Unavailable, "a ticket was deleted while it was repeated");
        let mut outcomes = Vec::with_capacity(came.len());
        for (at, came) in came {
            let id = &self.prepared[at].new.ticket.id;
            let of = |id: &TicketId| stored.get(id).cloned().map(Box::new).ok_or_else(missing);
            outcomes.push(match came {
                Came::New => Ok(Accepted::New),
                Came::Known(Known::Id) => of(id).map(Accepted::SameId),
                Came::Known(Known::Key(id)) => of(&id).map(Accepted::SameKey),
                Came::Refused(error) => Err(error),
            });
        }
        Ok(outcomes)
    }

    /// Which of these are there, by their key or their id.
    async fn known(&self, refused: &[usize]) -> Result<BTreeMap<usize, Known>> {
        let mut keys = Vec::new();
        for at in refused {
            let new = &self.prepared[*at].new;
            keys.push(head::part(self.tenant, &new.ticket.id, head::HEAD));
            keys.extend(new.idempotency_key.as_ref().map(|key| self.key(key)));
        }
        let mut unique = BTreeMap::new();
        for key in keys {
            unique.insert(key.needed("ticket_id")?.to_owned(), key);
        }
        let found = self.store.db.fetch("tickets", unique.into_values().collect()).await?;
        let mut by_id = BTreeMap::new();
        for item in &found {
            by_id.insert(item.needed("ticket_id")?, item.parsed::<TicketId>("ticket")?);
        }
        let mut known = BTreeMap::new();
        for at in refused {
            let new = &self.prepared[*at].new;
            let key = new.idempotency_key.as_ref().map(|key| format!("k#{}#{key}", self.tenant));
            if let Some(ticket) = key.and_then(|key| by_id.get(key.as_str())) {
                known.insert(*at, Known::Key(ticket.clone()));
            } else if by_id.contains_key(head::collection(self.tenant, &new.ticket.id).as_str()) {
                known.insert(*at, Known::Id);
            }
        }
        Ok(known)
    }

    /// The stored tickets that are told of.
    async fn stored(&self, came: &BTreeMap<usize, Came>) -> Result<BTreeMap<TicketId, Ticket>> {
        let ids: BTreeSet<&TicketId> = came
            .iter()
            .filter_map(|(at, came)| match came {
                Came::Known(Known::Id) => Some(&self.prepared[*at].new.ticket.id),
                Came::Known(Known::Key(id)) => Some(id),
                Came::New | Came::Refused(_) => None,
            })
            .collect();
        let keys: Vec<_> = ids.into_iter().map(|id| head::part(self.tenant, id, head::RECORD)).collect();
        let mut stored = BTreeMap::new();
        for item in self.store.db.fetch("tickets", keys).await? {
            let ticket = head::ticket(&self.store.bodies.needed(&item, "record").await?)?;
            stored.insert(ticket.id.clone(), ticket);
        }
        Ok(stored)
    }
}
