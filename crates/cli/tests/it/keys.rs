//! Keys made, listed and revoked beside a running server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    server::Home,
    wait::{SOON, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_within_five_seconds() {
    let home = Home::new();
    let server = home.start();
    let made = home.json(&["keys", "create", "--name", "till Friday"]);
    assert_eq!(made["scopes"], json!(["tickets:write", "tickets:read", "tickets:review"]));
    let api = server.api(made["key"].as_str().unwrap());
    assert_eq!(api.get("/tickets").await.status, 200, "a new key counts at once");
    let id = made["id"].as_str().unwrap();
    assert_eq!(home.json(&["keys", "revoke", id]), json!({"revoked": id}));
    let revoked = Instant::now();
    until("the key is refused", SOON, async || (api.get("/tickets").await.status == 401).then_some(())).await;
    assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
    assert_eq!(server.demo_api().get("/tickets").await.status, 200, "the others stay in force");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_listed_without_their_secrets() {
    let home = Home::new();
    let _server = home.start();
    let made = home.json(&["keys", "create", "--scope", "metrics:read", "--expires", "2999-01-01T00:00:00Z"]);
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(key.starts_with(&format!("sb_live_{id}_")), "{made}");
    let listed = home.json(&["keys", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["id"], id);
    assert_eq!(listed[0]["scopes"], json!(["metrics:read"]));
    assert_eq!(listed[1]["name"], "made at the first start");
    let (table, json) = (home.ok(&["keys", "list"]), listed.to_string());
    for text in [&table, &json] {
        assert!(text.contains(id) && !text.contains(&key[25..]), "{text}");
    }
    assert!(table.contains("until 2999-01-01"), "{table}");
    home.ok(&["keys", "revoke", id]);
    assert!(home.ok(&["keys", "list"]).contains("revoked 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_wishes_for_keys_are_refused() {
    let home = Home::new();
    let _server = home.start();
    for (arguments, code, part) in [
        (
            &["keys", "create", "--scope", "tickets:rite"][..],
            2,
            "there are: tickets:write, tickets:read, tickets:review, metrics:read",
        ),
        (&["keys", "create", "--expires", "2020-01-01T00:00:00Z"], 1, "--expires lies in the past"),
        (&["keys", "create", "--expires", "tomorrow"], 2, "RFC 3339"),
        (&["keys", "create", "--tenant", "nobody"], 1, "there is no tenant `nobody`; there are: telecorp"),
        (&["keys", "create", "--tenant", "../etc"], 2, "must be 1 to 64"),
        (&["keys", "revoke", "0123456789abcdef"], 1, "tenant `telecorp` has no key `0123456789abcdef`"),
        (&["keys", "revoke", "x"], 2, "must be 16 of 0-9 and a-f"),
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(part), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "");
    }
}
