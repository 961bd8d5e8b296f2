//! A person's review of a decision: over HTTP and at the command line, to the desk and into the archive.

use std::{fs, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use switchboard_testkit::doubles::{Fault, StatusDouble};

use crate::{
    api::{Answer, Api},
    server::{Home, Server},
    tenant::{acme, ticket, ticket_with},
};

/// A ticket that is as much of one category as of the other.
fn unclear(id: &str) -> Value {
    ticket_with(id, |ticket| {
        ticket["subject"] = "I was charged twice this month".into();
        ticket["description"] = "no internet since this morning".into();
    })
}

struct Setup {
    home: Home,
    _server: Server,
    api: Api,
}

impl Setup {
    /// Acme with a folder as its desk.
    fn new() -> Self {
        let mut config = acme(&json!({"kind": "folder", "path": "desk"}));
        config["review"]["precision"] = 0.7.into();
        let home = Home::with_tenant(&config);
        let server = home.start_empty();
        let api = server.api(&home.make_key("acme", &[]));
        Self { home, _server: server, api }
    }

    /// Sends tickets in that will wait for review, and waits until their decisions are written back.
    async fn waiting(&self, ids: &[&str]) {
        for id in ids {
            self.api.accept(&unclear(id)).await;
        }
        for id in ids {
            assert_eq!(self.api.ticket_when(id, "success").await["review_state"], "waiting");
        }
    }

    async fn review(&self, id: &str, body: &Value) -> Answer {
        self.api.post(&format!("/tickets/{id}/review"), body).await
    }

    /// What the desk was told under that id.
    fn told(&self, id: &Value) -> Value {
        let file = format!("tenants/acme/desk/{}.json", id.as_str().unwrap());
        serde_json::from_slice(&fs::read(self.home.data().join(file)).unwrap()).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        let lines = self.home.ok(&["events", "list", "--type", "TicketReviewed", "--json"]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn mistakes(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    let line = |error: &Value| format!("{}: {}", error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap());
    problem["errors"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_goes_from_the_queue_to_the_desk_and_the_archive() {
    let setup = Setup::new();
    setup.waiting(&["T-1", "T-2"]).await;
    let queue = setup.api.get("/reviews").await.json();
    assert_eq!(queue["waiting"], 2);
    let item = &queue["items"][0];
    let seen = (&item["ticket_id"], &item["subject"], &item["review_state"]);
    assert_eq!(seen, (&json!("T-1"), &json!("I was charged twice this month"), &json!("waiting")));
    assert_eq!(item["value"].as_f64().unwrap(), 1.0 - item["confidence_score"].as_f64().unwrap());
    assert!(item["review_reasons"][0].as_str().unwrap().contains("% sure"), "{item}");

    let before = setup.api.ticket("T-1").await;
    let other = if before["assigned_team"] == "billing" { "outage" } else { "invoice" };
    let body = json!({"category": other, "priority": "critical", "note": "as they said on the phone"});
    let answer = setup.review("T-1", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let review = answer.json();
    assert_eq!((&review["category"], &review["priority"]), (&json!(other), &json!("critical")));
    assert_eq!(review["changed"], json!({"team": true, "priority": true, "category": true}));
    assert_eq!(review["decided"]["team"], before["assigned_team"]);
    assert_eq!(review["reviewer"]["kind"], "key");
    assert_eq!(review["correlation_id"], answer.header("x-correlation-id"));

    let found = setup.api.ticket_when("T-1", "success").await;
    assert_eq!((&found["decision"], &found["review"]), (&before["decision"], &review));
    let seen = (&found["assigned_team"], &found["primary_category"], &found["priority_level"]);
    assert_eq!(seen, (&review["team"], &review["category"], &review["priority"]));
    let told = setup.told(&review["review_id"]);
    assert_eq!((&told["assigned_team"], &told["priority_level"]), (&review["team"], &json!("critical")));
    assert_eq!(told["reviewed_decision_id"], before["decision"]["decision_id"]);
    let note = told["note"].as_str().unwrap();
    assert!(note.starts_with("Corrected by key ") && note.contains("\n> as they said on the phone\n"), "{note}");
    assert_eq!(told["requires_manual_review"], false);

    let events = setup.events();
    assert_eq!(events.len(), 1);
    let detail = &events[0]["detail"];
    let seen = (&detail["review_id"], &detail["assigned_team"], &detail["primary_category"]);
    assert_eq!(seen, (&review["review_id"], &review["team"], &review["category"]));
    assert_eq!(setup.api.get("/reviews").await.json()["waiting"], 1);
    assert_eq!(setup.api.list_all("&review_state=done").await.len(), 1);
    let shown = setup.home.ok(&["tickets", "show", "T-1"]);
    for part in ["Corrected by key ", "as they said on the phone", "priority critical", "reviewed", "Assigned to "] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }

    let again = setup.review("T-1", &body).await;
    assert_eq!((again.status, again.json()), (200, review));
    assert_eq!(setup.events().len(), 1, "a repetition changes nothing");
    let metrics = setup.api.get("/metrics").await.text();
    assert!(metrics.contains("switchboard_reviews_total{result=\"corrected\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_that_are_wrong_are_refused_with_their_places() {
    let setup = Setup::new();
    setup.api.accept(&ticket("T-1")).await;
    setup.api.ticket_when("T-1", "success").await;
    let wrong = json!({"team": "suport", "priority": "urgent", "category": "xyz", "note": "x".repeat(2_001)});
    let answer = setup.review("T-1", &wrong).await;
    assert_eq!((answer.status, answer.problem().as_str()), (422, "invalid_field"));
    assert_eq!(
        mistakes(&answer),
        [
            "/team: team `suport` does not exist; did you mean `support`?",
            "/priority: must be one of: low, medium, high, critical",
            "/category: category `xyz` does not exist; there are: invoice, outage",
            "/note: is 2001 characters long; at most 2000 are allowed",
        ]
    );
    for (body, status, code, part) in [
        ("{\"teem\": \"billing\"}", 422, "invalid_field", "did you mean `team`?"),
        ("{\"team\": 1}", 422, "invalid_field", "/team: "),
        ("[]", 422, "invalid_field", "must be a JSON object"),
        ("", 400, "malformed_json", "EOF"),
        ("{", 400, "malformed_json", "EOF"),
    ] {
        let answer = setup.api.post_as("/tickets/T-1/review", "application/json", body.into()).await;
        assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{body}: {}", answer.text());
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
    let large = setup.review("T-1", &json!({"note": "x".repeat(70_000)})).await;
    assert_eq!((large.status, large.problem().as_str()), (413, "body_too_large"));
    let text = setup.api.post_as("/tickets/T-1/review", "text/plain", b"{}".to_vec()).await;
    assert_eq!((text.status, text.problem().as_str()), (415, "unsupported_media_type"));
    for id in ["T-2", "no%20id", "%00"] {
        let unknown = setup.review(id, &json!({})).await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (404, "not_found"), "{id}");
    }
    assert_eq!(setup.events(), Vec::<Value>::new());
    assert_eq!(setup.api.ticket("T-1").await["review_state"], "not_needed");
    let worst = setup.review("T-1", &json!({"note": "\u{1f525}".repeat(2_000)})).await;
    assert_eq!(worst.status, 200, "{}", worst.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_needs_its_scope_and_reaches_its_own_tenant_only() {
    let home = Home::new();
    home.put_tenant(&acme(&json!({"kind": "none"})));
    let server = home.start();
    let telecorp = server.demo_api();
    telecorp.accept(&ticket("T-1")).await;
    telecorp.ticket_when("T-1", "success").await;
    let path = "/tickets/T-1/review";
    let everything_else = ["tickets:read", "tickets:write", "metrics:read"];
    let others = server.api(&home.make_key("telecorp", &everything_else));
    let refused = others.post(path, &json!({})).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"));
    assert!(refused.text().contains("needs the scope tickets:review"), "{}", refused.text());
    let reviewer = server.api(&home.make_key("telecorp", &["tickets:review"]));
    let refused = reviewer.get("/reviews").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("needs the scope tickets:read"), "{}", refused.text());
    let nobody = Api::new(&server.url, None);
    for (method, path) in [(Method::POST, path), (Method::GET, "/reviews")] {
        assert_eq!(Answer::of(nobody.request(method, path)).await.status, 401);
    }
    let acme = server.api(&home.make_key("acme", &[]));
    let foreign = acme.post(path, &json!({})).await;
    assert_eq!((foreign.status, foreign.problem().as_str()), (404, "not_found"));
    assert_eq!(foreign.json(), acme.post("/tickets/T-none/review", &json!({})).await.json());
    assert_eq!(acme.get("/reviews").await.json(), json!({"waiting": 0, "items": []}));
    assert_eq!(telecorp.ticket("T-1").await["review"], Value::Null);
    assert_eq!(reviewer.post(path, &json!({})).await.status, 200);
    assert_eq!(telecorp.post(path, &json!({})).await.status, 200, "the demo's key may review");
}

/// A status page that says nothing for long keeps the decision waiting for the time of one tool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_is_not_decided_yet_is_told() {
    let status = StatusDouble::start().await;
    status.rate(1.0, Fault::Delay(Duration::from_secs(30)));
    let mut config = acme(&json!({"kind": "none"}));
    config["service_status"] = json!({"kind": "http", "url": status.url()});
    let home = Home::with_tenant(&config).allow(&[&status]);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("T-1")).await;
    let answer = api.post("/tickets/T-1/review", &json!({})).await;
    assert_eq!((answer.status, answer.problem().as_str()), (409, "not_decided_yet"), "{}", answer.text());
    assert!(answer.text().contains("once its status is `routed`"), "{}", answer.text());
    let ran = home.run(&["reviews", "confirm", "T-1"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), "ticket `T-1` waits for its decision\n"));
    api.ticket_when("T-1", "success").await;
    assert_eq!(api.post("/tickets/T-1/review", &json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_of_the_queue_that_are_wrong_are_told() {
    let setup = Setup::new();
    for (query, place, part) in [
        ("limit=0", "/limit", "must be from 1 to 200"),
        ("team=No%20Team", "/team", "must be 1 to 64"),
        ("category=", "/category", "must be 1 to 64"),
        ("cursor=x", "/cursor", "cursor"),
        ("categry=outage", "/categry", "did you mean `category`?"),
    ] {
        let answer = setup.api.get(&format!("/reviews?{query}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_parameter"), "{query}");
        assert!(mistakes(&answer)[0].starts_with(place), "{query}: {}", answer.text());
        assert!(answer.text().contains(part), "{query}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_paged_and_filtered() {
    let setup = Setup::new();
    setup.waiting(&["T-1", "T-2", "T-3"]).await;
    let whole = setup.api.get("/reviews").await.json();
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = setup.api.get(&format!("/reviews?limit=2{cursor}")).await.json();
        assert_eq!(page["waiting"], 3);
        found.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(found), whole["items"]);
    let team = whole["items"][0]["assigned_team"].as_str().unwrap();
    let other = if team == "billing" { "support" } else { "billing" };
    assert_eq!(setup.api.get(&format!("/reviews?team={team}")).await.json()["waiting"], 3);
    assert_eq!(setup.api.get(&format!("/reviews?team={other}")).await.json()["waiting"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_reviews_at_the_command_line() {
    let setup = Setup::new();
    let home = &setup.home;
    assert_eq!(home.ok(&["reviews"]), "no tickets wait for review\n");
    assert_eq!(home.json(&["reviews"]), json!({"waiting": 0, "items": []}));
    setup.waiting(&["T-1", "T-2", "T-3"]).await;
    let listed = home.json(&["reviews"]);
    let queue = setup.api.get("/reviews").await.json();
    assert_eq!((&listed["waiting"], &listed["items"]), (&queue["waiting"], &queue["items"]));
    insta::assert_snapshot!("reviews_table", home.ok(&["reviews", "--limit", "2"]));

    let ran = home.run(&["reviews", "--tenant", "acme", "confirm", "T-1", "T-none", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["done"][0]["reviewer"], json!({"kind": "operator"}));
    assert_eq!(shown["refused"], json!([{"ticket_id": "T-none", "reason": "tenant `acme` has no ticket `T-none`"}]));
    let ran = home.run(&["reviews", "confirm", "T-2", "T-none"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "1 confirmed\n"));
    assert_eq!(ran.stderr, "tenant `acme` has no ticket `T-none`\n");

    let wrong = home.run(&["reviews", "correct", "T-3", "--team", "suport", "--category", "xyz"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    for part in ["--team: team `suport` does not exist; did you mean `support`?", "--category: category `xyz`"] {
        assert!(wrong.stderr.contains(part), "{wrong:?}");
    }
    let text = home.ok(&["reviews", "correct", "T-3", "--team", "support", "--priority", "low", "--note", "quiet"]);
    assert!(text.starts_with("Corrected by the operator: team support"), "{text}");
    let found = setup.api.ticket_when("T-3", "success").await;
    assert_eq!(found["review"]["note"], "quiet");
    let told = setup.told(&found["review"]["review_id"]);
    assert_eq!((&told["assigned_team"], &told["priority_level"]), (&json!("support"), &json!("low")));
    assert!(home.ok(&["tickets", "list"]).contains(" done "));
    assert_eq!(setup.api.get("/reviews").await.json()["waiting"], 0);
    // The server works off what another process has queued.
    for id in ["T-1", "T-2"] {
        let told = setup.told(&setup.api.ticket_when(id, "success").await["review"]["review_id"]);
        assert!(told["note"].as_str().unwrap().starts_with("Confirmed by the operator: "), "{told}");
    }
}
