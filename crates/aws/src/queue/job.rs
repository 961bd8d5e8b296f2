//! An event with its job, as the item that it is, and the writes that change it.
//!
//! The sort key `turn` of the index says the state of the job and its place: `0#` in hand, until when; `1#` waiting for its
//! time; `2#` to be run alone; `3#` due, by lane and then by age. Every change of the state changes it, so that a write under
//! the `turn` and the token that were read meets the very state that was read.

use std::time::Duration;

use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::{Event, EventDetail},
    ids::{EffectId, EventId, TenantId, TicketId},
    limits,
    ports::{Lane, Lease},
    time::Timestamp,
};

use crate::{
    body::{Bodies, Body},
    db::{Item, Read, Write, corrupt, key, millis, n, pair, s},
};

/// How long an event is kept after its work is done.
const KEPT: Duration = limits::EVENT_RETENTION;
/// How long a dead letter waits for a person.
const DEAD_KEPT: Duration = limits::TICKET_RETENTION;
/// How long the note of a hold outlives the hold.
const HOLD_KEPT: Duration = Duration::from_secs(24 * 3600);

/// The attributes of a job, which are there while it is one.
const OF_A_JOB: &[&str] = &["queue", "turn", "state", "lease_until", "due", "failed", "interrupted", "last_error"];

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Due,
    Leased,
    Waiting,
    Alone,
    Dead,
}

impl State {
    const ALL: &[Self] = &[Self::Due, Self::Leased, Self::Waiting, Self::Alone, Self::Dead];

    fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Leased => "leased",
            Self::Waiting => "waiting",
            Self::Alone => "alone",
            Self::Dead => "dead",
        }
    }
}

/// What can be done with a job now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may be leased; it was interrupted so often.
    Free { interrupted: u32 },
    /// It may be leased while nothing else runs.
    Suspect { interrupted: u32 },
    /// It died too often, also alone.
    Lost { interrupted: u32 },
    /// It is in somebody's hands, or its time has not come, or there is nothing to do.
    Not,
}

/// An event with its job, as read.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) event: EventId,
    pub(crate) tenant: TenantId,
    pub(crate) ticket_key: String,
    /// `None` when there is no work, or none left.
    pub(crate) state: Option<State>,
    pub(crate) token: u64,
    pub(crate) lane: u8,
    pub(crate) failed: u32,
    pub(crate) interrupted: u32,
    pub(crate) item: Item,
    lease_until: Timestamp,
    due: Timestamp,
}

/// Seconds since 1970, as a time to live.
pub(crate) fn ttl(from: Timestamp, kept: Duration) -> aws_sdk_dynamodb::types::AttributeValue {
    n(from.plus(kept).as_millis() / 1_000)
}

/// The key of an event.
pub(crate) fn event_key(event: &EventId) -> Item {
    key("event", event.as_str())
}

/// The ticket of an event, as the indexes and the holds know it.
pub(crate) fn ticket_key(tenant: &TenantId, ticket: &TicketId) -> String {
    format!("{tenant}#{ticket}")
}

pub(crate) fn dead_queue(tenant: &TenantId) -> String {
    format!("dead#{tenant}")
}

fn due_turn(lane: u8, event: &EventId) -> String {
    format!("3#{lane}#{event}")
}

fn leased_turn(until: Timestamp, event: &EventId) -> String {
    format!("0#{:015}#{event}", until.as_millis())
}

fn waiting_turn(due: Timestamp, event: &EventId) -> String {
    format!("1#{:015}#{event}", due.as_millis())
}

/// What a line of the index says: its state, its place there (a time, or a lane), and its event.
pub(crate) fn parse_turn(turn: &str) -> Option<(char, i64, EventId)> {
    let state = turn.chars().next()?;
    let rest = turn.get(2..)?;
    let (place, event) = rest.rsplit_once('#').unwrap_or(("0", rest));
    Some((state, place.parse().ok()?, event.parse().ok()?))
}

/// When the event of that id happened.
pub(crate) fn time_of(event: &EventId) -> Timestamp {
    let ulid = ulid::Ulid::from_string(event.as_str()).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(ulid.timestamp_ms()).unwrap_or(i64::MAX))
}

/// Archives an event and, when it makes work, queues it; with `advance` it is in somebody's hands until then, with token 1.
pub(crate) fn publish(event: &Event, lane: Lane, detail: Body, advance: Option<Timestamp>) -> Write {
    let mut item = event_key(&event.id);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    put("tenant", s(event.tenant.as_str()));
    put("ticket_key", s(ticket_key(&event.tenant, event.detail.ticket_id())));
    put("detail_type", s(event.detail.detail_type()));
    put("correlation_id", s(event.correlation_id.as_str()));
    put("at", millis(event.at));
    put("lane", n(lane as u8));
    put("token", n(u8::from(advance.is_some())));
    if let Some(effect) = event.detail.effect() {
        put("effect", s(effect.as_str()));
    }
    if event.detail.makes_work() {
        let (state, turn) = match advance {
            Some(until) => (State::Leased, leased_turn(until, &event.id)),
            None => (State::Due, due_turn(lane as u8, &event.id)),
        };
        put("queue", s(event.tenant.as_str()));
        put("turn", s(turn));
        put("state", s(state.word()));
        put("failed", n(0));
        put("interrupted", n(0));
        if let Some(until) = advance {
            put("lease_until", millis(until));
        }
    } else {
        put("ttl", ttl(event.at, KEPT));
    }
    detail.put(&mut item, "detail");
    Write::put("events", item)
}

/// A change to an event whose lease holds.
fn held(lease: &Lease, now: Timestamp) -> Write {
    Write::update("events", event_key(&lease.event)).when(
        "#state = :leased AND #token = :token AND #lease_until > :now",
        [("leased", s("leased")), ("token", n(lease.token)), ("now", millis(now))],
    )
}

/// Nothing but that the lease holds.
pub(crate) fn is_held(lease: &Lease, now: Timestamp) -> Write {
    Write::check("events", event_key(&lease.event)).when(
        "#state = :leased AND #token = :token AND #lease_until > :now",
        [("leased", s("leased")), ("token", n(lease.token)), ("now", millis(now))],
    )
}

/// Ends a lease: the work is done.
pub(crate) fn complete(lease: &Lease, now: Timestamp) -> Write {
    held(lease, now).remove(OF_A_JOB).set("ttl", ttl(now, KEPT))
}

/// Ends a lease: it is due again at `at`. `failures` are counted.
pub(crate) fn put_off(lease: &Lease, now: Timestamp, at: Timestamp, why: &str, failures: u32) -> Write {
    let at = at.min(now.plus(limits::RETRY_WAIT));
    held(lease, now)
        .set("state", s(State::Waiting.word()))
        .set("turn", s(waiting_turn(at, &lease.event)))
        .set("due", millis(at))
        .set("last_error", s(why))
        .add("failed", n(failures))
        .remove(&["lease_until"])
}

/// Ends a lease: nobody works on the event by himself any more.
pub(crate) fn bury(tenant: &TenantId, lease: &Lease, now: Timestamp, reason: &str) -> Write {
    dead(held(lease, now), tenant, &lease.event, now, reason).add("failed", n(1))
}

fn dead(write: Write, tenant: &TenantId, event: &EventId, now: Timestamp, reason: &str) -> Write {
    write
        .set("queue", s(dead_queue(tenant)))
        .set("turn", s(format!("{:015}#{event}", now.as_millis())))
        .set("state", s(State::Dead.word()))
        .set("reason", s(reason))
        .set("died_at", millis(now))
        .set("ttl", ttl(now, DEAD_KEPT))
        .remove(&["lease_until", "due"])
}

/// Notes that this event of the ticket is in hand, unless another one is.
pub(crate) fn hold(ticket_key: &str, event: &EventId, now: Timestamp, until: Timestamp) -> Write {
    Write::update("tickets", hold_key(ticket_key))
        .set("held_by", s(event.as_str()))
        .set("held_until", millis(until))
        .set("ttl", ttl(until, HOLD_KEPT))
        .when(
            "attribute_not_exists(#held_by) OR #held_by = :event OR #held_until <= :now",
            [("event", s(event.as_str())), ("now", millis(now))],
        )
}

/// Ends the hold of an event on its ticket; it fails when another event has it.
pub(crate) fn let_go(ticket_key: &str, event: &EventId) -> Write {
    Write::delete("tickets", hold_key(ticket_key))
        .when("attribute_not_exists(#held_by) OR #held_by = :event", [("event", s(event.as_str()))])
}

fn hold_key(ticket_key: &str) -> Item {
    pair("ticket_id", format!("t#{ticket_key}"), "timestamp", "2")
}

pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::LeaseLost, "the lease has ended, somebody else may have the event now")
}

impl Job {
    pub(crate) fn read(item: Item) -> Result<Self> {
        let state = match item.text("state") {
            Some(word) => {
                Some(State::ALL.iter().find(|state| state.word() == word).copied().ok_or_else(|| corrupt("state"))?)
            }
            None => None,
        };
        let nothing = Timestamp::from_millis(0);
        Ok(Self {
            event: item.parsed("event")?,
            tenant: item.parsed("tenant")?,
            ticket_key: item.needed("ticket_key")?.to_owned(),
            state,
            token: item.number("token").unwrap_or(0),
            lane: item.number("lane").unwrap_or(Lane::Ordinary as u8),
            failed: item.number("failed").unwrap_or(0),
            interrupted: item.number("interrupted").unwrap_or(0),
            lease_until: item.time("lease_until").unwrap_or(nothing),
            due: item.time("due").unwrap_or(nothing),
            item,
        })
    }

    /// The event itself.
    pub(crate) async fn load(&self, bodies: &Bodies) -> Result<Event> {
        let detail = bodies.needed(&self.item, "detail").await?;
        let detail = EventDetail::from_record(self.item.needed("detail_type")?, &detail);
        Ok(Event {
            id: self.event.clone(),
            tenant: self.tenant.clone(),
            at: self.item.needed_time("at")?,
            correlation_id: self.item.parsed("correlation_id")?,
            detail: detail.map_err(|error| corrupt("an event's detail").caused_by(error))?,
        })
    }

    /// The effect that its work has.
    pub(crate) fn effect(&self) -> Result<Option<EffectId>> {
        self.item.optional("effect")
    }

    /// The ticket that it is about.
    pub(crate) fn ticket(&self) -> Result<TicketId> {
        let (_, ticket) = self.ticket_key.split_once('#').ok_or_else(|| corrupt("ticket_key"))?;
        ticket.parse().map_err(|_| corrupt("ticket_key"))
    }

    /// Whether this lease of it holds.
    pub(crate) fn is_held(&self, lease: &Lease, now: Timestamp) -> Result<()> {
        let held = self.state == Some(State::Leased) && self.token == lease.token && self.lease_until > now;
        if held { Ok(()) } else { Err(lost()) }
    }

    /// Whether it waits to be run alone.
    pub(crate) fn is_aside(&self) -> bool {
        self.state == Some(State::Alone)
    }

    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        let interrupted = match self.state {
            Some(State::Due | State::Alone) => self.interrupted,
            // A time that no retry waits for was written by a clock that was wrong.
            Some(State::Waiting) if self.due <= now || self.due > now.plus(limits::RETRY_WAIT) => self.interrupted,
            Some(State::Leased) if self.lease_until <= now => self.interrupted.saturating_add(1),
            _ => return Standing::Not,
        };
        let alone = limits::JOB_INTERRUPTIONS_BEFORE_ALONE;
        if interrupted < alone {
            return Standing::Free { interrupted };
        }
        // A revival begins with fresh counters, so these deaths were all in one life.
        if self.state == Some(State::Leased) && interrupted >= alone + limits::JOB_INTERRUPTIONS_ALONE {
            return Standing::Lost { interrupted };
        }
        Standing::Suspect { interrupted }
    }

    /// A change under which the job must be as it was read.
    fn unchanged(&self) -> Result<Write> {
        let write = Write::update("events", event_key(&self.event));
        let turn = s(self.item.needed("turn")?);
        Ok(write
            .when("#turn = :read_turn AND #token = :read_token", [("read_turn", turn), ("read_token", n(self.token))]))
    }

    /// Leases it: the next token.
    pub(crate) fn claim(&self, now: Timestamp, until: Timestamp, interrupted: u32) -> Result<[Write; 2]> {
        let claim = self
            .unchanged()?
            .set("state", s(State::Leased.word()))
            .set("turn", s(leased_turn(until, &self.event)))
            .set("lease_until", millis(until))
            .set("token", n(self.token + 1))
            .set("interrupted", n(interrupted))
            .remove(&["due"]);
        Ok([claim, hold(&self.ticket_key, &self.event, now, until)])
    }

    /// Sets it aside, to be run alone.
    pub(crate) fn set_aside(&self, interrupted: u32) -> Result<Write> {
        let aside = self.unchanged()?.set("state", s(State::Alone.word())).set("turn", s(format!("2#{}", self.event)));
        Ok(aside.set("interrupted", n(interrupted)).remove(&["lease_until", "due"]))
    }

    /// Buries it after too many deaths.
    pub(crate) fn give_up(&self, now: Timestamp, interrupted: u32, reason: &str) -> Result<Write> {
        Ok(dead(self.unchanged()?, &self.tenant, &self.event, now, reason).set("interrupted", n(interrupted)))
    }

    /// Makes its lease last until then.
    pub(crate) fn extend(&self, lease: &Lease, now: Timestamp, until: Timestamp) -> [Write; 2] {
        let extended =
            held(lease, now).set("lease_until", millis(until)).set("turn", s(leased_turn(until, &lease.event)));
        [extended, hold(&self.ticket_key, &self.event, now, until)]
    }

    /// Ends its lease: it is due at once.
    pub(crate) fn release(&self, lease: &Lease, now: Timestamp) -> [Write; 2] {
        let suspect = self.interrupted >= limits::JOB_INTERRUPTIONS_BEFORE_ALONE;
        let (state, turn) = match suspect {
            true => (State::Alone, format!("2#{}", self.event)),
            false => (State::Due, due_turn(self.lane, &self.event)),
        };
        let released = held(lease, now).set("state", s(state.word())).set("turn", s(turn)).remove(&["lease_until"]);
        [released, let_go(&self.ticket_key, &self.event)]
    }

    /// Puts what is done or dead back into the queue, with fresh counters.
    pub(crate) fn again(&self, lane: Lane) -> Result<Write> {
        let write = match self.state {
            None => Write::update("events", event_key(&self.event))
                .when("attribute_exists(#event) AND attribute_not_exists(#queue)", []),
            Some(_) => self.unchanged()?,
        };
        Ok(write
            .set("queue", s(self.tenant.as_str()))
            .set("turn", s(due_turn(lane as u8, &self.event)))
            .set("state", s(State::Due.word()))
            .set("lane", n(lane as u8))
            .set("failed", n(0))
            .set("interrupted", n(0))
            .remove(&["ttl", "reason", "died_at", "last_error", "due", "lease_until"]))
    }

    /// Takes a dead letter away: the event is archived like any that is done.
    pub(crate) fn discard(&self, now: Timestamp) -> Result<Write> {
        Ok(self.unchanged()?.remove(OF_A_JOB).remove(&["reason", "died_at"]).set("ttl", ttl(now, KEPT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventId {
        EventId::from_ulid(ulid::Ulid::from_parts(1_795_161_600_000, 7))
    }

    #[test]
    fn turns_sort_as_they_are_to_be_taken_and_tell_what_they_say() {
        let at = Timestamp::from_millis(1_795_161_600_000);
        let turns =
            [leased_turn(at, &event()), waiting_turn(at, &event()), due_turn(0, &event()), due_turn(2, &event())];
        assert!(turns.is_sorted());
        let places: Vec<_> = turns.iter().map(|turn| parse_turn(turn).unwrap()).collect();
        let at = at.as_millis();
        assert_eq!(places, [('0', at, event()), ('1', at, event()), ('3', 0, event()), ('3', 2, event())]);
        assert_eq!(parse_turn(&format!("2#{}", event())), Some(('2', 0, event())));
        assert_eq!(time_of(&event()).as_millis(), at);
    }

    #[test]
    fn deaths_lead_from_the_queue_to_running_alone_to_the_dead_letters() {
        let at = Timestamp::from_millis(1_795_161_600_000);
        let job = |state: &str, interrupted: u32| {
            let mut item = event_key(&event());
            item.insert("tenant".to_owned(), s("acme"));
            item.insert("ticket_key".to_owned(), s("acme#T-1"));
            item.insert("state".to_owned(), s(state));
            item.insert("lease_until".to_owned(), millis(at));
            item.insert("interrupted".to_owned(), n(interrupted));
            Job::read(item).unwrap().standing(at)
        };
        assert_eq!(job("leased", 1), Standing::Free { interrupted: 2 });
        assert_eq!(job("leased", 2), Standing::Suspect { interrupted: 3 });
        assert_eq!(job("leased", 4), Standing::Suspect { interrupted: 5 });
        assert_eq!(job("leased", 5), Standing::Lost { interrupted: 6 });
        assert_eq!(job("due", 2), Standing::Free { interrupted: 2 });
        assert_eq!(job("alone", 5), Standing::Suspect { interrupted: 5 });
        assert_eq!(job("dead", 6), Standing::Not);
    }
}
