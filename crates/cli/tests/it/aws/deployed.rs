use std::time::Duration;

use serde_json::{Value, json};
use switchboard_testkit::doubles::WebhookDouble;

use super::stack::Stack;
use crate::{
    desks::HOOK_SECRET,
    tenant::{acme, ticket},
    wait::until,
};

/// For cold starts of all functions, in the dev profile.
const LONG: Duration = Duration::from_secs(120);

/// A tenant of its own on the stack, with its desk and a key.
async fn tenant(stack: &Stack, id: &str, double: &WebhookDouble) -> String {
    let home = stack.home();
    let mut config = acme(&json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"}));
    config["tenant_id"] = json!(id);
    let file = home.beside("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let run = |arguments: &[&str]| {
        crate::server::finished(home.bare_command().args(["--aws", "--tenant", id]).args(arguments))
    };
    let put = run(&["aws", "put-tenant", file.to_str().unwrap()]);
    assert_eq!(put.code, Some(0), "{put:?}");
    let secret = format!("switchboard/{id}/hook");
    stack.clients().await.secrets.create_secret().name(secret).secret_string(HOOK_SECRET).send().await.unwrap();
    let made = run(&["keys", "create", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    serde_json::from_str::<Value>(&made.stdout).unwrap()["key"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_becomes_a_decision_and_an_update_at_the_desk_whatever_comes_twice() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let key = tenant(&stack, "acme", &double).await;
    let api = stack.api(&key);
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

    // The same ticket again, and its message again: nothing more happens.
    assert_eq!(api.accept(&ticket("T-1")).await["correlation_id"], receipt["correlation_id"]);
    let home = stack.home();
    let listed =
        crate::server::finished(home.bare_command().args(["--aws", "--tenant", "acme", "--json", "events", "list"]));
    let events: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3, "{listed:?}");
    let clients = stack.clients().await;
    for event in &events {
        let body = json!({"detail": {"tenant_id": "acme", "event_id": event["id"], "lease_token": 1}}).to_string();
        let queue = clients.names.jobs_queue.clone().unwrap();
        clients.sqs.send_message().queue_url(queue).message_body(body).send().await.unwrap();
    }
    let second = api.accept(&ticket("T-2")).await;
    assert_eq!(second["status"], "accepted");
    until("the second ticket is written back", LONG, async || {
        (api.ticket("T-2").await["sync_status"] == "success").then_some(())
    })
    .await;
    let of_first = |double: &WebhookDouble| {
        double.deliveries().iter().filter(|delivery| delivery.id == file["decision"]["decision_id"]).count()
    };
    assert_eq!(of_first(&double), 1);
    assert_eq!(api.ticket("T-1").await, file);
}
