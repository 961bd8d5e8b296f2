use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;
use switchboard_core::{ports::TicketStore, tickets::SyncStatus};
use switchboard_local::SystemClock;
use switchboard_testkit::doubles::WebhookDouble;

use super::{
    stack::{LONG, Stack, scope},
    throttling::Throttling,
};
use crate::{api::Api, desks::HOOK_SECRET, tenant::ticket_with, wait::until};

const TICKETS: usize = 24;
/// Of three tries of a call all are refused once in ten times or so: about every ticket meets a call that fails for good.
const PERCENT: u64 = 45;
/// After this time the sweeper rings for what it finds undone, and a lease in advance has ended.
const SWEPT_AFTER: Duration = Duration::from_secs(75);

/// Tickets whose requests are counted while nothing is throttled.
const CALM_TICKETS: usize = 20;

/// At most six requests that write and six that read, of which publishing, which does not come by here, is one that writes.
async fn requests_of_a_ticket(stack: &Stack, throttling: &Throttling, id: &str, api: &Api) {
    let store = stack.store(Arc::new(SystemClock::new())).await;
    let written_back = async |ids: &[String]| {
        for ticket in ids {
            until("a ticket is written back", LONG, async || {
                let file = store.ticket(&scope(id), &ticket.parse().unwrap()).await.unwrap();
                file.is_some_and(|file| file.sync.status == SyncStatus::Success).then_some(())
            })
            .await;
        }
    };
    // Each customer has been here before: to read his history is the dearer case.
    for visit in ["first", "second"] {
        throttling.passed_on();
        let tickets: Vec<String> = (1..=CALM_TICKETS).map(|n| format!("{visit}-{n}")).collect();
        for (n, ticket) in tickets.iter().enumerate() {
            accepted(api, ticket, &format!("C-{n}")).await;
        }
        written_back(&tickets).await;
    }
    let calls = throttling.passed_on();
    let sum = |operations: &[&str]| operations.iter().filter_map(|name| calls.get(*name)).sum::<u64>() as f64;
    let reads = sum(&["GetItem", "BatchGetItem", "Query"]) / CALM_TICKETS as f64;
    let writes = sum(&["TransactWriteItems", "UpdateItem", "PutItem", "BatchWriteItem"]) / CALM_TICKETS as f64;
    println!("requests of a ticket to DynamoDB: {writes:.2} that write, {reads:.2} that read; {calls:?}");
    // What functions do by the clock is in it: keys and how much waits, after seconds, their last use and the sweeper each minute.
    assert!(writes < 6.0 && reads < 7.0, "{writes} {reads} {calls:?}");
}

/// Sends a ticket as callers are told to: again, after a moment, when the answer says so.
async fn accepted(api: &Api, id: &str, customer: &str) {
    until(&format!("{id} is taken"), LONG, async || {
        let ticket = ticket_with(id, |ticket| ticket["customer_id"] = customer.into());
        let answer = api.post("/tickets", &ticket).await;
        match answer.status {
            202 => Some(()),
            429 | 503 => {
                assert!(answer.headers.contains_key("retry-after"), "{}", answer.text());
                None
            }
            _ => panic!("{id}: {} {}", answer.status, answer.text()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_throttling_every_ticket_is_decided_once_and_nothing_is_lost() {
    let (stack, port) = Stack::throttled();
    let throttling = Throttling::start(port, &stack.endpoint).await;
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, api) = stack.tenant("acme", &double, |_| ()).await;
    requests_of_a_ticket(&stack, &throttling, &id, &api).await;
    stack.hurry().await;
    throttling.refuse(PERCENT);
    let ids: Vec<String> = (1..=TICKETS).map(|n| format!("T-{n}")).collect();
    for ticket in &ids {
        accepted(&api, ticket, "C-1").await;
    }
    // It goes on for a while: what fails is left to the queue, the stream and the sweeper, which are throttled, too.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refused = throttling.refused();
    assert!(refused > TICKETS as u64, "only {refused} calls were throttled");
    throttling.refuse(0);
    let is_done = async || {
        for ticket in &ids {
            if api.ticket(ticket).await["sync_status"] != "success" {
                return None;
            }
        }
        Some(())
    };
    // The schedule is the same function once a minute.
    until("all tickets are written back", LONG + SWEPT_AFTER, async || {
        if let Some(done) = is_done().await {
            return Some(done);
        }
        stack.invoke("schedule").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        None
    })
    .await;
    let mut decisions = BTreeSet::new();
    for ticket in &ids {
        let file = api.ticket(ticket).await;
        decisions.insert(file["decision"]["decision_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(decisions.len(), TICKETS);
    for detail_type in ["TicketReceived", "TicketRouted", "TicketSynced"] {
        let events = stack.events(&id, detail_type);
        let tickets: BTreeSet<&str> = events.iter().filter_map(|event| event["detail"]["ticket_id"].as_str()).collect();
        let all = TICKETS + 2 * CALM_TICKETS;
        assert_eq!((events.len(), tickets.len()), (all, all), "{detail_type}");
    }
    // A result that could not be recorded is sent again under the same id, by which the desk knows it.
    let told: BTreeSet<String> = double.deliveries().iter().map(|sent| sent.id.clone()).collect();
    assert!(told.is_superset(&decisions));
    assert_eq!(told.len(), TICKETS + 2 * CALM_TICKETS);
    assert_eq!(stack.run(&id, &["dlq", "list"]), Value::Array(Vec::new()));
}
