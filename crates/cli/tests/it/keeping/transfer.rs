use std::fs;

use serde_json::{Value, json};
use switchboard_testkit::doubles::{Fault, WebhookDouble};

use super::{files_with, lines};
use crate::{
    desks::HOOK_SECRET,
    server::Home,
    tenant::{acme, ticket, ticket_with},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_moves_to_another_server_and_is_the_same_there() {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let mut other = acme(&json!({"kind": "none"}));
    other["tenant_id"] = "other".into();
    home.put_tenant(&other);
    let server = home.start_empty();
    let (api, others) = (server.api(&home.make_key("acme", &[])), server.api(&home.make_key("other", &[])));
    for id in ["T-1", "T-2", "T-3"] {
        api.accept(&ticket(id)).await;
        api.ticket_when(id, "success").await;
    }
    others.accept(&ticket_with("T-9", |ticket| ticket["subject"] = "canary of the other".into())).await;
    let review = api.post("/tickets/T-1/review", &json!({"team": "billing", "note": "theirs"})).await;
    assert_eq!(review.status, 200, "{}", review.text());
    api.ticket_when("T-1", "success").await;
    let file = home.beside("acme.jsonl");
    let path = file.to_str().unwrap();
    let report = home.json(&["export", path, "--tenant", "acme"]);
    assert_eq!((&report["lines"]["ticket"], &report["lines"]["example"]), (&json!(3), &json!(1)), "{report}");
    let exported = fs::read_to_string(&file).unwrap();
    assert_eq!(lines(&exported)[0], json!({"format": "switchboard-tenant", "version": 1, "tenant": "acme"}));
    assert!(!exported.contains("canary of the other"));
    assert_eq!(home.ok(&["export", "-", "--tenant", "acme", "--quiet"]), exported);
    assert!(home.run(&["export", path, "--tenant", "acme"]).stderr.contains("--force"));

    let new = Home::new();
    new.prepared();
    let imported = new.json(&["import", path]);
    assert_eq!((&imported["configuration"], &imported["held"]), (&json!("new"), &json!(0)), "{imported}");
    assert_eq!(new.ok(&["export", "-", "--quiet"]), exported, "exported again, it is the same byte by byte");
    let again = new.run_with_input(&["import", "-", "--json"], &exported);
    assert_eq!(again.code, Some(0), "{again:?}");
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["new"], &again["configuration"]), (&json!({}), &json!("same")), "{again}");
    let moved = new.start_empty();
    let there = moved.api(&new.make_key("acme", &[])).ticket("T-1").await;
    assert_eq!(there, api.ticket("T-1").await);

    // Under another name, and into one whose configuration differs.
    let renamed = new.json(&["import", path, "--tenant", "twin"]);
    assert_eq!((&renamed["new"]["ticket"], &renamed["configuration"]), (&json!(3), &json!("new")), "{renamed}");
    assert_eq!(new.json(&["tickets", "list", "--tenant", "twin"]).as_array().unwrap().len(), 3);
    let kept = home.run(&["import", path, "--tenant", "other", "--json"]);
    assert_eq!(kept.code, Some(3), "{kept:?}");
    assert!(kept.stdout.contains("\"configuration\": \"kept\""), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_or_something_else_is_refused_and_nothing_is_taken() {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket_with("T-1", |ticket| ticket["subject"] = "kaleidoscope".into())).await;
    api.ticket_when("T-1", "success").await;
    let exported = home.ok(&["export", "-", "--quiet"]);
    let new = Home::new();
    new.prepared();
    let file = new.beside("bad.jsonl");
    let path = file.to_str().unwrap();
    let end = exported.trim_end().rfind('\n').unwrap() + 1;
    for (text, part) in [
        (exported[..end].to_owned(), "cut off"),
        (exported[..end - 20].to_owned(), "line "),
        (exported.replacen("kaleidoscope", "telescope", 1), "hash or its number"),
        ("{\"subject\": \"a\"}\n".to_owned(), "--from"),
    ] {
        fs::write(&file, text).unwrap();
        let ran = new.run(&["import", path]);
        assert!(ran.code == Some(1) && ran.stderr.contains(part), "{part}: {ran:?}");
        assert!(!new.data().join("tenants/acme").exists());
        for word in ["kaleidoscope", "telescope"] {
            assert_eq!(files_with(&new.data(), word.as_bytes()), Vec::<String>::new(), "{part}: nothing was taken");
        }
    }
    fs::write(&file, &exported).unwrap();
    let ran = new.run(&["import", path, "--from", "jsonl"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("without --from"), "{ran:?}");
    let ran = new.run(&["import", path, "--from", "jsonl", "--resume"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unfinished_is_worked_on_only_with_resume_at_the_end() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    double.rate(1.0, Fault::Drop);
    let desk = json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"});
    let home = Home::with_tenant(&acme(&desk)).allow(&[&double]).secret("HOOK", HOOK_SECRET);
    let server = home.start_empty();
    server.api(&home.make_key("acme", &[])).accept(&ticket("T-1")).await;
    let file = home.beside("acme.jsonl");
    let path = file.to_str().unwrap();
    home.ok(&["export", path]);
    let (new, at_once) = (Home::new(), Home::new());
    for (home, more, held, resumed) in [
        (&new, None, 1, 0),
        (&new, Some("--resume"), 0, 1),
        (&new, Some("--resume"), 0, 0),
        (&at_once, Some("--resume"), 0, 1),
    ] {
        home.prepared();
        let args: Vec<&str> = ["import", path].into_iter().chain(more).collect();
        let imported = home.json(&args);
        assert_eq!((&imported["held"], &imported["resumed"]), (&json!(held), &json!(resumed)), "{args:?}: {imported}");
    }
}

#[test]
fn examples_of_one_source_are_counted_and_cleared() {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    home.prepared();
    let file = home.beside("history.csv");
    fs::write(&file, "text,category\nwrong invoice,invoice\nno internet,outage\n").unwrap();
    let imported = home.run(&["import", file.to_str().unwrap(), "--from", "csv", "--json"]);
    assert!(imported.stdout.contains("\"new\": "), "{imported:?}");
    let before = home.json(&["examples", "count"]);
    assert!(before["import"].as_u64().unwrap() > 0, "{before} {imported:?}");
    let asked = home.run(&["examples", "clear", "import"]);
    assert!(asked.code == Some(1) && asked.stderr.contains("--yes"), "{asked:?}");
    let cleared = home.json(&["examples", "clear", "import", "--yes"]);
    assert_eq!(cleared["removed"], before["import"]);
    assert_eq!(home.json(&["examples", "count"]), json!({"import": 0, "review": 0}));
    assert_eq!(home.run(&["examples", "clear", "guess"]).code, Some(2));
}
