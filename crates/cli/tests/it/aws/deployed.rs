use serde_json::{Value, json};
use switchboard_core::ports::EventQueue;
use switchboard_local::SystemClock;
use switchboard_testkit::doubles::WebhookDouble;

use super::stack::{LONG, Stack, scope};
use crate::{desks::HOOK_SECRET, server::finished, tenant::ticket, wait::until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_becomes_a_decision_and_an_update_at_the_desk_whatever_comes_twice() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, api) = stack.tenant("acme", &double, |_| ()).await;
    let receipt = api.accept(&ticket("T-1")).await;
    assert_eq!(receipt["status"], "accepted");
    let file = until("the ticket is written back", LONG, async || {
        let file = api.ticket("T-1").await;
        (file["sync_status"] == "success").then_some(file)
    })
    .await;
    assert_eq!(file["decision"]["assigned_team"], "support", "{file}");
    assert_eq!(double.deliveries().len(), 1);
    assert_eq!(double.deliveries()[0].id, file["decision"]["decision_id"]);

    // The same ticket again, its messages again, and messages that are none: nothing more happens, and nobody waits for them.
    assert_eq!(api.accept(&ticket("T-1")).await["correlation_id"], receipt["correlation_id"]);
    let types = ["TicketReceived", "TicketRouted", "TicketSynced"];
    let events: Vec<Value> = types.iter().flat_map(|detail_type| stack.events(&id, detail_type)).collect();
    assert_eq!(events.len(), 3, "{events:?}");
    let (clients, jobs) = (stack.clients().await, stack.output("events", "JobsQueueUrl"));
    let hints = events.iter().map(|event| json!({"detail": {"switchboard": {"tenant": id, "event": event["id"]}}}));
    let bodies: Vec<String> =
        hints.map(|hint| hint.to_string()).chain(["poison".to_owned(), "{}".to_owned()]).collect();
    stack.hurry().await;
    for body in bodies {
        clients.sqs.send_message().queue_url(jobs).message_body(body).send().await.unwrap();
    }
    assert_eq!(api.accept(&ticket("T-2")).await["status"], "accepted");
    until("the second ticket is written back", LONG, async || {
        (api.ticket("T-2").await["sync_status"] == "success").then_some(())
    })
    .await;
    let dead = stack.output("events", "DeadJobsUrl");
    let mut found = Vec::new();
    until("both are dead letters", LONG, async || {
        let letters = clients.sqs.receive_message().queue_url(dead).max_number_of_messages(10).send().await.unwrap();
        found.extend(letters.messages().iter().filter_map(|letter| letter.body().map(str::to_owned)));
        (found.len() >= 2).then_some(())
    })
    .await;
    found.sort();
    found.dedup();
    assert_eq!(found, ["poison", "{}"]);
    let of_first = double.deliveries().iter().filter(|sent| sent.id == file["decision"]["decision_id"]).count();
    assert_eq!(of_first, 1);
    assert_eq!(api.ticket("T-1").await, file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_works_on_the_stack() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, api) = stack.tenant("globex", &double, |_| ()).await;
    api.accept(&ticket("T-9")).await;
    until("the ticket is written back", LONG, async || {
        (api.ticket("T-9").await["sync_status"] == "success").then_some(())
    })
    .await;
    let run = |arguments: &[&str]| stack.run(&id, arguments);
    assert_eq!(run(&["tickets", "list"])[0]["ticket_id"], "T-9");
    assert_eq!(run(&["tickets", "show", "T-9"])["sync_status"], "success");
    assert_eq!(run(&["effects", "list", "--ticket", "T-9"])[0]["state"], "done");
    assert_eq!(run(&["dlq", "list"]), json!([]));
    assert_eq!(run(&["keys", "list"])[0]["scopes"], json!(["tickets:write", "tickets:read", "tickets:review"]));
    assert!(run(&["audit-log", "list"]).as_array().is_some_and(|acts| !acts.is_empty()));
    let refused = finished(stack.home().bare_command().args(["--aws", "--tenant", &id, "export", "x"]));
    assert!(refused.stderr.contains("works on a data folder only"), "{refused:?}");
    // A correction is written back, too: its message comes by the stream.
    run(&["reviews", "correct", "T-9", "--team", "billing"]);
    until("the review is written back", LONG, async || {
        (api.ticket("T-9").await["sync_status"] == "success" && double.deliveries().len() == 2).then_some(())
    })
    .await;
    // What is done stays done, also when its events are replayed.
    let file = api.ticket("T-9").await;
    let queued = run(&["events", "replay", "--ticket", "T-9"]);
    assert_eq!(queued["queued"], 3, "received, routed, reviewed: {queued}");
    let queue = stack.store(std::sync::Arc::new(SystemClock::new())).await;
    until("all that was replayed is done", LONG, async || {
        (queue.backlog(&scope(&id)).await.unwrap().tenant == 0).then_some(())
    })
    .await;
    assert_eq!(double.deliveries().len(), 2);
    assert_eq!(api.ticket("T-9").await, file);
}

#[test]
fn the_doctor_finds_the_stack_as_it_should_be() {
    let stack = Stack::deployed();
    let home = stack.home();
    let ran = finished(home.bare_command().args(["aws", "doctor", "--json"]));
    let found: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let findings = found["findings"].as_array().unwrap();
    // The emulator leaves the time to live of a `GlobalTable` out; the templates' snapshots have it.
    let is_known = |one: &Value| one["missing"].as_str().is_some_and(|text| text.ends_with("no time to live"));
    let problems: Vec<_> = findings.iter().filter(|one| one["severity"] == "problem" && !is_known(one)).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}
