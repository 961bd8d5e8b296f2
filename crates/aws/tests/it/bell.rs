//! The bell: from a write that made work to a message in the queue.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use switchboard_aws::{Bell, Clients, Doorbell, Message, Names, Ring, Settings};
use switchboard_core::{event::EventDetail, untrusted::Untrusted};
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};

use crate::{
    emulator,
    infrastructure::{deployed, receive},
};

/// Events that have just happened; every other one with a lease in advance.
fn rings(count: u32) -> Vec<Ring> {
    let (scope, ids) = (sample::scope("acme"), SeededIds::new(7));
    let ring = |n| {
        let event = sample::new_ticket(&scope, sample::ticket(n), &ids).event;
        let token = n.is_multiple_of(2).then_some(u64::from(n) + 1);
        Ring { tenant: event.tenant.clone(), id: event.id.clone(), token, event: Some(event) }
    };
    (0..count).map(ring).collect()
}

fn again(rings: &[Ring]) -> Vec<Ring> {
    rings.iter().map(|ring| Ring { token: None, event: None, ..ring.clone() }).collect()
}

async fn ring(bell: &Bell, rings: &[Ring], delay: Duration) {
    bell.ring(rings, delay).await;
    bell.flush().await;
}

fn events(bodies: &[String]) -> BTreeSet<String> {
    bodies.iter().map(|body| Message::parse(body).unwrap().event.to_string()).collect()
}

fn of(rings: &[Ring]) -> BTreeSet<String> {
    rings.iter().map(|ring| ring.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_happened_comes_by_the_bus_with_its_detail_and_its_lease() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    let rings = rings(23);
    ring(&bell, &rings, Duration::ZERO).await;
    let bodies = receive(&clients, rings.len()).await;
    assert_eq!(events(&bodies), of(&rings));
    for body in &bodies {
        let (found, message) = (Message::parse(body).unwrap(), serde_json::from_str::<Value>(body).unwrap());
        let ring = rings.iter().find(|ring| ring.id == found.event).unwrap();
        let event = ring.event.as_ref().unwrap();
        assert_eq!(found.tenant, ring.tenant);
        assert_eq!(found.leased.as_ref().map(|(_, token)| *token), ring.token);
        if let Some((leased, _)) = found.leased {
            assert_eq!((leased.id, leased.detail.ticket_id()), (event.id.clone(), event.detail.ticket_id()));
            assert_eq!(leased.correlation_id, event.correlation_id);
            assert_eq!(leased.detail.detail_type(), event.detail.detail_type());
        }
        assert_eq!(message["source"], "support.ticketing");
        assert_eq!(message["detail-type"], "TicketReceived");
        assert_eq!(message["detail"]["correlation_id"], json!(event.correlation_id));
        assert_eq!(message["detail"]["ticket_id"], json!(event.detail.ticket_id()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_before_the_flush() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    bell.ring(&rings(2), Duration::ZERO).await;
    assert_eq!(receive(&clients, 1).await, [""; 0]);
    bell.flush().await;
    assert_eq!(receive(&clients, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_again_comes_by_the_queue_at_its_time() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    let rings = again(&rings(13));
    let (now, later) = rings.split_at(12);
    bell.ring(later, Duration::from_secs(900)).await;
    bell.ring(later, Duration::from_millis(900_001)).await;
    bell.ring(&now[..11], Duration::from_millis(1)).await;
    ring(&bell, &now[11..], Duration::ZERO).await;
    let bodies = receive(&clients, rings.len()).await;
    assert_eq!(events(&bodies), of(now));
    let first = Message::parse(&bodies[0]).unwrap();
    assert_eq!((first.tenant, first.leased.is_none()), (sample::parsed("acme"), true));
    let url = clients.names.jobs_queue.as_ref().unwrap().as_str();
    let delayed = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessagesDelayed;
    let asked = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(delayed.clone());
    let attributes = asked.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&delayed], "1", "the longest delay is 900 s; beyond it is the sweeper's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_detail_is_put_aside() {
    let clients = deployed().await;
    let bell = Bell::new(clients.clone(), Arc::new(FixedClock::auto()));
    let mut rings = rings(2);
    let large = rings[0].event.as_mut().unwrap();
    let EventDetail::TicketReceived(received) = &mut large.detail else { panic!("{large:?}") };
    received.description = Untrusted::new("é".repeat(200_000));
    let detail = large.detail_json();
    ring(&bell, &rings, Duration::ZERO).await;
    let bodies = receive(&clients, 2).await;
    assert_eq!(events(&bodies), of(&rings));
    let large = bodies.iter().find(|body| Message::parse(body).unwrap().event == rings[0].id).unwrap();
    assert!(Message::parse(large).unwrap().leased.is_none(), "what is not all there is claimed and read");
    let large: Value = serde_json::from_str(large).unwrap();
    assert_eq!(large["detail"]["ticket_id"], json!(sample::ticket(0).id));
    assert_eq!(large["detail"]["description"], Value::Null);
    let place = &large["detail"]["detail_s3"];
    let object = clients.s3.get_object().bucket(place["bucket"].as_str().unwrap()).key(place["key"].as_str().unwrap());
    let aside = object.send().await.unwrap().body.collect().await.unwrap();
    assert_eq!(aside.to_vec(), detail.as_bytes());
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
    ring(&bell, &rings(10), Duration::ZERO).await;
    // All; the one that was throttled once and the one that always is; the latter once more. What is not allowed is not asked
    // for again.
    assert_eq!(*bus.calls.lock().unwrap(), [10, 2, 1]);
    // Without a queue, the sweeper is left to find them.
    ring(&bell, &again(&rings(3)), Duration::from_secs(1)).await;
    server.abort();
}
