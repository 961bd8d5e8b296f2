//! A tenant's classifier learns: history in, a model in force, corrections, replay, and the way back.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use switchboard_core::{
    learning,
    ports::{Example, ExampleSource},
    time::Timestamp,
    untrusted::Untrusted,
};

use crate::{
    server::Home,
    tenant::{acme, ticket, ticket_with},
    wait::{SOON, until},
};

/// The tenant of these tests with a rule that sends everything with a service number to billing.
const IN_TOML: &str = r#"
tenant_id = "acme"
name = "Acme"
teams = [{ id = "billing", name = "Billing" }, { id = "support", name = "Support" }]
review = { precision = 0.0 }

[[categories]]
id = "invoice"
name = "Invoice"
team = "billing"
examples = ["I was charged twice this month", "please send me the invoice of May"]

[[categories]]
id = "outage"
name = "Outage"
team = "support"
examples = ["no internet since this morning", "everything is down"]

[[routing_rules]]
name = "services"
when = { entity = "service_ids" }
team = "billing"
"#;

/// What both categories are about in this tenant's history, which its configuration does not say.
fn history() -> String {
    let mut lines = String::new();
    for n in 0..320 {
        let (words, label) = match n % 2 {
            0 => ("the kaleidoscope of unit", "outage"),
            _ => ("my sextant for period", "Invoice"),
        };
        lines += &json!({"subject": format!("{words} {n}"), "description": format!("about {words} number {n}, please look"), "category": label}).to_string();
        lines += "\n";
    }
    lines
}

struct Setup {
    home: Home,
    history: PathBuf,
}

impl Setup {
    fn new() -> Self {
        let home = Home::with_tenant(&acme(&json!({"kind": "none"}))).env("SWITCHBOARD_SERVER__TRAIN", "true");
        let history = home.data().join("history.jsonl");
        fs::write(&history, history_with_noise()).unwrap();
        Self { home, history }
    }

    fn import(&self) -> Value {
        let ran = self.home.run(&["import", self.history.to_str().unwrap(), "--from", "jsonl", "--json"]);
        assert_eq!(ran.code, Some(3), "{}", ran.stderr);
        assert!(ran.stderr.contains("--map 'theirs=ours'"), "{}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

fn is_held_back(text: &str) -> bool {
    learning::held_back(&Example {
        id: "E-1".parse().unwrap(),
        text: Untrusted::new(text.to_owned()),
        category: None,
        team: None,
        source: ExampleSource::Import,
        at: Timestamp::from_millis(0),
    })
}

fn history_with_noise() -> String {
    history() + "{\"subject\": \"a\", \"description\": \"b\", \"category\": \"not ours\"}\n{broken\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_history_is_learned_put_in_force_and_taken_back() {
    let setup = Setup::new();
    let home = &setup.home;
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let imported = setup.import();
    assert_eq!((&imported["new"], &imported["unknown_label"]), (&json!(320), &json!(1)), "{imported}");
    assert_eq!(setup.import()["new"], 0, "the same file again brings nothing new");
    // The server notices by itself that there is enough to learn from.
    let models = until("a model in force", SOON * 2, async || {
        let models = home.json(&["models", "list"]);
        models["active"].is_string().then_some(models)
    })
    .await;
    let model = &models["models"][0];
    assert_eq!(model["held_back"]["teams"], model["held_back"]["teams_right"], "{model}");
    let odd = |id: &str| {
        ticket_with(id, |ticket| {
            ticket["subject"] = "the kaleidoscope of unit".into();
            ticket["description"] = "the kaleidoscope is blurred".into();
        })
    };
    let name = format!("local/{}", models["active"].as_str().unwrap());
    let mut n = 0;
    let found = loop {
        n += 1;
        let id = format!("T-{n}");
        api.accept(&odd(&id)).await;
        let found = api.ticket_when(&id, "success").await;
        if found["decision"]["model"] == name.as_str() {
            break found;
        }
        assert!(n < 100, "the server does not take the model over: {found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(found["decision"]["assigned_team"], "support");
    // The way back, by one command, while the server runs.
    assert_eq!(home.json(&["models", "rollback"])["active"], Value::Null);
    loop {
        n += 1;
        let id = format!("T-{n}");
        api.accept(&odd(&id)).await;
        let found = api.ticket_when(&id, "success").await;
        if found["decision"]["model"].as_str().unwrap().starts_with("local/configuration-") {
            break;
        }
        assert!(n < 200, "the server keeps the model: {found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worse_model_is_not_put_in_force_unless_forced() {
    let setup = Setup::new();
    let home = &setup.home;
    home.prepared();
    setup.import();
    let first = home.json(&["train"]);
    assert_eq!(first["verdict"], "in_force", "{first}");
    // Many more examples with the wrong label, all of them on the side that is learned from.
    let wrong: String = (1_000..3_000)
        .map(|n| format!("the kaleidoscope of unit {n} about the kaleidoscope of unit number {n}, please look"))
        .filter(|text| !is_held_back(text))
        .map(|text| json!({"text": text, "label": "billing"}).to_string() + "\n")
        .collect();
    let file = home.data().join("wrong.jsonl");
    fs::write(&file, wrong).unwrap();
    let path = file.to_str().unwrap();
    let ran = home.run(&["train", "--tickets", path, "--json"]);
    let worse: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &worse["verdict"]), (Some(3), &json!("not_in_force")), "{worse}");
    assert_eq!(home.json(&["models", "list"])["active"], first["model"]["version"]);
    let forced = home.json(&["train", "--tickets", path, "--force"]);
    assert_eq!(forced["verdict"], "in_force_by_force", "{forced}");
    assert_eq!(home.json(&["models", "list"])["active"], forced["model"]["version"]);
    let back = home.json(&["models", "rollback", "--to", first["model"]["version"].as_str().unwrap()]);
    assert_eq!(back["active"], first["model"]["version"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_model_is_refused_and_the_one_before_serves() {
    let setup = Setup::new();
    let home = &setup.home;
    home.prepared();
    setup.import();
    let first = home.json(&["train"])["model"]["version"].as_str().unwrap().to_owned();
    let second = home.json(&["train"])["model"]["version"].as_str().unwrap().to_owned();
    let file = home.data().join(format!("models/tenants/acme/{second}.model"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let mut n = 0;
    let found = loop {
        n += 1;
        let id = format!("T-{n}");
        api.accept(&ticket(&id)).await;
        let found = api.ticket_when(&id, "success").await;
        if found["decision"]["model"] == format!("local/{first}") {
            break found;
        }
        assert!(n < 100, "{found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(found["decision"]["assigned_team"], "support");
    let log = home.log();
    assert!(log.contains(&second) && log.contains("refused"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_shows_what_another_configuration_would_change_and_changes_nothing() {
    let setup = Setup::new();
    let home = &setup.home;
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    for id in ["T-1", "T-2", "T-3"] {
        api.accept(&ticket(id)).await;
        api.ticket_when(id, "success").await;
    }
    let review = api.post("/tickets/T-1/review", &json!({"team": "billing"})).await;
    assert_eq!(review.status, 200, "{}", review.text());
    let before = api.ticket_when("T-1", "success").await;
    let same = home.json(&["replay"]);
    assert_eq!((&same["comparison"]["tickets"], &same["changed"]), (&json!(3), &json!([])), "{same}");
    // A rule that sends everything with a service number to billing, written in TOML.
    let file = home.data().join("new.toml");
    fs::write(&file, IN_TOML).unwrap();
    let replayed = home.json(&["replay", "--config", file.to_str().unwrap(), "--since", "2026-01-01T00:00:00Z"]);
    let comparison = &replayed["comparison"];
    assert_eq!((&comparison["team_changes"], &comparison["reviewed"]), (&json!(3), &json!(1)), "{replayed}");
    assert_eq!((&comparison["before"]["team_right"], &comparison["after"]["team_right"]), (&json!(0), &json!(1)));
    assert_eq!(api.ticket("T-1").await, before);
    let table = home.ok(&["replay", "--config", file.to_str().unwrap()]);
    assert!(table.contains("support → billing"), "{table}");
    fs::write(&file, "tenant_id = 1").unwrap();
    let ran = home.run(&["replay", "--config", file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("tenant_id"), "{}", ran.stderr);
}

#[test]
fn files_that_are_no_history_are_refused_with_a_remedy() {
    let setup = Setup::new();
    let home = &setup.home;
    home.prepared();
    for (name, bytes, part) in [
        ("empty.csv", b"".as_slice(), "it is empty"),
        ("columns.csv", b"a,b\n1,2\n", "--text-column"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\0\0\0\x0d", "not text"),
    ] {
        let file = home.data().join(name);
        fs::write(&file, bytes).unwrap();
        let ran = home.run(&["import", file.to_str().unwrap(), "--from", "csv"]);
        assert_eq!(ran.code, Some(1), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(part), "{name}: {}", ran.stderr);
    }
    let ran = home.run(&["import", setup.history.to_str().unwrap(), "--from", "jsonl", "--map", "x=nowhere"]);
    assert!(ran.stderr.contains("neither a category nor a team"), "{}", ran.stderr);
    let ran = home.run(&["models", "rollback"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("nothing to roll back"), "{}", ran.stderr);
    let ran = home.run(&["models", "install", "--from", home.data().to_str().unwrap()]);
    assert!(ran.stderr.contains("model.safetensors"), "{}", ran.stderr);
    for name in ["model.safetensors", "vocab.txt"] {
        fs::write(home.data().join(name), "not it").unwrap();
    }
    let ran = home.run(&["models", "install", "--from", home.data().to_str().unwrap()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("SHA-256"), "{}", ran.stderr);
}
