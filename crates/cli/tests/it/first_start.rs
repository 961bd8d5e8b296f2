//! A newcomer's first minutes.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    api::Api,
    server::{Home, Ran, Server, finished},
    tenant::ticket,
};

/// The files of the demo tenant's folder desk.
fn desk_files(home: &Home) -> Vec<Value> {
    let folder = home.data().join("tenants/telecorp/desk");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap()).collect()
}

fn timeline(ticket: &Value) -> Vec<&str> {
    ticket["timeline"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_ticket_is_routed_written_back_and_explained() {
    let home = Home::new();
    let server = home.start();
    assert_eq!(fs::metadata(home.data()).unwrap().permissions().mode() & 0o777, 0o700);
    let api = server.demo_api();
    let receipt = api.accept(&ticket("T-1")).await;
    assert_eq!((receipt["ticket_id"].as_str(), receipt["status"].as_str()), (Some("T-1"), Some("accepted")));
    let found = api.ticket_when("T-1", "success").await;
    assert_eq!(timeline(&found), ["accepted", "routed", "synced"]);
    assert_eq!(found["ticket"]["correlation_id"], receipt["correlation_id"]);
    let decision = &found["decision"];
    assert_eq!(decision["assigned_team"], "network_operations");
    assert_eq!(decision["issue_classification"]["primary_category"], "no_connection");
    let reasoning = decision["reasoning"].as_str().unwrap();
    for word in ["Network Operations", "Priority", "of 100 points", "severity", "outage", "OUT-2041"] {
        assert!(reasoning.contains(word), "{word} is not in: {reasoning}");
    }
    let files = desk_files(&home);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0]["ticket_id"], "T-1");
    assert_eq!(files[0]["decision_id"], decision["decision_id"]);
    assert_eq!(files[0]["assigned_team"], "network_operations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_the_announcement_work_as_printed() {
    let home = Home::new();
    let mut child = home.spawn(&["serve", "--listen", "127.0.0.1:0"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.matches("curl ").count() < 2 {
        let read = reader.read_line(&mut text).unwrap();
        assert!(read > 0, "the server ends: {text}\n{}", home.log());
    }
    let (_, commands) = text.split_once("curl ").unwrap();
    let commands = format!("curl {commands}");
    let (create, show) = commands.split_once("\n\n").unwrap();
    let url = text.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let key = text.split_whitespace().find(|word| word.starts_with("sb_live_")).unwrap();
    let api = Api::new(url, Some(key));
    if Command::new("curl").arg("--version").output().is_ok() {
        let ran = finished(Command::new("sh").args(["-c", create]));
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!(answer["status"], "accepted");
        api.ticket_when("T-1", "success").await;
        let ran = finished(Command::new("sh").args(["-c", show.trim()]));
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        assert_eq!(answer["decision"]["assigned_team"], "network_operations");
    } else {
        println!("no curl here: the printed body is sent by the test's own client");
        let (_, body) = create.split_once("-d '").unwrap();
        let body = serde_json::from_str(body.trim().trim_end_matches('\'')).unwrap();
        api.accept(&body).await;
        api.ticket_when("T-1", "success").await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_prints_no_key_and_keeps_the_data() {
    let home = Home::new();
    let mut first = home.start();
    let key = first.key.clone().unwrap();
    let before = {
        let api = first.demo_api();
        api.accept(&ticket("T-1")).await;
        api.ticket_when("T-1", "success").await
    };
    first.terminate();
    assert!(first.wait(Duration::from_secs(15)).success());
    let second = home.start();
    assert_eq!(second.key, None);
    assert_eq!(second.api(&key).ticket("T-1").await, before);
    assert_eq!(desk_files(&home).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_folder_is_refused() {
    let home = Home::new();
    let server = home.start();
    let refused = home.run(&["serve", "--json", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let expected = format!("another server works on the data folder {}", home.data().display());
    assert!(refused.stderr.contains(&expected), "{refused:?}");
    assert_eq!(server.demo_api().get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_without_the_demo_has_no_tenant_and_no_key() {
    let home = Home::new();
    let server = home.start_empty();
    assert_eq!(server.key, None);
    assert_eq!(home.json(&["tenants", "list"]), serde_json::json!([]));
    let ran = home.run(&["keys", "create"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("there is no tenant yet"), "{ran:?}");
    let api = Api::new(&server.url, None);
    assert_eq!(api.get("/health/live").await.text(), "alive\n");
    assert_eq!(api.get("/health").await.json()["status"], "healthy");
}

/// Else the key of the demo tenant would be made and shown to nobody, and the second start would make none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_whose_port_is_taken_can_be_tried_again() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Ran { code, stderr, .. } = home.run(&["serve", "--json", "--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("cannot listen on {address}")), "{stderr}");
    let server: Server = home.start();
    server.demo_api().accept(&ticket("T-1")).await;
}

/// Killed at any moment before it has shown the key, a first start is made up for by the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_is_made_up_for() {
    let mut unseen = 0;
    for millis in (1..=20).chain((25..=100).step_by(5)) {
        let home = Home::new();
        let mut child = home.spawn(&["serve", "--json", "--listen", "127.0.0.1:0"]);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let mut announced = String::new();
        child.stdout.take().unwrap().read_to_string(&mut announced).unwrap();
        let server = home.start();
        assert_eq!(home.json(&["tenants", "list"]), serde_json::json!(["telecorp"]), "killed after {millis} ms");
        if !announced.contains("sb_live_") {
            unseen += 1;
            let key = server.key.as_deref().unwrap_or_else(|| panic!("killed after {millis} ms: nobody has a key"));
            server.api(key).accept(&ticket("T-1")).await;
        }
    }
    println!("{unseen} of 36 first starts were killed before they had shown the key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_is_served() {
    let home = Home::new();
    let server = home.start();
    let api = Api::new(&server.url, None);
    let document = api.get("/openapi.json").await;
    assert_eq!(document.status, 200);
    assert!(document.json()["paths"]["/tickets"]["post"].is_object());
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger"), "{}", page.text());
    let metrics = api.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("switchboard_queue_waiting 0"), "{}", metrics.text());
}

#[test]
fn without_options_the_text_for_people_says_where_the_data_is() {
    let home = Home::new();
    let mut child = home.spawn(&["serve", "--no-demo", "--listen", "127.0.0.1:0"]);
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("API keys") {
        assert!(reader.read_line(&mut text).unwrap() > 0, "{text}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let _ = reader.read_to_string(&mut text);
    let data = home.data().display().to_string();
    assert!(text.contains(&format!("  data folder  {data}\n")), "{text}");
    assert!(text.contains(&format!("switchboard keys create --data {data}")), "{text}");
    assert!(!text.contains("curl"), "{text}");
}
