//! When sessions of the operator end by themselves, and how many keys a tenant may have.

use std::time::Duration;

use axum::{body::Body, http::Request};

use serde_json::{Value, json};
use switchboard_core::{access::Scope, limits};

use super::{HERE, Reply, World};

const MINUTE: Duration = Duration::from_secs(60);

async fn works(world: &World, cookie: &str) -> bool {
    let request = Request::get("/session").header("cookie", cookie).body(Body::empty()).unwrap();
    let reply = world.call(request).await;
    assert!([200, 401].contains(&reply.status), "{reply:?}");
    world.note_uses().await;
    reply.status == 200
}

#[tokio::test]
async fn a_session_that_is_not_used_ends_after_half_an_hour() {
    let world = World::new();
    let (used, left) = (world.session().await, world.session().await);
    for _ in 0..2 {
        world.clock.advance(29 * MINUTE);
        assert!(works(&world, &used).await, "each use counts anew");
    }
    assert!(!works(&world, &left).await, "58 minutes without use");
    world.clock.advance(29 * MINUTE);
    assert!(works(&world, &used).await);
    world.clock.advance(30 * MINUTE);
    assert!(!works(&world, &used).await);
    assert!(!works(&world, &used).await, "to ask again is no use");
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_however_busy_it_is() {
    let world = World::new();
    let cookie = world.session().await;
    for _ in 0..12 * 4 - 1 {
        world.clock.advance(15 * MINUTE);
        assert!(works(&world, &cookie).await);
    }
    world.clock.advance(15 * MINUTE - Duration::from_secs(1));
    assert!(works(&world, &cookie).await);
    world.clock.advance(Duration::from_secs(1));
    assert!(!works(&world, &cookie).await, "twelve hours are over");
}

async fn manage(world: &World, key: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
    let request = Request::builder().method(method).uri(path).header("x-api-key", key);
    let request = request.header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    world.call(request.body(body).unwrap()).await
}

#[tokio::test]
async fn a_tenant_has_so_many_keys_in_force_and_no_more() {
    let world = World::new();
    let manager = world.key(HERE, &[Scope::KeysManage, Scope::TicketsRead], None).await;
    let other = world.key(HERE, &[Scope::TicketsRead], None).await;
    for _ in 2..limits::KEYS_IN_FORCE {
        world.key(HERE, &[Scope::TicketsRead], None).await;
    }
    let make = async || manage(&world, &manager, "POST", "/keys", Some(json!({"scopes": ["tickets:read"]}))).await;
    let id = other["sb_live_".len()..][..16].to_owned();
    let rotate = async || manage(&world, &manager, "POST", &format!("/keys/{id}/rotate"), Some(json!({}))).await;
    for refused in [make().await, rotate().await] {
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.text().contains("500 keys in force") && refused.text().contains("revoke"), "{refused:?}");
    }
    assert_eq!(manage(&world, &manager, "DELETE", &format!("/keys/{id}"), None).await.status, 204);
    assert_eq!(make().await.status, 201, "a revoked key makes room");
    assert_eq!(make().await.status, 409);
    world.key(super::ELSEWHERE, &[Scope::TicketsRead], None).await;
}

#[tokio::test]
async fn of_keys_that_have_ended_the_newest_are_kept() {
    let world = World::new();
    let manager = world.key(HERE, &[Scope::KeysManage], None).await;
    let most = limits::DEAD_KEYS_KEPT;
    for _ in 0..most + 5 {
        let key = world.key(HERE, &[Scope::TicketsRead], None).await;
        world.clock.advance(Duration::from_millis(1));
        world.revoke(HERE, &key).await;
    }
    let newest = world.key(HERE, &[Scope::TicketsRead], None).await;
    world.revoke(HERE, &newest).await;
    let list = async || manage(&world, &manager, "GET", "/keys", None).await.json().as_array().unwrap().clone();
    // One is in force, and the last that was revoked has made no room yet.
    assert_eq!(list().await.len(), most + 2);
    let newest = &newest["sb_live_".len()..][..16];
    assert!(list().await.iter().any(|key| key["id"] == newest));
}

#[tokio::test]
async fn a_key_makes_none_that_outlasts_it() {
    let world = World::new();
    let end = world.app.clock.now().plus(10 * MINUTE);
    let manager = world.key(HERE, &[Scope::KeysManage], Some(end)).await;
    let post = async |path: &str, body: Value| manage(&world, &manager, "POST", path, Some(body)).await;
    let own = format!("/keys/{}/rotate", &manager["sb_live_".len()..][..16]);
    let without = world.key(HERE, &[Scope::KeysManage], None).await;
    let other = format!("/keys/{}/rotate", &without["sb_live_".len()..][..16]);
    world.clock.advance(MINUTE);
    let later = json!(end.plus(Duration::from_secs(1)));
    for (path, body) in [
        ("/keys", json!({"scopes": ["keys:manage"], "expires_at": later})),
        (own.as_str(), json!({"expires_at": later})),
        (other.as_str(), json!({"expires_at": later})),
    ] {
        let refused = post(path, body).await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["pointer"]),
            (422, &json!("/expires_at")),
            "{refused:?}"
        );
    }
    for (path, body) in [
        ("/keys", json!({"scopes": ["keys:manage"]})),
        (other.as_str(), json!({})),
        (own.as_str(), json!({"overlap_seconds": 3600})),
    ] {
        let made = post(path, body).await;
        assert_eq!((made.status, &made.json()["expires_at"]), (201, &json!(end)), "{made:?}");
    }
}
