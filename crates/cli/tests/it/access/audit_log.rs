//! Every administrative act is in the log, whoever did it, and whoever changes the log is found out.

use rusqlite::Connection;
use serde_json::{Value, json};
use switchboard_testkit::doubles::{Fault, WebhookDouble};

use crate::{
    desks::HOOK_SECRET,
    server::Home,
    tenant::{acme, ticket},
    wait::{SOON, until},
};

fn acts(home: &Home) -> Vec<Value> {
    let mut acts = home.json(&["audit-log", "list", "--limit", "1000"]).as_array().unwrap().clone();
    acts.reverse();
    acts
}

fn names(acts: &[Value]) -> Vec<&str> {
    acts.iter().map(|act| act["action"].as_str().unwrap()).collect()
}

async fn act_when(home: &Home, action: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    until(action, SOON, async || acts(home).into_iter().find(|act| act["action"] == action && is_so(act))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_administrative_act_leaves_one_entry() {
    let hook = WebhookDouble::start(HOOK_SECRET).await;
    let home = Home::with_tenant(&acme(&json!({"kind": "webhook", "url": hook.hook_url(), "secret": "hook"})))
        .allow(&[&hook])
        .secret("HOOK", HOOK_SECRET);
    let server = home.start_empty();
    act_when(&home, "tenant.configure", |act| act["tenant"] == "acme").await;
    let began = acts(&home);
    assert_eq!(names(&began), ["server.first_start", "tenant.configure"]);
    assert_eq!(began[0]["actor"], json!({"kind": "system"}));
    let made = home.json(&["keys", "create", "--name", "shop"]);
    let rotated = home.json(&["keys", "rotate", made["id"].as_str().unwrap()]);
    home.ok(&["keys", "revoke", made["id"].as_str().unwrap()]);
    home.ok(&["keys", "revoke", made["id"].as_str().unwrap()]);
    let api = server.api(rotated["key"].as_str().unwrap());
    hook.rate(1.0, Fault::status(401));
    for id in ["T-1", "T-2"] {
        api.accept(&ticket(id)).await;
        api.ticket_when(id, "failed").await;
    }
    hook.heal();
    let letters = home.json(&["dlq", "list"]);
    let id = |n: usize| letters[n]["event_id"].as_str().unwrap();
    home.ok(&["dlq", "drop", id(0)]);
    home.ok(&["dlq", "replay", id(1)]);
    assert_eq!(home.run(&["dlq", "replay", id(1)]).code, Some(3), "it is no dead letter any more");
    api.wait_idle(SOON).await;
    home.ok(&["events", "replay", "--type", "TicketReceived"]);
    let history = home.beside("history.csv");
    std::fs::write(&history, "text,category\nMy invoice is wrong and too high,billing\n").unwrap();
    home.run(&[
        "import",
        history.to_str().unwrap(),
        "--from",
        "csv",
        "--label-column",
        "category",
        "--text-column",
        "text",
    ]);
    home.run(&["train"]);
    home.run(&["models", "rollback"]);
    home.run_with_input(&["admin", "set-password"], "correct horse battery staple\n");
    let all = acts(&home);
    let expected = [
        "server.first_start",
        "tenant.configure",
        "key.create",
        "key.rotate",
        "key.revoke",
        "dead_letter.drop",
        "dead_letter.replay",
        "event.replay",
        "history.import",
        "model.train",
        "model.rollback",
        "password.set",
    ];
    assert_eq!(names(&all), expected, "{all:#?}");
    for (n, act) in (1..).zip(&all) {
        assert_eq!(act["sequence"], n);
    }
    assert_eq!(all[2]["actor"]["kind"], "command_line");
    assert_eq!((&all[2]["target"], &all[2]["details"]["name"]), (&made["id"], &json!("shop")));
    assert_eq!((&all[3]["target"], &all[3]["details"]["replaced_by"]), (&made["id"], &rotated["id"]));
    assert_eq!((&all[5]["target"], &all[6]["target"]), (&letters[0]["event_id"], &letters[1]["event_id"]));
    assert_eq!(all[8]["details"]["source"], "history.csv");
    assert_eq!((&all[9]["target"], &all[9]["tenant"]), (&all[10]["details"]["from"], &json!("acme")));
    let text = format!("{all:?}");
    for secret in [rotated["key"].as_str().unwrap(), "correct horse", "My invoice", HOOK_SECRET] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    let whole = home.json(&["audit-log", "verify"]);
    assert_eq!((&whole["verdict"], &whole["entries"]), (&json!("whole"), &json!(12)));
    assert_eq!(home.json(&["audit-log", "list", "--tenant", "acme"]).as_array().unwrap().len(), 10);
    let since = all[5]["at"].as_str().unwrap();
    assert_eq!(home.json(&["audit-log", "list", "--since", since]).as_array().unwrap().len(), 7);
    let table = home.ok(&["audit-log", "list", "--limit", "1"]);
    assert!(table.contains("password.set") && !table.contains("key.create"), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_is_noted_with_its_versions_also_over_a_restart() {
    let mut config = acme(&json!({"kind": "none"}));
    let home = Home::with_tenant(&config);
    let server = home.start_empty();
    let first = act_when(&home, "tenant.configure", |_| true).await;
    assert_eq!(first["details"]["from"], Value::Null);
    config["name"] = "Acme Limited".into();
    home.put_tenant(&config);
    let second = act_when(&home, "tenant.configure", |act| act["details"]["from"].is_string()).await;
    assert_eq!(second["details"]["from"], first["details"]["to"]);
    assert_ne!(second["details"]["to"], first["details"]["to"]);
    drop(server);
    config["name"] = "Acme Unlimited".into();
    home.put_tenant(&config);
    let _server = home.start_empty();
    let third = act_when(&home, "tenant.configure", |act| act["details"]["from"] == second["details"]["to"]).await;
    assert_ne!(third["details"]["to"], second["details"]["to"]);
    std::fs::remove_dir_all(home.data().join("tenants/acme")).unwrap();
    let gone = act_when(&home, "tenant.configure", |act| act["details"]["from"] == third["details"]["to"]).await;
    assert_eq!(gone["details"]["to"], Value::Null);
    assert_eq!(acts(&home).iter().filter(|act| act["action"] == "tenant.configure").count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_the_log_is_found_out_and_commands_may_append_beside_the_server() {
    let home = Home::new();
    let server = home.start();
    let manager = server.api(&home.make_key("telecorp", &["keys:manage", "tickets:read"]));
    // The server and four commands at the same time.
    let commands: Vec<_> = (0..4).map(|_| home.spawn(&["keys", "create", "--json"])).collect();
    for _ in 0..10 {
        assert_eq!(manager.post("/keys", &json!({"scopes": ["tickets:read"]})).await.status, 201);
    }
    for mut command in commands {
        assert!(command.wait().unwrap().success());
    }
    let whole = home.json(&["audit-log", "verify"]);
    assert_eq!(whole["verdict"], "whole", "{whole}");
    let count = whole["entries"].as_u64().unwrap();
    assert_eq!(acts(&home).len() as u64, count);
    assert!(names(&acts(&home)).iter().filter(|name| **name == "key.create").count() == 16);
    let intruder = Connection::open(home.data().join("switchboard.db")).unwrap();
    intruder.busy_timeout(SOON).unwrap();
    let refused = intruder.execute("DELETE FROM audit_log WHERE sequence = 3", []).unwrap_err();
    assert!(refused.to_string().contains("only appended to"), "{refused}");
    intruder.execute_batch("DROP TRIGGER audit_log_is_not_changed").unwrap();
    let all = acts(&home);
    let changed = all.iter().filter(|act| act["action"] == "key.create").nth(3).unwrap()["sequence"].as_u64().unwrap();
    let sql = "UPDATE audit_log SET record = replace(record, 'key.create', 'key.revoke') WHERE sequence = ?1";
    assert_eq!(intruder.execute(sql, [i64::try_from(changed).unwrap()]).unwrap(), 1);
    let ran = home.run(&["audit-log", "verify"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stdout.contains(&format!("BROKEN at entry {changed}:")), "{ran:?}");
    let told = home.run(&["audit-log", "verify", "--json"]);
    assert_eq!(told.code, Some(3));
    let expected = json!({"verdict": "broken", "sequence": changed, "fault": "changed"});
    assert_eq!(serde_json::from_str::<Value>(&told.stdout).unwrap(), expected);
    let doctor = home.run(&["doctor"]);
    assert!(doctor.code == Some(3) && doctor.stdout.contains("broken at"), "{doctor:?}");
}
