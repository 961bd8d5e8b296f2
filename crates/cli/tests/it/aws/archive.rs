use std::time::SystemTime;

use serde_json::{Value, json};
use switchboard_testkit::doubles::WebhookDouble;

use super::stack::{LONG, Stack, unique};
use crate::{desks::HOOK_SECRET, tenant::ticket, wait::until};

/// The archive as the infrastructure makes it, which the emulator cannot be deployed with: its events and its days.
fn archive() -> (String, u64) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/snapshots/http/delivery.json");
    let template: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let resources = template["Resources"].as_object().unwrap();
    let archive = resources.values().find(|resource| resource["Type"] == "AWS::Events::Archive").unwrap();
    let properties = &archive["Properties"];
    (properties["EventPattern"].to_string(), properties["RetentionDays"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_archive_of_the_bus_is_replayed_and_what_is_done_stays_done() {
    let stack = Stack::deployed();
    let (clients, name) = (stack.clients().await, unique("archive"));
    let bus_name = stack.output("events", "BusName");
    let bus = stack.bus("DescribeEventBus", &json!({"Name": bus_name})).await["Arn"].clone();
    let (pattern, days) = archive();
    assert_eq!(days, 7);
    let archive = json!({"ArchiveName": name, "EventSourceArn": bus, "EventPattern": pattern, "RetentionDays": days});
    let archive = stack.bus("CreateArchive", &archive).await["ArchiveArn"].clone();
    // Somebody else who listens to what is replayed.
    let queue = clients.sqs.create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap();
    let attributes = clients.sqs.get_queue_attributes().queue_url(&queue).attribute_names("QueueArn".into());
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    let pattern = json!({"source": ["support.ticketing"], "replay-name": [name]}).to_string();
    stack.bus("PutRule", &json!({"Name": name, "EventBusName": bus_name, "EventPattern": pattern})).await;
    let target = json!({"Id": "queue", "Arn": attributes[&"QueueArn".into()]});
    stack.bus("PutTargets", &json!({"Rule": name, "EventBusName": bus_name, "Targets": [target]})).await;

    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, api) = stack.tenant("replayed", &double, |_| ()).await;
    api.accept(&ticket("T-1")).await;
    let file = until("the ticket is written back", LONG, async || {
        Some(api.ticket("T-1").await).filter(|file| file["sync_status"] == "success")
    })
    .await;

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let replay = json!({
        "ReplayName": name,
        "EventSourceArn": archive,
        "Destination": {"Arn": bus},
        "EventStartTime": now - 3_600,
        "EventEndTime": now + 60,
    });
    stack.bus("StartReplay", &replay).await;
    until("the replay is over", LONG, async || {
        (stack.bus("DescribeReplay", &json!({"ReplayName": name})).await["State"] == "COMPLETED").then_some(())
    })
    .await;
    let mut seen = Vec::new();
    until("the ticket's events came again", LONG, async || {
        let messages = clients.sqs.receive_message().queue_url(&queue).max_number_of_messages(10).send().await.unwrap();
        let bodies = messages.messages().iter().filter_map(|message| message.body());
        let events = bodies.map(|body| serde_json::from_str::<Value>(body).unwrap());
        seen.extend(
            events
                .filter(|event| event["detail"]["switchboard"]["tenant"] == id)
                .map(|event| event["detail-type"].as_str().unwrap().to_owned()),
        );
        seen.sort();
        seen.dedup();
        (seen.len() == 3).then_some(())
    })
    .await;
    assert_eq!(seen, ["TicketReceived", "TicketRouted", "TicketSynced"]);
    // The functions got them, too: a ticket that is sent now goes behind them through the same queue.
    api.accept(&ticket("T-2")).await;
    until("the second ticket is written back", LONG, async || {
        (api.ticket("T-2").await["sync_status"] == "success").then_some(())
    })
    .await;
    let of_first = double.deliveries().iter().filter(|sent| sent.id == file["decision"]["decision_id"]).count();
    assert_eq!(of_first, 1);
    assert_eq!(api.ticket("T-1").await, file);
    stack.bus("DeleteArchive", &json!({"ArchiveName": name})).await;
}
