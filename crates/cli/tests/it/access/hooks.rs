//! Tickets by signed web hook, with the real binary.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use switchboard_core::webhook::SigningKey;

use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::{acme, ticket},
};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn with_hook() -> Value {
    let mut config = acme(&json!({"kind": "none"}));
    config["hooks"] = json!({"generic": {"secrets": ["hook"]}});
    config
}

async fn send(api: &Api, secret: &str, id: &str, age: Duration, body: &Value) -> Answer {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let (timestamp, body) = ((now - age).as_secs().to_string(), body.to_string());
    let signature = SigningKey::new(&secret.into()).unwrap().sign(id, &timestamp, body.as_bytes());
    let request = api.request(Method::POST, "/hooks/generic?tenant=acme").header("webhook-id", id);
    let request = request.header("webhook-timestamp", timestamp).header("webhook-signature", signature);
    Answer::of(request.header("content-type", "application/json").body(body)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_web_hook_becomes_a_ticket_once() {
    let home = Home::with_tenant(&with_hook()).secret("HOOK", SECRET);
    let server = home.start_empty();
    let nobody = Api::new(&server.url, None);
    let first = send(&nobody, SECRET, "msg_1", Duration::ZERO, &ticket("T-1")).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let again = send(&nobody, SECRET, "msg_1", Duration::from_secs(60), &ticket("T-1")).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    for (secret, age) in [(SECRET, 400), ("whsec_aGVsbG8=", 0)] {
        let refused = send(&nobody, secret, "msg_2", Duration::from_secs(age), &ticket("T-2")).await;
        assert_eq!((refused.status, refused.problem().as_str()), (401, "unauthorized"));
    }
    let mistaken = send(&nobody, SECRET, "msg_3", Duration::ZERO, &json!({"ticket_id": "T-3"})).await;
    assert_eq!((mistaken.status, mistaken.problem().as_str()), (422, "invalid_field"), "{}", mistaken.text());
    let missing = Answer::of(nobody.request(Method::POST, "/hooks/generic").body("{}")).await;
    assert_eq!((missing.status, missing.problem().as_str()), (400, "invalid_parameter"), "{}", missing.text());
    let api = server.api(&home.make_key("acme", &[]));
    let found = api.ticket_until("T-1", "decided", |ticket| ticket["status"] == "routed").await;
    assert_eq!(found["decision"]["assigned_team"], "support");
    assert_eq!(api.list_all("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_signatures_soon_cannot_ask_at_all() {
    let home = Home::with_tenant(&with_hook()).secret("HOOK", SECRET);
    let home = home.env("SWITCHBOARD_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "10");
    let server = home.start_empty();
    let nobody = Api::new(&server.url, None);
    let mut guesses = 0;
    while send(&nobody, "a guess", "msg_1", Duration::ZERO, &ticket("T-1")).await.status == 401 {
        guesses += 1;
        assert!(guesses < 100, "guesses are counted");
    }
    let refused = send(&nobody, SECRET, "msg_2", Duration::ZERO, &ticket("T-2")).await;
    assert_eq!(refused.status, 429, "after {guesses} guesses");
}

#[test]
fn a_hook_without_its_secret_is_pointed_out() {
    let home = Home::with_tenant(&with_hook());
    home.prepared();
    let told = home.run(&["doctor"]);
    assert!(told.stdout.contains("secret `hook` is missing"), "{told:?}");
    let mut config = with_hook();
    config["hooks"]["generic"]["secrets"] = json!(["hook", "hook", "more"]);
    home.put_tenant(&config);
    let told = home.run(&["doctor"]);
    for part in [
        "/hooks/generic/secrets: must name one secret, or two",
        "/hooks/generic/secrets/1: secret `hook` is there twice",
    ] {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
}
