//! Many tickets in one request.

use serde_json::{Value, json};

use crate::{
    server::Home,
    tenant::{ticket, ticket_with},
};

/// Of each result: its ticket when accepted, else the kind of its problem and the first place.
fn outcomes(answer: &Value) -> Vec<String> {
    let outcome = |result: &Value| match result["status"].as_str() {
        Some("accepted") => result["ticket_id"].as_str().unwrap().to_owned(),
        Some("refused") => {
            let error = &result["error"];
            let kind = error["type"].as_str().unwrap().rsplit(':').next().unwrap();
            format!("{kind} {} {}", error["status"], error["errors"][0]["pointer"].as_str().unwrap_or("-"))
        }
        _ => panic!("neither accepted nor refused: {result}"),
    };
    answer["results"].as_array().unwrap().iter().map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_tickets_of_an_array_do_not_reject_the_others() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    api.accept(&ticket("T-0")).await;
    let batch = json!([
        ticket("T-1"),
        {"ticket_id": "T-2"},
        "no ticket",
        ticket_with("T-3", |ticket| ticket["subjct"] = "x".into()),
        ticket("T-4"),
        ticket_with("T-0", |ticket| ticket["subject"] = "other".into()),
        ticket("T-0"),
        ticket("T-1"),
        ticket_with("T-1", |ticket| ticket["description"] = "other".into()),
        [],
        null,
    ]);
    let answer = api.post("/tickets/batch", &batch).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let answer = answer.json();
    let expected = [
        "T-1",
        "invalid_field 422 /customer_id",
        "invalid_field 422 ",
        "invalid_field 422 /subjct",
        "T-4",
        "conflict 409 /subject",
        "T-0",
        "T-1",
        "conflict 409 /description",
        "invalid_field 422 ",
        "invalid_field 422 ",
    ];
    assert_eq!(outcomes(&answer), expected);
    assert_eq!((answer["accepted"].as_u64(), answer["refused"].as_u64()), (Some(4), Some(7)));
    for id in ["T-0", "T-1", "T-4"] {
        api.ticket_when(id, "success").await;
    }
    assert_eq!(api.list_all("").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_of_ndjson_do_not_reject_the_others() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let mut body = format!("{}\r\n\n  \n{{\"ticket_id\":\n[1]\n", ticket("T-1")).into_bytes();
    body.extend_from_slice(b"\xff\xfe\n");
    body.extend_from_slice(ticket("T-2").to_string().as_bytes());
    for media in ["application/x-ndjson", "application/jsonl", "application/ndjson; charset=utf-8"] {
        let answer = api.post_as("/tickets/batch", media, body.clone()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let found = outcomes(&answer.json());
        assert_eq!(found, ["T-1", "malformed_json 400 ", "invalid_field 422 ", "malformed_json 400 ", "T-2"]);
    }
    assert_eq!(api.list_all("").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_tickets_are_taken_and_decided_and_one_more_is_refused() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let tickets = |count: usize| Value::Array((0..count).map(|n| ticket(&format!("T-{n}"))).collect());
    let lines: String = tickets(1_001).as_array().unwrap().iter().map(|ticket| format!("{ticket}\n")).collect();
    let refused = [
        api.post("/tickets/batch", &tickets(1_001)).await,
        api.post_as("/tickets/batch", "application/x-ndjson", lines.into_bytes()).await,
    ];
    for answer in refused {
        assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid_field"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("at most 1000"), "{}", answer.text());
    }
    assert_eq!(api.list_all("").await.len(), 0);
    let answer = api.post("/tickets/batch", &tickets(1_000)).await.json();
    assert_eq!((answer["accepted"].as_u64(), answer["refused"].as_u64()), (Some(1_000), Some(0)));
    api.wait_idle(crate::wait::SOON * 2).await;
    let all = api.list_all("").await;
    assert_eq!(all.len(), 1_000);
    assert!(all.iter().all(|ticket| ticket["status"] == "routed" && ticket["sync_status"] == "success"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_batch_is_no_mistake() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let answer = api.post("/tickets/batch", &json!([])).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(0)));
    let answer = api.post_as("/tickets/batch", "application/x-ndjson", Vec::new()).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(0)));
}
