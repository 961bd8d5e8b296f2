//! Who is woken after a write that made work: EventBridge at once, SQS after a time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_eventbridge::{
    primitives::DateTime,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use switchboard_core::{
    error::Result,
    event::{Event, EventDetail},
    ids::{CorrelationId, EventId, TenantId},
    ports::Clock,
    time::Timestamp,
};

use crate::{Clients, Doorbell, Ring, error::explain};

/// The source of our events on the bus.
const SOURCE: &str = "support.ticketing";
/// Where a message keeps whose job it is about, beside what is published.
const HINT: &str = "switchboard";
/// Entries of one `PutEvents` or `SendMessageBatch`.
const ENTRIES: usize = 10;
/// Bytes of one `PutEvents`, as EventBridge counts them.
const BYTES: usize = 256 * 1024;
/// What EventBridge counts for an entry's time.
const TIME_BYTES: usize = 14;
/// The longest delay of a message in SQS. Who is due later is found by the sweeper.
const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// Calls that are made side by side.
const SIDE_BY_SIDE: usize = 8;
/// Calls for the same entries; each waits twice as long as the one before. The sweeper makes up for what is lost, and
/// somebody waits for the answer, so there are few.
const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Whose job a message is about: all that is needed of a message, whatever else it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hint {
    tenant: TenantId,
    event: EventId,
    /// The token of a lease given in advance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<u64>,
}

/// A message of the queue of jobs, by whichever way it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Whose it is.
    pub tenant: TenantId,
    /// The event whose work is due.
    pub event: EventId,
    /// The event itself with the token of the lease that was given in advance, when the message has both.
    pub leased: Option<(Event, u64)>,
}

impl Message {
    /// Reads the body of a message; `None` when it names no event.
    pub fn parse(body: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(default, rename = "detail-type")]
            detail_type: String,
            #[serde(default)]
            time: Option<Timestamp>,
            #[serde(borrow)]
            detail: &'a RawValue,
        }
        #[derive(Deserialize)]
        struct Detail {
            switchboard: Hint,
            #[serde(default)]
            correlation_id: Option<CorrelationId>,
        }
        let envelope: Envelope<'_> = serde_json::from_str(body).ok()?;
        let detail: Detail = serde_json::from_str(envelope.detail.get()).ok()?;
        let Hint { tenant, event, token } = detail.switchboard;
        let whole = || {
            let what = EventDetail::from_record(&envelope.detail_type, envelope.detail.get()).ok()?;
            let (id, tenant) = (event.clone(), tenant.clone());
            Some((
                Event { id, tenant, at: envelope.time?, correlation_id: detail.correlation_id?, detail: what },
                token?,
            ))
        };
        let leased = whole();
        Some(Self { tenant, event, leased })
    }
}

/// Publishes on EventBridge what has happened, for the workers and for whoever else listens, and tells by SQS what is due again. What
/// is rung is held until [`Bell::flush`], so that a call carries as many events as it can.
pub struct Bell {
    clients: Clients,
    clock: Arc<dyn Clock>,
    held: Mutex<Vec<(Ring, Duration)>>,
}

/// An entry of a call, and how many bytes it takes there.
struct Sized {
    entry: PutEventsRequestEntry,
    bytes: usize,
}

impl Bell {
    /// Rings on the bus and the queue that the names tell.
    pub fn new(clients: Clients, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock, held: Mutex::default() }
    }

    /// Sends everything that was rung. A function calls it before its invocation ends: afterwards it may be frozen.
    pub async fn flush(&self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut events, mut again) = (Vec::new(), Vec::new());
        for (ring, delay) in held {
            match ring.event {
                Some(event) if delay.is_zero() => events.push((event, ring.token)),
                _ => again.push((Hint { tenant: ring.tenant, event: ring.id, token: None }, delay)),
            }
        }
        join(self.publish(&events), self.send(&again)).await;
    }

    async fn publish(&self, rings: &[(Event, Option<u64>)]) {
        let mut entries = Vec::with_capacity(rings.len());
        for some in rings.chunks(SIDE_BY_SIDE) {
            entries.extend(
                join_all(some.iter().map(|(event, token)| self.entry(event, *token))).await.into_iter().flatten(),
            );
        }
        let calls = packed(entries);
        for some in calls.chunks(SIDE_BY_SIDE) {
            join_all(some.iter().map(|call| self.put_events(call.clone()))).await;
        }
    }

    async fn entry(&self, event: &Event, token: Option<u64>) -> Option<Sized> {
        let (json, detail_type) = (event.detail_json(), event.detail.detail_type());
        let Ok(mut detail) = serde_json::from_str::<Map<String, Value>>(&json) else {
            lost("bus", 1, "the detail of an event is no JSON object");
            return None;
        };
        let hint = json!(Hint { tenant: event.tenant.clone(), event: event.id.clone(), token });
        detail.insert("correlation_id".to_owned(), json!(event.correlation_id));
        let bytes = |detail: &str| TIME_BYTES + SOURCE.len() + detail_type.len() + detail.len();
        let mut published = with_hint(detail, &hint);
        if bytes(&published) > BYTES {
            let key = format!("bodies/{}/published/{}", event.tenant, event.id);
            if let Err(error) = self.put_aside(&key, &json).await {
                lost("bus", 1, &error.report());
                return None;
            }
            published = with_hint(self.short(event, &key), &hint);
        }
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.clients.names.bus)
            .source(SOURCE)
            .detail_type(detail_type)
            .time(DateTime::from_millis(event.at.as_millis()))
            .detail(&published)
            .build();
        Some(Sized { entry, bytes: bytes(&published) })
    }

    /// What is published in the place of a detail that is too large.
    fn short(&self, event: &Event, key: &str) -> Map<String, Value> {
        let place = json!({ "bucket": self.clients.names.bucket, "key": key });
        Map::from_iter([
            ("detail_s3".to_owned(), place),
            ("correlation_id".to_owned(), json!(event.correlation_id)),
            ("ticket_id".to_owned(), json!(event.detail.ticket_id())),
        ])
    }

    async fn put_aside(&self, key: &str, detail: &str) -> Result<()> {
        let request = self.clients.s3.put_object().bucket(&self.clients.names.bucket).key(key);
        let request = request.content_type("application/json").body(ByteStream::from(detail.as_bytes().to_vec()));
        request.send().await.map(drop).map_err(|error| explain("putting a large detail aside", error))
    }

    async fn put_events(&self, mut entries: Vec<PutEventsRequestEntry>) {
        let mut why = String::new();
        for attempt in 0..TRIES {
            self.wait(attempt).await;
            let answer = match self.clients.events.put_events().set_entries(Some(entries.clone())).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    // The SDK has tried again already.
                    return lost("bus", entries.len(), &explain("publishing events", error).report());
                }
            };
            let refused = entries.into_iter().zip(answer.entries()).filter(|(_, said)| said.error_code().is_some());
            let (later, never): (Vec<_>, Vec<_>) = refused.partition(|(_, said)| may_succeed(said));
            if let Some((_, said)) = never.first() {
                lost("bus", never.len(), said.error_code().unwrap_or_default());
            }
            why = later.first().and_then(|(_, said)| said.error_code()).unwrap_or_default().to_owned();
            entries = later.into_iter().map(|(entry, _)| entry).collect();
            if entries.is_empty() {
                return;
            }
        }
        lost("bus", entries.len(), &why);
    }

    async fn send(&self, again: &[(Hint, Duration)]) {
        let (now, late): (Vec<_>, Vec<_>) = again.iter().partition(|(_, delay)| *delay <= LONGEST_DELAY);
        let Some(queue) = self.clients.names.jobs_queue.as_ref() else {
            return left_to_sweeper(again.len());
        };
        left_to_sweeper(late.len());
        let message = |(n, (hint, delay)): (usize, &&(Hint, Duration))| {
            // Rounded up: a message that comes too early finds nothing to do.
            let seconds = i32::try_from(delay.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX);
            SendMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .message_body(json!({ "detail": { HINT: hint } }).to_string())
                .delay_seconds(seconds)
                .build()
        };
        let built: std::result::Result<Vec<_>, _> = now.iter().enumerate().map(message).collect();
        let Ok(entries) = built else { return lost("queue", now.len(), "a message is incomplete") };
        let calls: Vec<_> = entries.chunks(ENTRIES).collect();
        for some in calls.chunks(SIDE_BY_SIDE) {
            join_all(some.iter().map(|call| self.send_messages(queue.as_str(), call.to_vec()))).await;
        }
    }

    async fn send_messages(&self, queue: &str, mut entries: Vec<SendMessageBatchRequestEntry>) {
        let mut why = String::new();
        for attempt in 0..TRIES {
            self.wait(attempt).await;
            let sent = self.clients.sqs.send_message_batch().queue_url(queue).set_entries(Some(entries.clone()));
            let answer = match sent.send().await {
                Ok(answer) => answer,
                Err(error) => return lost("queue", entries.len(), &explain("sending messages", error).report()),
            };
            let (never, later): (Vec<_>, Vec<_>) = answer.failed().iter().partition(|failed| failed.sender_fault());
            if let Some(failed) = never.first() {
                lost("queue", never.len(), failed.code());
            }
            why = later.first().map(|failed| failed.code().to_owned()).unwrap_or_default();
            entries.retain(|entry| later.iter().any(|failed| failed.id() == entry.id()));
            if entries.is_empty() {
                return;
            }
        }
        lost("queue", entries.len(), &why);
    }

    async fn wait(&self, attempt: u32) {
        if attempt > 0 {
            self.clock.sleep(FIRST_WAIT * 2_u32.pow(attempt - 1)).await;
        }
    }
}

#[async_trait]
impl Doorbell for Bell {
    async fn ring(&self, events: &[Ring], delay: Duration) {
        let rings = events.iter().map(|ring| (ring.clone(), delay));
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(rings);
    }
}

fn left_to_sweeper(rings: usize) {
    if rings > 0 {
        metrics::counter!("switchboard_rings_left_to_sweeper_total").increment(rings as u64);
    }
}

fn with_hint(mut detail: Map<String, Value>, hint: &Value) -> String {
    detail.insert(HINT.to_owned(), hint.clone());
    Value::Object(detail).to_string()
}

/// As few calls as the limits of one allow, in order.
fn packed(entries: Vec<Sized>) -> Vec<Vec<PutEventsRequestEntry>> {
    let mut calls: Vec<Vec<PutEventsRequestEntry>> = Vec::new();
    let mut room = 0;
    for Sized { entry, bytes } in entries {
        match calls.last_mut().filter(|call| call.len() < ENTRIES && bytes <= room) {
            Some(call) => call.push(entry),
            None => {
                calls.push(vec![entry]);
                room = BYTES;
            }
        }
        room = room.saturating_sub(bytes);
    }
    calls
}

/// Whether EventBridge may take that entry at another time.
fn may_succeed(said: &PutEventsResultEntry) -> bool {
    matches!(said.error_code(), Some("InternalFailure" | "InternalException" | "ThrottlingException"))
}

/// Nobody is woken by these: it is told and counted, and the sweeper finds them.
fn lost(way: &'static str, rings: usize, why: &str) {
    tracing::error!(way, rings, why, "workers were not woken; the sweeper finds what waits");
    metrics::counter!("switchboard_rings_failed_total", "way" => way).increment(rings as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Sized {
        Sized { entry: PutEventsRequestEntry::builder().build(), bytes }
    }

    #[test]
    fn calls_hold_ten_entries_and_256_kib() {
        let counts =
            |sizes: Vec<usize>| packed(sizes.into_iter().map(entry).collect()).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(counts(vec![1; 25]), [10, 10, 5]);
        assert_eq!(counts(vec![BYTES / 2, BYTES / 2, 1, BYTES, BYTES - 1, 1, 1]), [2, 1, 1, 2, 1]);
        assert_eq!(counts(Vec::new()), [0; 0]);
    }

    #[test]
    fn a_message_is_read_by_whichever_way_it_came() {
        let hint = r#"{"tenant":"acme","event":"01K9XB1Z5S3V9C4QJ7S0N2M8RD","token":1}"#;
        let detail = r#""ticket_id":"T","decision_id":"01K9XB1Z5S3V9C4QJ7S0N2M8RE","receipt":"ok""#;
        let of_bus = |correlation: &str| {
            let body = format!(
                r#"{{"version":"0","detail-type":"TicketSynced","time":"2026-11-21T08:00:00Z","detail":{{{detail}{correlation},"{HINT}":{hint}}}}}"#
            );
            Message::parse(&body).unwrap()
        };
        let whole = of_bus(r#","correlation_id":"01K9XB1Z5S3V9C4QJ7S0N2M8RF""#);
        let (event, token) = whole.leased.unwrap();
        assert_eq!((event.detail.ticket_id().as_str(), token, whole.tenant.as_str()), ("T", 1, "acme"));
        assert!(of_bus("").leased.is_none());
        let of_queue = Message::parse(&format!(r#"{{"detail":{{"{HINT}":{hint}}}}}"#)).unwrap();
        assert_eq!((of_queue.event.as_str(), of_queue.leased.is_none()), ("01K9XB1Z5S3V9C4QJ7S0N2M8RD", true));
        for other in ["", "{}", r#"{"detail":{}}"#, r#"{"detail":{"switchboard":{"tenant":"../x","event":"1"}}}"#] {
            assert!(Message::parse(other).is_none(), "{other}");
        }
    }
}
