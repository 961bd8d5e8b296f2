//! The command line: every command, for people and for programs.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    server::{Home, Ran, finished},
    tenant::{acme, ticket},
};

/// The help of a command, as it stands on a terminal of 100 columns.
fn help(home: &Home, arguments: &[&str]) -> String {
    let Ran { code, stdout, stderr } = finished(home.bare_command().args(arguments).arg("--help"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
    let command = arguments.join(" ");
    format!("$ switchboard {command} --help\n{stdout}\n")
}

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    for (name, commands) in [
        ("help", &[&[][..], &["serve"], &["route"], &["doctor"], &["completions"]][..]),
        ("help_eval", &[&["eval"], &["audit"]]),
        ("help_tickets", &[&["tickets"], &["tickets", "list"], &["tickets", "show"]]),
        ("help_reviews", &[&["reviews"], &["reviews", "confirm"], &["reviews", "correct"]]),
        ("help_dlq", &[&["dlq"], &["dlq", "list"], &["dlq", "show"], &["dlq", "replay"], &["dlq", "drop"]]),
        ("help_events", &[&["events"], &["events", "list"], &["events", "replay"]]),
        ("help_keys", &[&["keys"], &["keys", "create"], &["keys", "list"], &["keys", "rotate"], &["keys", "revoke"]]),
        ("help_access", &[&["admin", "set-password"], &["audit-log", "list"], &["audit-log", "verify"]]),
        ("help_tenants", &[&["tenants"], &["tenants", "list"], &["tenants", "check"], &["tenants", "wipe"]]),
        ("help_aws", &[&["aws"], &["aws", "doctor"], &["aws", "put-tenant"], &["costs"]]),
        ("help_keeping", &[&["backup"], &["restore"], &["export"], &["import"], &["examples"], &["retention"]]),
    ] {
        let text: String = commands.iter().map(|arguments| help(&home, arguments)).collect();
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn who_reads_only_the_beginning_ends_the_command() {
    let home = Home::new();
    let mut command = home.bare_command();
    // More than a pipe holds.
    let mut child = command.arg("openapi").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let told = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stderr), "", "{:?}", told.status);
}

#[test]
fn wrong_usage_is_told_with_its_own_exit_code() {
    let home = Home::new();
    for (arguments, part) in [
        (&["serv"][..], "'serve'"),
        (&["tickets", "list", "--limit", "0"], "0 is not in 1..=100000"),
        (&["tickets", "list", "--priority", "urgent"], "critical"),
        (&["dlq", "replay"], "<IDS>..."),
        (&["reviews", "--limit", "0"], "0 is not in 1..=100000"),
        (&["reviews", "confirm"], "<IDS>..."),
        (&["reviews", "correct", "T-1", "--note", "x"], "<--team <TEAM>|--category <CATEGORY>|--priority <PRIORITY>>"),
        (&["reviews", "correct", "T-1", "--priority", "urgent"], "critical"),
        (&["reviews", "--team", "billing", "confirm", "T-1"], "select for the list"),
        (&["dlq", "show", "x"], "must be a ULID"),
        (&["serve", "--demo", "--no-demo"], "cannot be used with"),
        (&["serve", "--listen", "8080"], "invalid socket address"),
        (&["-v", "-q", "doctor"], "cannot be used with"),
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(part), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn commands_on_no_data_say_how_to_begin_and_make_nothing() {
    let home = Home::new();
    for arguments in [
        &["tickets", "list"][..],
        &["tickets", "show", "T-1"],
        &["reviews"],
        &["reviews", "confirm", "T-1"],
        &["dlq", "list"],
        &["events", "list"],
        &["keys", "list"],
        &["doctor"],
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("start `switchboard serve` once"), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
    assert!(!home.data().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_and_events_are_told_for_people_and_for_programs() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    assert_eq!(home.ok(&["tickets", "list"]), "no tickets\n");
    assert_eq!(home.ok(&["events", "list"]), "no events\n");
    let sent = crate::tenant::ticket_with("T-1", |ticket| ticket["subject"] = "No internet\u{1b}[2J".into());
    api.accept(&sent).await;
    let found = api.ticket_when("T-1", "success").await;
    api.wait_idle(crate::wait::SOON).await;

    let listed = home.json(&["tickets", "list"]);
    assert_eq!(listed, json!(api.list_all("").await));
    assert_eq!(home.json(&["tickets", "list", "--team", "billing"]), json!([]));
    let filters = ["tickets", "list", "--team", "network_operations", "--customer", "C-1", "--sync", "success"];
    assert_eq!(home.json(&filters), listed);
    let table = home.ok(&["tickets", "list"]);
    assert!(table.contains("T-1") && table.contains("network_operations"), "{table}");

    assert_eq!(home.json(&["tickets", "show", "T-1"]), found);
    let shown = home.ok(&["tickets", "show", "T-1"]);
    assert!(shown.starts_with("T-1  No internet\u{fffd}[2J\n"), "{shown:?}");
    for part in ["Assigned to Network Operations", "accepted", "routed", "synced", "SVC204", "category   no_connection"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let missing = home.run(&["tickets", "show", "T-2"]);
    assert_eq!((missing.code, missing.stderr.as_str()), (Some(1), "error: tenant `telecorp` has no ticket `T-2`\n"));

    let lines = home.ok(&["events", "list", "--json"]);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["detail-type"].as_str().unwrap()).collect();
    assert_eq!(names, ["TicketReceived", "TicketRouted", "TicketSynced"]);
    assert!(events.iter().all(|event| event["correlation_id"] == found["ticket"]["correlation_id"]));
    assert!(home.ok(&["events", "list"]).contains("TicketRouted"));
    assert_eq!(home.ok(&["events", "list", "--type", "TicketRouted", "--json"]).lines().count(), 1);
    assert_eq!(home.ok(&["events", "list", "--until", "2020-01-01T00:00:00Z", "--json"]), "");
    assert_eq!(home.json(&["events", "replay", "--type", "TicketReceived"]), json!({"queued": 1}));
    api.wait_idle(crate::wait::SOON).await;
    assert!(home.ok(&["events", "replay", "--ticket", "none"]).contains("0 queued again"));
    assert_eq!(api.ticket("T-1").await, found);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_tenants_one_must_be_named() {
    let home = Home::new();
    home.put_tenant(&acme(&json!({"kind": "none"})));
    let server = home.start();
    server.demo_api().accept(&ticket("T-1")).await;
    assert_eq!(home.json(&["tenants", "list"]), json!(["acme", "telecorp"]));
    let table = home.ok(&["tenants", "list"]);
    assert!(table.contains("acme") && table.contains("version"), "{table}");
    let ran = home.run(&["tickets", "list"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stderr, "error: name the tenant by --tenant; there are: acme, telecorp\n");
    assert_eq!(home.json(&["tickets", "list", "--tenant", "acme"]), json!([]));
    assert_eq!(home.json(&["--tenant", "telecorp", "tickets", "list"]).as_array().unwrap().len(), 1);
    let ran = home.run(&["tickets", "list", "--tenant", "teleco"]);
    assert_eq!(ran.stderr, "error: there is no tenant `teleco`; there are: acme, telecorp\n");
}

#[test]
fn a_tenant_check_names_every_mistake() {
    let home = Home::new();
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/telecorp/config.json");
    let text = home.ok(&["tenants", "check", good]);
    assert!(text.ends_with("config.json: good\n"), "{text}");
    assert_eq!(home.json(&["tenants", "check", good])[0]["mistakes"], json!([]));

    let mut config: Value = serde_json::from_slice(&fs::read(good).unwrap()).unwrap();
    config["routing_rules"][0]["team"] = "bilings".into();
    let bad = home.beside("bad.json");
    fs::write(&bad, config.to_string()).unwrap();
    let bad = bad.to_str().unwrap();
    let ran = home.run(&["tenants", "check", bad]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let expected = format!("{bad}: /routing_rules/0/team: team `bilings` does not exist; did you mean `billing`?\n");
    assert_eq!(ran.stdout, expected);
    let ran = home.run(&["tenants", "check", bad, "--json"]);
    assert_eq!(ran.code, Some(3));
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown[0]["mistakes"][0]["pointer"], "/routing_rules/0/team");

    fs::write(bad, "{\"tenant_id\": \"x\",\n \"teems\": []}").unwrap();
    let ran = home.run(&["tenants", "check", bad]);
    assert!(ran.code == Some(3) && ran.stdout.contains("did you mean `teams`?"), "{ran:?}");
    let ran = home.run(&["tenants", "check", "/none/config.json"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("cannot be read"), "{ran:?}");
}

/// The last good version stays in force, and three places say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_configuration_of_a_running_tenant_is_told_and_not_used() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    api.accept(&ticket("T-1")).await;
    api.ticket_when("T-1", "success").await;
    let file = home.data().join("tenants/telecorp/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["routing_rules"][0]["team"] = "nobody".into();
    fs::write(&file, config.to_string()).unwrap();
    crate::wait::until("health tells it", crate::wait::SOON, async || {
        (api.get("/health").await.json()["status"] == "degraded").then_some(())
    })
    .await;
    let ran = home.run(&["tenants", "check"]);
    assert!(ran.code == Some(3) && ran.stdout.contains("team `nobody` does not exist"), "{ran:?}");
    let ran = home.run(&["doctor"]);
    assert!(ran.code == Some(3) && ran.stdout.contains("MEND"), "{ran:?}");
    api.accept(&ticket("T-2")).await;
    api.ticket_when("T-2", "success").await;
}

#[test]
fn wrong_settings_are_named_with_their_place_and_the_nearest_right_one() {
    let home = Home::new();
    let file = home.beside("switchboard.toml");
    let path = file.to_str().unwrap();
    for (text, expected) in [
        ("# mine\n[server]\nlisten = \"127.0.0.1:0\"\nenvironmnt = \"x\"\n", ":4: unknown field `environmnt`"),
        ("[sever]\n", "did you mean `server`?"),
        ("[log]\nformat = \"xml\"\n", ":2: unknown variant `xml`"),
        ("[server]\nshutdown_seconds = -1\n", ":2: invalid value: integer `-1`"),
        ("[server\n", ":1: "),
    ] {
        fs::write(&file, text).unwrap();
        let ran = home.run(&["--config", path, "serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ran.code, Some(1), "{text}: {ran:?}");
        assert!(ran.stderr.contains(expected) && ran.stderr.contains(path), "{text}: {ran:?}");
    }
    let ran = home.run(&["--config", "/none.toml", "doctor"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("/none.toml cannot be read"), "{ran:?}");
    for (name, value, part) in [
        ("SWITCHBOARD_SERVER__LISTN", "x", "environment variable SWITCHBOARD_SERVER__LISTN: unknown field `listn`"),
        ("SWITCHBOARD_SERVER__LISTN", "x", "did you mean `listen`?"),
        ("SWITCHBOARD_SERVR__LISTEN", "x", "did you mean `server`?"),
        ("SWITCHBOARD_SERVER__SHUTDOWN_SECONDS", "soon", "SWITCHBOARD_SERVER__SHUTDOWN_SECONDS: invalid type"),
        ("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", "[\"http://x/\"]", "`http://x/` must be a host or host:port"),
        ("SWITCHBOARD_LOG__LEVEL", "=====", "is no level or filter"),
    ] {
        let ran = Home::new().env(name, value).run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ran.code, Some(1), "{name}={value}: {ran:?}");
        let report = format!("{} {}", ran.stderr, ran.stdout);
        assert!(report.contains(part), "{name}={value}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_the_folder_count_and_the_environment_wins() {
    let home = Home::new().env("SWITCHBOARD_LOG__FORMAT", "json");
    fs::create_dir_all(home.data()).unwrap();
    let settings = "[server]\nenvironment = \"test\"\nlisten = \"nowhere\"\n[log]\nformat = \"text\"\n";
    fs::write(home.data().join("switchboard.toml"), settings).unwrap();
    let server = home.start();
    let api = server.demo_api();
    assert_eq!(api.get("/health").await.json()["environment"], "test");
    api.accept(&ticket("T-1")).await;
    api.ticket_when("T-1", "success").await;
    let log = home.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string(), "{line}");
    }
    assert_eq!(home.ok(&["settings"]), include_str!("../../switchboard.default.toml"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_is_good_and_what_to_mend() {
    let home = Home::new();
    let mut server = home.start();
    let found = home.json(&["doctor"]);
    assert_eq!(found["good"], true, "{found}");
    let text = home.ok(&["doctor"]);
    for part in ["integrity ok", "a server works on it", "0 dead letters", "tenant telecorp", "only its owner"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    server.kill();
    assert!(home.ok(&["doctor"]).contains("no server works on it now"));
    home.put_tenant(&acme(&json!({"kind": "webhook", "url": "https://a.example", "secret": "hook"})));
    let ran = home.run(&["doctor", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["good"], false);
    let findings = found["findings"].as_array().unwrap();
    let bad: Vec<_> = findings.iter().filter(|one| one["good"] == false).collect();
    assert_eq!(bad.len(), 1, "{found}");
    assert_eq!(bad[0]["detail"], "secret `hook` is missing: put it into the data folder's secrets/acme/hook");
    assert!(home.run(&["doctor"]).stdout.contains("MEND"));
}

#[test]
fn completions_are_made_for_every_common_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = finished(home.bare_command().args(["completions", shell]));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let commands = ["serve", "route", "tickets", "dlq", "events", "keys", "tenants", "doctor"];
        let missing: BTreeSet<_> = commands.iter().filter(|name| !ran.stdout.contains(**name)).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
        if Command::new(shell).arg("--version").output().is_ok() {
            let script = home.beside(shell);
            fs::write(&script, &ran.stdout).unwrap();
            let checked = finished(Command::new(shell).arg("-n").arg(&script));
            assert_eq!(checked.code, Some(0), "{shell}: {checked:?}");
        }
    }
    assert_eq!(finished(home.bare_command().args(["completions", "cmd"])).code, Some(2));
}

#[test]
fn the_openapi_document_is_the_committed_one() {
    let home = Home::new();
    let ran = finished(home.bare_command().arg("openapi"));
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout == include_str!("../../../http/openapi.json"), "run `cargo xtask openapi`");
}
