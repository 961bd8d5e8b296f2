//! Lists: filters and pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    api::Api,
    server::Home,
    tenant::{ticket, ticket_with},
};

fn ids(tickets: &[Value]) -> Vec<&str> {
    tickets.iter().map(|ticket| ticket["ticket_id"].as_str().unwrap()).collect()
}

async fn listed(api: &Api, query: &str) -> BTreeSet<String> {
    ids(&api.list_all(query).await).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_every_ticket_once_and_newest_first() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let batch: Vec<_> = (0..45).map(|n| ticket(&format!("T-{n}"))).collect();
    assert_eq!(api.post("/tickets/batch", &json!(batch)).await.status, 202);
    api.accept(&ticket("T-last")).await;
    let mut found = Vec::new();
    let mut path = "/tickets?limit=7".to_owned();
    loop {
        let page = api.get(&path).await.json();
        let items = page["items"].as_array().unwrap().clone();
        assert!(items.len() <= 7);
        found.extend(items);
        // What comes in meanwhile does not move the pages.
        api.accept(&ticket(&format!("T-late-{}", found.len()))).await;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/tickets?limit=7&cursor={cursor}"),
            None => break,
        }
    }
    let found = ids(&found);
    assert_eq!(found[0], "T-last");
    assert_eq!(found.len(), 46);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 46);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_hold_together() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    api.accept(&ticket_with("T-1", |ticket| ticket["customer_id"] = "CUST-1001".into())).await;
    let bill = |ticket: &mut Value| {
        ticket["customer_id"] = "CUST-1003".into();
        ticket["subject"] = "Wrong charge on my invoice".into();
        ticket["description"] = "I was charged twice for the same month, please refund the second payment.".into();
    };
    api.accept(&ticket_with("T-2", bill)).await;
    let strange = |ticket: &mut Value| {
        ticket["customer_id"] = "CUST-1003".into();
        ticket["subject"] = "qwertz".into();
        ticket["description"] = "asdfgh".into();
    };
    api.accept(&ticket_with("T-3", strange)).await;
    for id in ["T-1", "T-2", "T-3"] {
        api.ticket_when(id, "success").await;
    }
    let decided = api.ticket("T-1").await;
    let (level, at) =
        (decided["decision"]["priority_level"].as_str().unwrap(), decided["ticket"]["accepted_at"].as_str());
    let at = at.unwrap();
    let all: BTreeSet<_> = ["T-1", "T-2", "T-3"].map(str::to_owned).into();
    for (query, expected) in [
        ("", all.clone()),
        ("&team=network_operations&customer_id=CUST-1001", ["T-1".to_owned()].into()),
        ("&team=billing&customer_id=CUST-1001", BTreeSet::new()),
        ("&status=routed&sync_status=success", all.clone()),
        ("&status=accepted", BTreeSet::new()),
        ("&sync_status=failed", BTreeSet::new()),
        (&format!("&until={at}"), BTreeSet::new()),
        (&format!("&since={at}"), all.clone()),
        (&format!("&priority={level}&customer_id=CUST-1001"), ["T-1".to_owned()].into()),
    ] {
        assert_eq!(listed(&api, query).await, expected, "{query}");
    }
    assert!(listed(&api, "&team=billing").await.contains("T-2"));
    let waiting = listed(&api, "&review_state=waiting").await;
    assert!(waiting.contains("T-3") && !waiting.contains("T-1"), "{waiting:?}");
    let rest = listed(&api, "&review_state=not_needed").await;
    assert_eq!(waiting.union(&rest).cloned().collect::<BTreeSet<_>>(), all);
}
