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
