//! Keys over HTTP and at the command line: made, replaced, pointed out.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::acme,
    wait::{SOON, until},
};

async fn delete(api: &Api, path: &str) -> u16 {
    Answer::of(api.request(Method::DELETE, path)).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_works_beside_its_successor_for_the_overlap() {
    let home = Home::new();
    let server = home.start();
    let old = home.json(&["keys", "create", "--name", "shop", "--scope", "tickets:read"]);
    let (id, old_key) = (old["id"].as_str().unwrap(), old["key"].as_str().unwrap());
    let new = home.json(&["keys", "rotate", id, "--overlap", "24h"]);
    assert_eq!((&new["replaces"], &new["scopes"], &new["tenant"]), (&old["id"], &old["scopes"], &old["tenant"]));
    let new_key = new["key"].as_str().unwrap();
    assert_ne!(old_key, new_key);
    for key in [old_key, new_key] {
        assert_eq!(server.api(key).get("/tickets").await.status, 200);
    }
    let listed = home.json(&["keys", "list"]);
    assert_eq!(listed[0]["name"], "shop");
    assert_eq!(listed[1]["expires_at"], new["replaced_expires_at"]);
    let last = home.json(&["keys", "rotate", new["id"].as_str().unwrap(), "--overlap", "0s"]);
    until("the replaced key is refused", SOON, async || {
        (server.api(new_key).get("/tickets").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(server.api(last["key"].as_str().unwrap()).get("/tickets").await.status, 200);
    let again = home.run(&["keys", "rotate", new["id"].as_str().unwrap()]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("is not in force any more; make a new one"), "{again:?}");
    for (arguments, part) in [
        (&["keys", "rotate", "0123456789abcdef"][..], "has no key"),
        (&["keys", "rotate", id, "--overlap", "31d"], "at most 30 days"),
        (&["keys", "rotate", id, "--overlap", "soon"], "a number with s, m, h or d"),
        (&["keys", "rotate", id, "--expires", "2020-01-01T00:00:00Z"], "--expires lies in the past"),
    ] {
        let ran = home.run(arguments);
        assert!(ran.code != Some(0) && ran.stderr.contains(part), "{arguments:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_use_is_shown_and_a_near_end_pointed_out() {
    let home = Home::new();
    let server = home.start();
    let far = home.json(&["keys", "create", "--name", "far", "--expires", "2999-01-01T00:00:00Z"]);
    assert_eq!(home.json(&["keys", "list"])[0]["used_at"], Value::Null);
    server.api(far["key"].as_str().unwrap()).get("/tickets").await;
    until("the use is written", SOON, async || home.json(&["keys", "list"])[0]["used_at"].as_str().map(drop)).await;
    assert_eq!(home.run(&["doctor"]).code, Some(0));
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3 * 86_400);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let soon = switchboard_core::time::Timestamp::from_millis(i64::try_from(soon).unwrap()).to_string();
    let near = home.json(&["keys", "create", "--name", "near", "--expires", &soon]);
    let listed = home.json(&["keys", "list"]);
    assert_eq!((&listed[0]["ends_soon"], &listed[1]["ends_soon"]), (&json!(true), &json!(false)));
    assert!(home.ok(&["keys", "list"]).contains("ENDS SOON"));
    let doctor = home.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, Some(3));
    assert!(
        doctor.stdout.contains(&format!("switchboard keys rotate --tenant telecorp {}", near["id"].as_str().unwrap()))
    );
    let rotated = home.json(&["keys", "rotate", near["id"].as_str().unwrap()]);
    assert!(rotated["expires_at"].as_str().unwrap() >= soon.as_str(), "as long as the old one was made for");
    // A use in the last minute of a server is written at its end.
    let mut server = server;
    server.terminate();
    assert!(server.wait(SOON).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_more_by_a_key_than_he_has() {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let mut second = acme(&json!({"kind": "none"}));
    second["tenant_id"] = "globex".into();
    home.put_tenant(&second);
    let server = home.start_empty();
    let manager = server.api(&home.make_key("acme", &["keys:manage", "tickets:read"]));
    let other = server.api(&home.make_key("globex", &["keys:manage", "tickets:read"]));
    let plain = server.api(&home.make_key("acme", &[]));
    let wish = json!({"name": "reader", "scopes": ["tickets:read"]});
    assert_eq!(plain.post("/keys", &wish).await.status, 403);
    assert_eq!(plain.get("/keys").await.status, 403);
    assert_eq!(plain.get("/audit-log").await.status, 403);
    let made = manager.post("/keys", &wish).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(
        (&made["tenant"], &made["name"], &made["scopes"]),
        (&json!("acme"), &json!("reader"), &json!(["tickets:read"]))
    );
    let reader = server.api(made["key"].as_str().unwrap());
    assert_eq!(reader.get("/tickets").await.status, 200);
    for scope in ["tickets:write", "metrics:read", "audit:read"] {
        let more = manager.post("/keys", &json!({"scopes": ["tickets:read", scope]})).await;
        assert_eq!(more.status, 403, "{scope}: {}", more.text());
    }
    for (body, status) in [
        (json!({"scopes": []}), 422),
        (json!({"scopes": ["root"]}), 422),
        (json!({"scopes": ["tickets:read"], "name": "x".repeat(201)}), 422),
        (json!({"scopes": ["tickets:read"], "expires_at": "2020-01-01T00:00:00Z"}), 422),
        (json!({"scopes": ["tickets:read"], "tenant": "globex"}), 422),
    ] {
        assert_eq!(manager.post("/keys", &body).await.status, status, "{body}");
    }
    let strong = home.json(&["keys", "create", "--tenant", "acme"]);
    let strong_path = format!("/keys/{}/rotate", strong["id"].as_str().unwrap());
    assert_eq!(
        manager.post(&strong_path, &json!({})).await.status,
        403,
        "its successor would be stronger than the caller"
    );
    let path = format!("/keys/{}", made["id"].as_str().unwrap());
    assert_eq!((delete(&other, &path).await, delete(&plain, &path).await), (404, 403));
    assert_eq!(other.post(&format!("{path}/rotate"), &json!({})).await.status, 404);
    let rotated = manager.post(&format!("{path}/rotate"), &json!({"overlap_seconds": 60})).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    assert_eq!(rotated.json()["replaces"], made["id"]);
    assert_eq!(delete(&manager, &path).await, 204);
    assert_eq!(reader.get("/tickets").await.status, 401, "at once, by this server");
    assert_eq!(manager.post(&format!("{path}/rotate"), &json!({})).await.status, 409);
    assert_eq!(delete(&manager, "/keys/0123456789abcdef").await, 404);
    assert_eq!(delete(&manager, "/keys/x").await, 404);
    let names = |keys: &Value| keys.as_array().unwrap().iter().filter(|key| key["name"] == "reader").count();
    assert_eq!((names(&manager.get("/keys").await.json()), names(&other.get("/keys").await.json())), (2, 0));
    let text = manager.get("/keys").await.text();
    assert!(!text.contains("hash") && !text.contains("sb_live_"), "{text}");
}
