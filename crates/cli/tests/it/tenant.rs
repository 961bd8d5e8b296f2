//! Configurations and tickets for tests: each test changes what it is about.

use serde_json::{Value, json};
use switchboard_testkit::sample;

/// The tenant `acme`: teams `billing` and `support` with groups at the desk, and that desk.
pub(crate) fn acme(desk: &Value) -> Value {
    let mut config = sample::tenant_json();
    config["desk"] = desk.clone();
    config["teams"][0]["desk_group"] = "11".into();
    config["teams"][1]["desk_group"] = "22".into();
    config
}

/// A valid ticket of that id.
pub(crate) fn ticket(id: &str) -> Value {
    json!({
        "ticket_id": id,
        "customer_id": "C-1",
        "subject": "No internet since this morning",
        "description": "Everything is down and nothing loads. My service is SVC204.",
    })
}

/// A valid ticket with a change.
pub(crate) fn ticket_with(id: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut ticket = ticket(id);
    change(&mut ticket);
    ticket
}
