//! When sessions of the operator end by themselves.

use std::time::Duration;

use axum::{body::Body, http::Request};

use super::World;

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
