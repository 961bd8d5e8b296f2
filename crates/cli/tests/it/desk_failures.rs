//! Ticketing systems that fail: for a while, or for good.

use serde_json::{Value, json};
use switchboard_testkit::doubles::{Fault, WebhookDouble, ZendeskDouble};

use crate::{
    desks::{AGENT, HOOK_SECRET, ZENDESK_TOKEN, hook_home, zendesk_home},
    server::Home,
    tenant::ticket,
    wait::SOON,
};

/// The events of all dead letters.
fn dead(home: &Home) -> Vec<Value> {
    home.json(&["dlq", "list"]).as_array().unwrap().clone()
}

fn id_of(letter: &Value) -> &str {
    letter["event_id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_ends_among_the_dead_letters_and_can_be_replayed_beside_the_server() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    double.rate(1.0, Fault::status(422));
    let home = hook_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("T-1")).await;
    let failed = api.ticket_when("T-1", "failed").await;
    assert_eq!(double.requests(), 1, "a refusal for good is not tried again");
    assert!(failed["sync"]["last_error"].as_str().unwrap().contains("422"), "{failed}");
    assert_eq!(failed["timeline"][2]["what"], "sync_failed");
    assert_eq!(failed["status"], "routed");
    assert_eq!(api.list_all("&sync_status=failed").await.len(), 1);
    assert!(api.get("/metrics").await.text().contains("switchboard_dead_letters 1"));

    let letters = dead(&home);
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["detail_type"], &letter["detail"]["ticket_id"]), (&json!("TicketRouted"), &json!("T-1")));
    assert!(letter["reason"].as_str().unwrap().contains("422"), "{letter}");
    assert_eq!(home.json(&["dlq", "show", id_of(letter)]), *letter);
    assert!(home.ok(&["dlq", "list"]).contains(id_of(letter)));
    assert_eq!(home.run(&["doctor"]).code, Some(3), "a dead letter is something to mend");

    double.heal();
    let done = home.json(&["dlq", "replay", id_of(letter)]);
    assert_eq!(done, json!({"done": [id_of(letter)], "unknown": []}));
    let found = api.ticket_when("T-1", "success").await;
    assert_eq!(found["decision"], failed["decision"], "a replay decides nothing anew");
    assert_eq!(double.effects().len(), 1);
    assert_eq!(dead(&home), Vec::<Value>::new());
    let again = home.run(&["dlq", "replay", id_of(letter)]);
    assert_eq!(again.code, Some(3), "{again:?}");
    assert!(again.stderr.contains("there is no dead letter"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_replayed_all_at_once_and_dropped_one_by_one() {
    let double = ZendeskDouble::start(AGENT, ZENDESK_TOKEN, &[11, 22]).await;
    let home = zendesk_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    // Zendesk knows none of them, and the last is none of Zendesk's at all.
    for id in ["ZD-1", "ZD-2", "ZD-3", "T-4"] {
        api.accept(&ticket(id)).await;
        let failed = api.ticket_when(id, "failed").await;
        let error = failed["sync"]["last_error"].as_str().unwrap();
        let part = if id == "T-4" { "its id must be `ZD-` and a number" } else { "does not exist" };
        assert!(error.contains(part), "{error}");
    }
    let letters = dead(&home);
    assert_eq!(letters.len(), 4);
    let hopeless = letters.iter().find(|letter| letter["detail"]["ticket_id"] == "T-4").unwrap();
    let dropped = home.json(&["dlq", "drop", id_of(hopeless)]);
    assert_eq!(dropped["done"], json!([id_of(hopeless)]));
    assert_eq!(api.ticket("T-4").await["sync_status"], "failed", "the ticket stays as it is");
    for number in [1, 2, 3] {
        double.open(number);
    }
    let done = home.json(&["dlq", "replay", "--all"]);
    assert_eq!(done["done"].as_array().unwrap().len(), 3, "{done}");
    for (id, number) in [("ZD-1", 1), ("ZD-2", 2), ("ZD-3", 3)] {
        let found = api.ticket_when(id, "success").await;
        assert_eq!(double.notes_with(number, found["decision"]["decision_id"].as_str().unwrap()), 1);
    }
    assert_eq!(dead(&home), Vec::<Value>::new());
    assert_eq!(home.ok(&["dlq", "list"]), "no dead letters\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_desk_is_tried_again_after_the_time_that_it_asks_for() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let home = hook_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    double.next(Fault::Answer { status: 503, retry_after: Some("2".to_owned()) });
    let started = std::time::Instant::now();
    api.accept(&ticket("T-1")).await;
    let waiting = api.ticket_until("T-1", "is tried again", |ticket| ticket["sync"]["failed_attempts"] == 1).await;
    assert_eq!(waiting["sync_status"], "pending");
    assert_eq!(waiting["timeline"][2]["what"], "sync_retrying");
    let found = api.ticket_when("T-1", "success").await;
    assert!(started.elapsed().as_millis() >= 2_000, "{:?}", started.elapsed());
    assert_eq!((double.requests(), double.effects().len()), (2, 1));
    assert_eq!(found["timeline"][2]["what"], "synced");
    assert_eq!(dead(&home), Vec::<Value>::new());
}

/// The connection is cut and answers are lost: the receiver sees repetitions, and one effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_lead_to_repetitions_and_one_effect() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let home = hook_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    double.next(Fault::ApplyThenDrop);
    double.next(Fault::ApplyThenAnswer { status: 500 });
    api.accept(&ticket("T-1")).await;
    api.ticket_when("T-1", "success").await;
    assert_eq!((double.deliveries().len(), double.effects().len()), (3, 1));
}

/// A retry outlives the process that has planned it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_retry_is_done_by_the_next_process() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    double.next(Fault::status(503));
    let home = hook_home(&double);
    let mut server = home.start_empty();
    let key = home.make_key("acme", &[]);
    let api = server.api(&key);
    api.accept(&ticket("T-1")).await;
    api.ticket_until("T-1", "is tried again", |ticket| ticket["sync"]["failed_attempts"] == 1).await;
    server.kill();
    let server = home.start_empty();
    let api = server.api(&key);
    api.ticket_when("T-1", "success").await;
    assert_eq!(double.effects().len(), 1);
    api.wait_idle(SOON).await;
}

/// Without its secret nothing is sent; the operator is told which one, and a replay does the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_secret_is_named_and_nothing_is_lost() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let desk = json!({"kind": "webhook", "url": double.hook_url(), "secret": "acme_hook"});
    let home = Home::with_tenant(&crate::tenant::acme(&desk)).allow(&[&double]);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("T-1")).await;
    let failed = api.ticket_until("T-1", "fails", |ticket| ticket["sync"]["failed_attempts"] != 0).await;
    assert!(failed["sync"]["last_error"].as_str().unwrap().contains("`acme_hook`"), "{failed}");
    let doctor = home.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, Some(3), "{doctor:?}");
    assert!(doctor.stdout.contains("secret `acme_hook` is missing"), "{doctor:?}");
    std::fs::create_dir_all(home.data().join("secrets/acme")).unwrap();
    std::fs::write(home.data().join("secrets/acme/acme_hook"), format!("{HOOK_SECRET}\n")).unwrap();
    if failed["sync_status"] == "failed" {
        home.ok(&["dlq", "replay", "--all"]);
    }
    api.ticket_when("T-1", "success").await;
    assert_eq!(home.json(&["doctor"])["good"], true);
}
