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
async fn tenant(stack: &Stack, id: &str, double: &WebhookDouble) -> (String, String) {
    let home = stack.home();
    // A run by hand finds what the one before it has left on the stack: each has tenants of its own.
    let id = &format!("{id}-{}", std::process::id());
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
    let key = serde_json::from_str::<Value>(&made.stdout).unwrap()["key"].as_str().unwrap().to_owned();
    (id.clone(), key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_becomes_a_decision_and_an_update_at_the_desk_whatever_comes_twice() {
    let stack = Stack::deployed();
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let (id, key) = tenant(&stack, "acme", &double).await;
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

    // The same ticket again, its messages again, and messages that are none: nothing more happens, and nobody waits for them.
    assert_eq!(api.accept(&ticket("T-1")).await["correlation_id"], receipt["correlation_id"]);
    let home = stack.home();
    let listed =
        crate::server::finished(home.bare_command().args(["--aws", "--tenant", &id, "--json", "events", "list"]));
    let events: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.len() >= 3, "{listed:?}");
    let (clients, jobs) = (stack.clients().await, stack.output("events", "JobsQueueUrl"));
    let hints = events.iter().map(|event| json!({"detail": {"switchboard": {"tenant": id, "event": event["id"]}}}));
    let bodies: Vec<String> =
        hints.map(|hint| hint.to_string()).chain(["poison".to_owned(), "{}".to_owned()]).collect();
    // The emulator hides a message for as long as the queue says, as AWS does: that is six minutes as deployed.
    let hidden = clients.sqs.set_queue_attributes().queue_url(jobs).attributes("VisibilityTimeout".into(), "1");
    hidden.send().await.unwrap();
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
    let (id, key) = tenant(&stack, "globex", &double).await;
    let api = stack.api(&key);
    api.accept(&ticket("T-9")).await;
    until("the ticket is written back", LONG, async || {
        (api.ticket("T-9").await["sync_status"] == "success").then_some(())
    })
    .await;
    let home = stack.home();
    let run = |arguments: &[&str]| {
        let ran =
            crate::server::finished(home.bare_command().args(["--aws", "--tenant", &id, "--json"]).args(arguments));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {ran:?}"))
    };
    assert_eq!(run(&["tickets", "list"])[0]["ticket_id"], "T-9");
    assert_eq!(run(&["tickets", "show", "T-9"])["sync_status"], "success");
    assert_eq!(run(&["effects", "list", "--ticket", "T-9"])[0]["state"], "done");
    assert_eq!(run(&["dlq", "list"]), json!([]));
    assert_eq!(run(&["keys", "list"])[0]["scopes"], json!(["tickets:write", "tickets:read", "tickets:review"]));
    assert!(run(&["audit-log", "list"]).as_array().is_some_and(|acts| !acts.is_empty()));
    let refused = crate::server::finished(home.bare_command().args(["--aws", "--tenant", &id, "export", "x"]));
    assert!(refused.stderr.contains("works on a data folder only"), "{refused:?}");
    // A correction is written back, too: its message comes by the stream.
    run(&["reviews", "correct", "T-9", "--team", "billing"]);
    until("the review is written back", LONG, async || (double.deliveries().len() == 2).then_some(())).await;
}

#[test]
fn the_doctor_finds_the_stack_as_it_should_be() {
    let stack = Stack::deployed();
    let home = stack.home();
    let ran = crate::server::finished(home.bare_command().args(["aws", "doctor", "--json"]));
    let found: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let findings = found["findings"].as_array().unwrap();
    // The emulator leaves the time to live of a `GlobalTable` out; the templates' snapshots have it.
    let is_known = |one: &Value| one["missing"].as_str().is_some_and(|text| text.ends_with("no time to live"));
    let problems: Vec<_> = findings.iter().filter(|one| one["severity"] == "problem" && !is_known(one)).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}
