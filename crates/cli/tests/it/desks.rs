//! Decisions written back to other people's systems, and what those systems say of customers and services.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard_testkit::doubles::{CustomerDouble, Fault, StatusDouble, WebhookDouble, ZendeskDouble};

use crate::{
    server::Home,
    tenant::{acme, ticket, ticket_with},
};

pub(crate) const HOOK_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const AGENT: &str = "router@acme.example";
pub(crate) const ZENDESK_TOKEN: &str = "zd-token-of-the-test";

/// A home whose tenant writes back to the double.
pub(crate) fn hook_home(double: &WebhookDouble) -> Home {
    let desk = json!({"kind": "webhook", "url": double.hook_url(), "secret": "acme_hook"});
    Home::with_tenant(&acme(&desk)).allow(&[double]).secret("ACME_HOOK", HOOK_SECRET)
}

/// A home whose tenant writes back to the double, with tickets named `ZD-` and a number.
pub(crate) fn zendesk_home(double: &ZendeskDouble) -> Home {
    let desk =
        json!({"kind": "zendesk", "url": double.url(), "email": AGENT, "token": "zendesk", "ticket_prefix": "ZD-"});
    Home::with_tenant(&acme(&desk)).allow(&[double]).secret("ZENDESK", ZENDESK_TOKEN)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_hook_tells_a_decision_once() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    let home = hook_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let receipt = api.accept(&ticket("T-1")).await;
    let found = api.ticket_when("T-1", "success").await;
    let deliveries = double.deliveries();
    assert_eq!((deliveries.len(), double.refused()), (1, 0));
    let decision = &found["decision"];
    assert_eq!(deliveries[0].id, decision["decision_id"]);
    let body: Value = serde_json::from_slice(&deliveries[0].body).unwrap();
    assert_eq!(body["type"], "ticket.routed");
    for name in ["ticket_id", "decision_id", "assigned_team", "priority_level", "confidence_score"] {
        assert_eq!(body["data"][name], decision[name], "{name}");
    }
    assert_eq!(body["data"]["assigned_team"], "support");
    assert_eq!(body["data"]["correlation_id"], receipt["correlation_id"]);
    assert_eq!(body["data"]["tags"], json!(["switchboard", "category_outage", "severity_high"]));
    assert!(body["data"]["note"].as_str().unwrap().starts_with("Assigned to Support"), "{body}");
    // What is done stays done, also when its events are replayed.
    let queued = home.json(&["events", "replay", "--ticket", "T-1"]);
    assert!(queued["queued"].as_u64().unwrap() >= 2, "{queued}");
    api.wait_idle(crate::wait::SOON).await;
    assert_eq!(double.deliveries().len(), 1);
    assert_eq!(api.ticket("T-1").await, found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zendesk_gets_group_priority_tags_and_one_internal_note() {
    let double = ZendeskDouble::start(AGENT, ZENDESK_TOKEN, &[11, 22]).await;
    double.open(4711);
    double.change(4711, |ticket| ticket.tags = vec!["vip".to_owned()]);
    let home = zendesk_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("ZD-4711")).await;
    let found = api.ticket_when("ZD-4711", "success").await;
    let decision = &found["decision"];
    let ticket = double.ticket(4711);
    assert_eq!(ticket.group_id, Some(22));
    let priority = match decision["priority_level"].as_str().unwrap() {
        "critical" => "urgent",
        "medium" => "normal",
        other => other,
    };
    assert_eq!(ticket.priority.as_deref(), Some(priority));
    assert_eq!(ticket.tags, ["vip", "switchboard", "category_outage", "severity_high"]);
    let id = decision["decision_id"].as_str().unwrap();
    assert_eq!((double.notes_with(4711, id), ticket.puts, ticket.comments.len()), (1, 1, 2));
    assert_eq!(double.notes_with(4711, "Assigned to Support"), 1);
}

/// The answer is lost on its way: Switchboard cannot know that the note is there, and looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_whose_answer_was_lost_is_not_written_twice() {
    let double = ZendeskDouble::start(AGENT, ZENDESK_TOKEN, &[11, 22]).await;
    double.open(4711);
    double.next_write(Fault::ApplyThenDrop);
    let home = zendesk_home(&double);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("ZD-4711")).await;
    let found = api.ticket_when("ZD-4711", "success").await;
    let id = found["decision"]["decision_id"].as_str().unwrap();
    assert_eq!((double.notes_with(4711, id), double.ticket(4711).puts), (1, 1));
    assert_eq!(found["sync"]["failed_attempts"], 1, "{found}");
}

fn term<'a>(ticket: &'a Value, name: &str) -> &'a Value {
    let terms = ticket["decision"]["priority_terms"].as_array().unwrap();
    terms.iter().find(|term| term["term"] == name).unwrap_or_else(|| panic!("no term {name}"))
}

fn score(ticket: &Value) -> f64 {
    ticket["decision"]["priority_score"].as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vips_and_outages_of_other_systems_raise_the_priority() {
    let customers = CustomerDouble::start().await;
    customers.require_token("customer-token");
    customers.put("C-vip", json!({"customer_id": "C-vip", "is_vip": true, "account_type": "business"}));
    customers.put("C-1", json!({"customer_id": "C-1", "is_vip": false, "account_type": "residential"}));
    let status = StatusDouble::start().await;
    status.require_token("status-token");
    status.outage("OUT-7", &["SVC204"], "cable cut");
    let mut config = acme(&json!({"kind": "none"}));
    config["customers"] = json!({"kind": "http", "url": customers.url(), "token": "customers"});
    config["service_status"] = json!({"kind": "http", "url": status.url(), "token": "status"});
    let home = Home::with_tenant(&config)
        .allow(&[&customers, &status])
        .secret("CUSTOMERS", "customer-token")
        .secret("STATUS", "status-token");
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let of = |id: &str, customer: &str, service: &str| {
        ticket_with(id, |ticket| {
            ticket["customer_id"] = customer.into();
            ticket["description"] = format!("Everything is down. My service is {service}.").into();
        })
    };
    let mut found = Vec::new();
    for (id, customer, service) in [
        ("T-1", "C-none", "SVC100"),
        ("T-2", "C-none", "SVC204"),
        ("T-3", "C-vip", "SVC100"),
        ("T-4", "C-vip", "SVC204"),
    ] {
        api.accept(&of(id, customer, service)).await;
        let ticket = api.ticket_when(id, "success").await;
        assert_eq!(ticket["decision"]["findings"], json!([]), "{ticket}");
        found.push(ticket);
    }
    let [plain, outage, vip, both] = found.as_slice() else { panic!("four tickets") };
    assert!(score(plain) < score(outage) && score(plain) < score(vip));
    assert!(score(both) > score(outage) && score(both) > score(vip));
    assert_eq!(term(plain, "vip")["points"], 0.0);
    assert_eq!(term(vip, "vip")["reason"], "the customer is a VIP");
    assert!(term(both, "outage")["reason"].as_str().unwrap().contains("OUT-7"));
    assert!(both["decision"]["reasoning"].as_str().unwrap().contains("OUT-7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_decided_when_all_that_it_asks_is_down() {
    let customers = CustomerDouble::start().await;
    let status = StatusDouble::start().await;
    // One says that it is down, the other says nothing for longer than a tool may take.
    customers.rate(1.0, Fault::status(503));
    status.rate(1.0, Fault::Delay(Duration::from_secs(30)));
    let mut config = acme(&json!({"kind": "none"}));
    config["customers"] = json!({"kind": "http", "url": customers.url()});
    config["service_status"] = json!({"kind": "http", "url": status.url()});
    let home = Home::with_tenant(&config).allow(&[&customers, &status]);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("T-1")).await;
    let found = api.ticket_when("T-1", "success").await;
    let decision = &found["decision"];
    let tools: Vec<_> =
        decision["findings"].as_array().unwrap().iter().map(|one| one["tool"].as_str().unwrap()).collect();
    assert_eq!(tools, ["check_vip_status", "check_service_status"], "{decision}");
    assert_eq!(decision["requires_manual_review"], true);
    let reasons = decision["review_reasons"].to_string();
    for tool in ["check_vip_status gave no answer", "check_service_status gave no answer"] {
        assert!(reasons.contains(tool), "{reasons}");
    }
    assert!(decision["reasoning"].as_str().unwrap().contains("Decided without check_vip_status"), "{decision}");
    assert!(!found.to_string().contains("words of the other side"), "{found}");
    assert_eq!(api.list_all("&review_state=waiting").await.len(), 1);
}
