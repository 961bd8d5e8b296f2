//! The real server on a disk that takes no more: a limit on the size of files, set and lifted while it runs.
//!
//! A limit needs no root, unlike a small file system. Full disks in every operation: `switchboard-local`, tests `disk::full`.
#![cfg(target_os = "linux")]

use std::{fs, process::Command, time::Duration};

use crate::{
    api::Api,
    server::{Home, Server},
    tenant::{acme, ticket},
    wait::{SOON, until},
};

/// The promise is 5 s after there is room; a busy machine may be slower.
const RECOVERY: Duration = Duration::from_secs(5 + 10);

/// Limits the size of files that the server can write, or lifts the limit.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let id = server.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={limit}:unlimited")]).status();
    assert!(set.expect("prlimit of util-linux").success());
}

async fn storage(api: &Api) -> (String, String) {
    let answer = api.get("/health").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let health = answer.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&health["status"]), text(&health["components"]["storage"]["detail"]))
}

#[tokio::test]
async fn a_disk_that_takes_no_more_refuses_tickets_says_so_and_recovers_without_a_restart() {
    let desk = serde_json::json!({"kind": "folder", "path": "desk"});
    let home = Home::with_tenant(&acme(&desk));
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket("T-1")).await;
    api.ticket_when("T-1", "success").await;
    assert_eq!(storage(&api).await, ("healthy".to_owned(), "has room".to_owned()));
    // The log of the database, to which every write is added, can grow no more.
    let log = fs::metadata(home.data().join("switchboard.db-wal")).unwrap().len();
    limit_files(&server, Some(log));

    for id in ["T-2", "T-3"] {
        let refused = api.post("/tickets", &ticket(id)).await;
        assert_eq!(refused.status, 507, "{}", refused.text());
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        assert_eq!(refused.json()["type"], "urn:switchboard:problem:storage_full", "{}", refused.text());
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert_eq!(api.ticket("T-1").await["sync_status"], "success", "reads go on");
    assert_eq!(api.get("/tickets/T-2").await.status, 404, "refused is not stored");
    let (status, detail) = storage(&api).await;
    assert_eq!(status, "degraded");
    assert!(detail.contains("the disk is full"), "{detail}");

    limit_files(&server, None);
    until("the server takes tickets again", RECOVERY, async || {
        (api.post("/tickets", &ticket("T-2")).await.status == 202).then_some(())
    })
    .await;
    api.ticket_when("T-2", "success").await;
    until("health says so", SOON, async || (storage(&api).await.0 == "healthy").then_some(())).await;
    assert_eq!(api.list_all("").await.len(), 2, "what was refused is not there, what was accepted is");
}
