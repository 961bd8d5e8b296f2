use std::fs;

use serde_json::{Value, json};

use super::files_with;
use crate::{
    server::Home,
    tenant::{acme, ticket_with},
    wait::{SOON, until},
};

const CANARY: &str = "kaleidoscope-of-one-customer";

fn two_tenants() -> Home {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let mut other = acme(&json!({"kind": "none"}));
    other["tenant_id"] = "other".into();
    home.put_tenant(&other);
    home
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_wiped_beside_the_running_server_without_a_trace() {
    let home = two_tenants();
    let server = home.start_empty();
    let (api, others) = (server.api(&home.make_key("acme", &[])), server.api(&home.make_key("other", &[])));
    for n in 0..40 {
        let with =
            |ticket: &mut Value| ticket["description"] = format!("{CANARY} {n} {}", "long ".repeat(3_000)).into();
        api.accept(&ticket_with(&format!("T-{n}"), with)).await;
    }
    others.accept(&ticket_with("T-1", |_| {})).await;
    for folder in ["secrets/acme", "models/tenants/acme"] {
        fs::create_dir_all(home.data().join(folder)).unwrap();
        fs::write(home.data().join(folder).join("file"), CANARY).unwrap();
    }
    api.wait_idle(SOON).await;
    assert!(!files_with(&home.data(), CANARY.as_bytes()).is_empty());
    let dry = home.json(&["tenants", "wipe", "acme", "--dry-run"]);
    assert_eq!((&dry["rows"]["ticket"], &dry["removed"]), (&json!(40), &json!(false)), "{dry}");
    let asked = home.run(&["tenants", "wipe", "acme"]);
    assert!(asked.code == Some(1) && asked.stderr.contains("--yes"), "{asked:?}");
    assert_eq!(api.ticket("T-1").await["status"], "routed");

    let wiped = home.json(&["tenants", "wipe", "acme", "--yes"]);
    assert_eq!(wiped["rows"], dry["rows"], "{wiped}");
    assert_eq!((&wiped["rows"]["api_key"], &wiped["rewritten"]), (&json!(1), &json!(true)), "{wiped}");
    assert_eq!(wiped["files"], json!({"configuration files": 1, "model files": 1, "secrets": 1}), "{wiped}");
    assert_eq!(files_with(&home.data(), CANARY.as_bytes()), Vec::<String>::new());
    until("its key is refused", SOON, async || (api.get("/tickets/T-1").await.status == 401).then_some(())).await;
    assert_eq!(others.ticket("T-1").await["status"], "routed");
    others.accept(&ticket_with("T-2", |_| {})).await;
    others.ticket_when("T-2", "success").await;

    // The name stays shut until somebody says otherwise.
    home.put_tenant(&acme(&json!({"kind": "none"})));
    let late = home.run(&["keys", "create", "--tenant", "acme"]);
    assert!(late.code == Some(1) && late.stderr.contains("the tenant was wiped"), "{late:?}");
    home.ok(&["tenants", "readmit", "acme"]);
    home.make_key("acme", &[]);
    let unknown = home.run(&["tenants", "wipe", "nobody", "--yes"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("there is no tenant"), "{unknown:?}");
    assert_eq!(home.json(&["doctor"])["good"], true);
}

#[test]
fn retention_is_shown_and_a_wrong_rule_is_refused_by_name() {
    let mut own = acme(&json!({"kind": "none"}));
    own["retention"] = json!({"tickets_days": 30, "examples_days": "forever"});
    let home = Home::with_tenant(&own).env("SWITCHBOARD_RETENTION__EVENTS_DAYS", "14");
    home.prepared();
    let shown = home.json(&["retention", "show"]);
    assert_eq!(
        (&shown["server"]["tickets_days"], &shown["server"]["events_days"]),
        (&json!(90), &json!(14)),
        "{shown}"
    );
    let acme = &shown["tenants"]["acme"];
    assert_eq!((&acme["tickets_days"], &acme["events_days"]), (&json!(30), &json!(14)), "{shown}");
    assert_eq!((&shown["overdue"], &shown["clock_suspect_since"]), (&json!(0), &Value::Null));
    home.ok(&["retention", "confirm"]);
    own["retention"] = json!({"tickets_days": 0});
    home.put_tenant(&own);
    let check = home.run(&["tenants", "check"]);
    assert!(check.code == Some(3) && check.stdout.contains("/retention/tickets_days"), "{check:?}");
    assert!(check.stdout.contains("a number of days from 1 to 36500"), "{check:?}");
    let home = home.env("SWITCHBOARD_RETENTION__TICKETS_DAYS", "soon");
    let refused = home.run(&["doctor"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("RETENTION__TICKETS_DAYS"), "{refused:?}");
}
