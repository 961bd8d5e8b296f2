//! The bell: from a write that made work to a message in the queue.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use switchboard_aws::{Bell, Clients, Doorbell, Hint, Names, Ring, Settings};
use switchboard_core::{
    ids::{CorrelationId, EventId},
    ports::{Clock, Ids},
};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use crate::{
    emulator,
    infrastructure::{deployed, receive},
};

fn rings(count: u64) -> Vec<Ring> {
    let (clock, ids) = (FixedClock::new(), SeededIds::new(7));
    let now = clock.now();
    let ring = |n| Ring {
        tenant: sample::parsed("acme"),
        event: EventId::from_ulid(ids.ulid(now)),
        detail_type: "TicketReceived",
        at: now,
        correlation_id: CorrelationId::from_ulid(ids.ulid(now)),
        token: (n % 2 == 0).then_some(n),
        detail: json!({ "ticket_id": format!("T-{n}"), "description": "no dial tone" }).to_string(),
    };
    (0..count).map(ring).collect()
}

fn hint(ring: &Ring) -> Hint {
    Hint { tenant: ring.tenant.clone(), event: ring.event.clone(), token: ring.token }
}

fn events(bodies: &[String]) -> BTreeSet<String> {
    bodies.iter().map(|body| Hint::in_message(body).unwrap().event.to_string()).collect()
}

fn of(rings: &[Ring]) -> BTreeSet<String> {
    rings.iter().map(|ring| ring.event.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_comes_by_the_bus_with_its_detail_and_its_hint() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    let rings = rings(23);
    bell.ring(&rings, Duration::ZERO).await;
    let bodies = receive(&clients, rings.len()).await;
    assert_eq!(events(&bodies), of(&rings));
    for body in &bodies {
        let (found, message) = (Hint::in_message(body).unwrap(), serde_json::from_str::<Value>(body).unwrap());
        let ring = rings.iter().find(|ring| ring.event == found.event).unwrap();
        assert_eq!(found, hint(ring));
        assert_eq!(message["source"], "support.ticketing");
        assert_eq!(message["detail-type"], "TicketReceived");
        assert_eq!(message["detail"]["description"], "no dial tone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_later_comes_by_the_queue_and_not_at_once() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    let rings = rings(12);
    let (now, later) = rings.split_at(11);
    bell.ring(later, Duration::from_secs(900)).await;
    bell.ring(later, Duration::from_millis(900_001)).await;
    bell.ring(now, Duration::from_millis(1)).await;
    let bodies = receive(&clients, rings.len()).await;
    assert_eq!(events(&bodies), of(now));
    assert_eq!(Hint::in_message(&bodies[0]).unwrap().tenant, sample::parsed("acme"));
    let url = clients.names.jobs_queue.as_ref().unwrap().as_str();
    let delayed = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessagesDelayed;
    let asked = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(delayed.clone());
    let attributes = asked.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&delayed], "1", "the longest delay is 900 s; beyond it is the sweeper's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_detail_is_put_aside_and_a_malformed_one_keeps_no_other_back() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    let mut rings = rings(3);
    rings[0].detail = json!({ "ticket_id": "T-0", "description": "é".repeat(200_000) }).to_string();
    rings[1].detail = "no JSON".to_owned();
    bell.ring(&rings, Duration::ZERO).await;
    let bodies = receive(&clients, 3).await;
    assert_eq!(events(&bodies), of(&[rings[0].clone(), rings[2].clone()]));
    let large = bodies.iter().find(|body| Hint::in_message(body) == Some(hint(&rings[0]))).unwrap();
    let large: Value = serde_json::from_str(large).unwrap();
    assert_eq!(large["detail"]["ticket_id"], "T-0");
    assert_eq!(large["detail"]["description"], Value::Null);
    let place = &large["detail"]["detail_s3"];
    let object = clients.s3.get_object().bucket(place["bucket"].as_str().unwrap()).key(place["key"].as_str().unwrap());
    let aside = object.send().await.unwrap().body.collect().await.unwrap();
    assert_eq!(aside.to_vec(), rings[0].detail.as_bytes());
}

/// EventBridge that refuses ticket `T-1` for good, `T-2` each time, and the first entry of all once; it counts the entries of its
/// calls.
#[derive(Clone, Default)]
struct Refusing {
    calls: Arc<Mutex<Vec<usize>>>,
}

async fn put_events(State(bus): State<Refusing>, call: String) -> Json<Value> {
    let call: Value = serde_json::from_str(&call).unwrap();
    let entries = call["Entries"].as_array().unwrap();
    let mut calls = bus.calls.lock().unwrap();
    calls.push(entries.len());
    let first = calls.len() == 1;
    let answer = |(n, entry): (usize, &Value)| {
        let ticket = entry["Detail"].as_str().unwrap();
        let refused = match () {
            () if ticket.contains("T-1\"") => Some("NotAuthorizedForDetailTypeException"),
            () if ticket.contains("T-2\"") || (first && n == 0) => Some("ThrottlingException"),
            () => None,
        };
        match refused {
            Some(code) => json!({ "ErrorCode": code, "ErrorMessage": "no" }),
            None => json!({ "EventId": n.to_string() }),
        }
    };
    let answers: Vec<_> = entries.iter().enumerate().map(answer).collect();
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    Json(json!({ "FailedEntryCount": failed, "Entries": answers }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_entries_alone_are_tried_again_and_not_forever() {
    let bus = Refusing::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let api = Router::new().route("/", post(put_events)).with_state(bus.clone());
    let server = tokio::spawn(async move { axum::serve(listener, api).await });
    let names = Names { jobs_queue: None, ..emulator::settings("refusing").names };
    let settings = Settings { endpoint: Some(endpoint.parse().unwrap()), names, ..emulator::settings("refusing") };
    let bell = Bell::new(Clients::new(&settings).await, Arc::new(FixedClock::auto()));
    bell.ring(&rings(10), Duration::ZERO).await;
    // All; the one that was throttled once and the one that always is; the latter once more. What is not allowed is not asked
    // for again.
    assert_eq!(*bus.calls.lock().unwrap(), [10, 2, 1]);
    bell.ring(&rings(3), Duration::from_secs(1)).await;
    server.abort();
}
