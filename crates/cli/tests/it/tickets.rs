//! Sending tickets in one at a time, and reading them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::{ticket, ticket_with},
};

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

async fn post_with(api: &Api, header: (&str, &str), ticket: &Value) -> Answer {
    let request = api.request(Method::POST, "/tickets").header(header.0, header.1);
    Answer::of(request.header("content-type", "application/json").body(ticket.to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_ticket_comes_back_as_it_was_sent() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let sent = ticket_with("ZD/4711#2", |ticket| {
        ticket["customer_id"] = "CUST-1003".into();
        ticket["subject"] = "Störung \u{1f525} <b>\"quoted\"</b>".into();
        ticket["timestamp"] = "2026-11-20T08:00:00+01:00".into();
        ticket["channel"] = "email".into();
        ticket["language"] = "de-AT".into();
        ticket["attachments"] = json!([{"name": "a.png", "type": "image/png", "url": "https://files.example/a.png"}]);
        ticket["metadata"] = json!({"plan": "gold", "": "x"});
        ticket["tenant_id"] = "telecorp".into();
    });
    let refused = api.post("/tickets", &sent).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid_field"));
    let mut sent = sent;
    sent["metadata"] = json!({"plan": "gold"});
    api.accept(&sent).await;
    let found = api.ticket_when("ZD%2F4711%232", "success").await;
    sent["timestamp"] = "2026-11-20T07:00:00.000Z".into();
    for (name, value) in sent.as_object().unwrap() {
        if name != "tenant_id" {
            assert_eq!(found["ticket"][name], *value, "{name}");
        }
    }
    assert_eq!(found["status"], "routed");
    let decision = &found["decision"];
    let expected = [
        "ticket_id",
        "timestamp",
        "customer_id",
        "assigned_team",
        "priority_level",
        "priority_score",
        "confidence_score",
        "issue_classification",
        "entities",
        "reasoning",
        "requires_manual_review",
        "review_reasons",
        "decided_by",
        "model",
        "processing_time_ms",
        "tool_calls",
        "tokens",
        "cost_usd",
        "correlation_id",
        "config_version",
        "created_at",
        "ttl",
    ];
    for name in expected {
        assert!(decision.get(name).is_some(), "{name} is not in {decision}");
    }
    assert_eq!(decision["tool_calls"].as_array().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_by_ticket_id_gets_the_first_answer() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let first = post_with(&api, ("x-correlation-id", "first"), &ticket("T-1")).await;
    assert_eq!((first.status, &first.json()["correlation_id"]), (202, &json!("first")));
    let again = post_with(&api, ("x-correlation-id", "second"), &ticket("T-1")).await;
    assert_eq!(again.json(), first.json());
    assert_eq!((again.status, again.header("x-correlation-id")), (202, "second"));

    let other = ticket_with("T-1", |ticket| {
        ticket["subject"] = "Something else".into();
        ticket["customer_id"] = "C-2".into();
    });
    let clash = api.post("/tickets", &other).await;
    assert_eq!((clash.status, clash.problem().as_str()), (409, "conflict"));
    let problem = clash.json();
    assert_eq!(pointers(&problem), ["/customer_id", "/subject"]);
    assert!(problem["detail"].as_str().unwrap().contains("`T-1`"), "{problem}");
    let found = api.ticket_when("T-1", "success").await;
    assert_eq!(found["ticket"]["subject"], "No internet since this morning");
    assert_eq!(api.list_all("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_by_idempotency_key_gets_the_first_answer() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let first = post_with(&api, ("idempotency-key", "key-1"), &ticket("T-1")).await;
    let again = post_with(&api, ("idempotency-key", "key-1"), &ticket("T-1")).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    let clash = post_with(&api, ("idempotency-key", "key-1"), &ticket("T-2")).await;
    assert_eq!((clash.status, clash.problem().as_str()), (409, "conflict"));
    assert_eq!(pointers(&clash.json()), ["/ticket_id"]);
    assert_eq!(api.get("/tickets/T-2").await.status, 404);
    for bad in ["", "with space", &"x".repeat(129)] {
        let refused = post_with(&api, ("idempotency-key", bad), &ticket("T-3")).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "invalid_parameter"), "{bad}");
        assert_eq!(pointers(&refused.json()), ["/Idempotency-Key"]);
    }
    assert_eq!(api.list_all("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_with_the_same_id_make_one_ticket() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { api.accept(&ticket("T-1")).await })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    api.ticket_when("T-1", "success").await;
    assert_eq!(api.list_all("").await.len(), 1);
    assert_eq!(home.ok(&["events", "list", "--type", "TicketReceived", "--json"]).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_carries_a_correlation_id() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let paths =
        ["/health", "/health/live", "/metrics", "/openapi.json", "/docs/", "/tickets", "/tickets/none", "/none"];
    for path in paths {
        let made = api.get(path).await;
        assert_eq!(made.header("x-correlation-id").len(), 26, "{path}: {made:?}");
        let given = Answer::of(api.request(Method::GET, path).header("x-correlation-id", "mine-1")).await;
        assert_eq!(given.header("x-correlation-id"), "mine-1", "{path}");
        let bad = Answer::of(api.request(Method::GET, path).header("x-correlation-id", "not mine")).await;
        assert_eq!(bad.header("x-correlation-id").len(), 26, "{path}");
    }
    let nobody = Api::new(&server.url, None);
    for method in [Method::POST, Method::DELETE] {
        let request = nobody.request(method, "/tickets").header("x-correlation-id", "mine-2");
        let answer = Answer::of(request).await;
        answer.problem();
        assert_eq!(answer.header("x-correlation-id"), "mine-2");
    }
    post_with(&api, ("x-correlation-id", "mine-3"), &ticket("T-1")).await;
    let found = api.ticket_when("T-1", "success").await;
    assert_eq!(found["ticket"]["correlation_id"], "mine-3");
    assert_eq!(found["decision"]["correlation_id"], "mine-3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_may_come_as_a_bearer_token() {
    let home = Home::new();
    let server = home.start();
    let nobody = Api::new(&server.url, None);
    let key = server.key.as_deref().unwrap();
    for header in [format!("Bearer {key}"), format!("bearer  {key}")] {
        let request = nobody.request(Method::GET, "/tickets").header("authorization", header);
        assert_eq!(Answer::of(request).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_tell_browsers_to_be_careful() {
    let home = Home::new();
    let server = home.start();
    let answer = server.demo_api().get("/tickets").await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-frame-options"), "DENY");
}
