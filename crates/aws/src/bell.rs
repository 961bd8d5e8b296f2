//! Who is woken after a write that made work: EventBridge at once, SQS after a time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_eventbridge::{
    primitives::DateTime,
    types::{PutEventsRequestEntry, PutEventsResultEntry},
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchboard_core::{
    error::Result,
    ids::{CorrelationId, EventId, TenantId},
    ports::Clock,
    time::Timestamp,
};

use crate::{Clients, error::explain};

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

/// An event that makes work, as told to whoever wakes the workers.
#[derive(Clone, PartialEq, Eq)]
pub struct Ring {
    /// Whose it is.
    pub tenant: TenantId,
    /// The event.
    pub event: EventId,
    /// Its name on the bus.
    pub detail_type: &'static str,
    /// When it happened.
    pub at: Timestamp,
    /// The request that led to it.
    pub correlation_id: CorrelationId,
    /// The token of a lease given in advance; without one it is to be claimed.
    pub token: Option<u64>,
    /// Its detail, as JSON.
    pub detail: String,
}

/// The detail holds a customer's words.
impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} {} of {}, token {:?})", self.detail_type, self.event, self.tenant, self.token)
    }
}

/// Wakes the workers after a write that made work. The write counts and the bell does not: a ring that is lost is made up for
/// by the sweeper, so nobody waits for it to succeed. Whoever implements it logs and counts what failed.
#[async_trait]
pub trait Doorbell: Send + Sync {
    /// Says that these events are due, or will be after `delay`.
    async fn ring(&self, events: &[Ring], delay: Duration);
}

/// Whose job a message is about: all that is taken from a message, whatever else it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Whose it is.
    pub tenant: TenantId,
    /// The event.
    pub event: EventId,
    /// The token of a lease given in advance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
}

impl Hint {
    /// The hint in the body of a message, by whichever way it came: both have it at the same place. `None` when there is none.
    pub fn in_message(body: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Message {
            detail: Detail,
        }
        #[derive(Deserialize)]
        struct Detail {
            switchboard: Hint,
        }
        serde_json::from_str::<Message>(body).ok().map(|message| message.detail.switchboard)
    }

    fn of(ring: &Ring) -> Self {
        Self { tenant: ring.tenant.clone(), event: ring.event.clone(), token: ring.token }
    }
}

/// Rings by EventBridge what is due, with all of its detail for whoever else listens, and by SQS what is due later.
pub struct Bell {
    clients: Clients,
    clock: Arc<dyn Clock>,
}

/// An entry of a call, and how many bytes it takes there.
struct Sized {
    entry: PutEventsRequestEntry,
    bytes: usize,
}

impl Bell {
    /// Rings on the bus and the queue that the names tell.
    pub fn new(clients: Clients, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock }
    }

    async fn publish(&self, rings: &[Ring]) {
        let mut entries = Vec::with_capacity(rings.len());
        for some in rings.chunks(SIDE_BY_SIDE) {
            entries.extend(join_all(some.iter().map(|ring| self.entry(ring))).await.into_iter().flatten());
        }
        let calls = packed(entries);
        for some in calls.chunks(SIDE_BY_SIDE) {
            join_all(some.iter().map(|call| self.put_events(call.clone()))).await;
        }
    }

    async fn entry(&self, ring: &Ring) -> Option<Sized> {
        let Ok(detail) = serde_json::from_str::<Map<String, Value>>(&ring.detail) else {
            lost("bus", 1, &format!("the detail of {ring:?} is no JSON object"));
            return None;
        };
        let hint = json!(Hint::of(ring));
        let bytes = |detail: &str| TIME_BYTES + SOURCE.len() + ring.detail_type.len() + detail.len();
        let mut published = with_hint(detail, &hint);
        if bytes(&published) > BYTES {
            let key = format!("bodies/{}/published/{}", ring.tenant, ring.event);
            if let Err(error) = self.put_aside(&key, &ring.detail).await {
                lost("bus", 1, &error.report());
                return None;
            }
            published = with_hint(self.short(ring, &key), &hint);
        }
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.clients.names.bus)
            .source(SOURCE)
            .detail_type(ring.detail_type)
            .time(DateTime::from_millis(ring.at.as_millis()))
            .detail(&published)
            .build();
        Some(Sized { entry, bytes: bytes(&published) })
    }

    /// What is published in the place of a detail that is too large.
    fn short(&self, ring: &Ring, key: &str) -> Map<String, Value> {
        let place = json!({ "bucket": self.clients.names.bucket, "key": key });
        let mut short = Map::from_iter([
            ("detail_s3".to_owned(), place),
            ("correlation_id".to_owned(), json!(ring.correlation_id)),
        ]);
        // It was an object a moment ago.
        if let Ok(Value::Object(mut detail)) = serde_json::from_str(&ring.detail) {
            short.extend(detail.remove("ticket_id").map(|ticket| ("ticket_id".to_owned(), ticket)));
        }
        short
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

    async fn send_later(&self, rings: &[Ring], delay: Duration) {
        let Some(queue) = self.clients.names.jobs_queue.as_ref().filter(|_| delay <= LONGEST_DELAY) else {
            metrics::counter!("switchboard_rings_left_to_sweeper_total").increment(rings.len() as u64);
            return;
        };
        // Rounded up: a message that comes too early finds nothing to do.
        let seconds = delay.as_millis().div_ceil(1_000);
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let message = |(n, ring): (usize, &Ring)| {
            let body = json!({ "detail-type": ring.detail_type, "detail": { HINT: Hint::of(ring) } });
            SendMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .message_body(body.to_string())
                .delay_seconds(seconds)
                .build()
        };
        let built: std::result::Result<Vec<_>, _> = rings.iter().enumerate().map(message).collect();
        let Ok(entries) = built else { return lost("queue", rings.len(), "a message is incomplete") };
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
        if delay.is_zero() {
            self.publish(events).await;
        } else {
            self.send_later(events, delay).await;
        }
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
    fn a_hint_is_found_in_what_the_bus_and_the_queue_bring() {
        let hint = r#"{"tenant":"acme","event":"01K9XB1Z5S3V9C4QJ7S0N2M8RD","token":1}"#;
        let of_bus =
            format!(r#"{{"version":"0","detail-type":"TicketReceived","detail":{{"ticket_id":"T","{HINT}":{hint}}}}}"#);
        assert_eq!(Hint::in_message(&of_bus), serde_json::from_str(hint).unwrap());
        for other in ["", "{}", r#"{"detail":{}}"#, r#"{"detail":{"switchboard":{"tenant":"../x","event":"1"}}}"#] {
            assert_eq!(Hint::in_message(other), None, "{other}");
        }
    }
}
