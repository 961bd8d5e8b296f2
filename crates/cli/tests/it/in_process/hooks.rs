//! Forged, changed, replayed and old web hooks, in very many: none is taken. Good ones within five minutes: each is.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Request},
};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use switchboard_core::{
    access::Scope,
    ports::{TicketFilter, TicketStore},
    webhook::SigningKey,
};
use switchboard_testkit::{
    fuzz::{Random, count, damaged, damaged_bytes},
    sample,
};

use super::{ELSEWHERE, HERE, HOOK_SECRET, Reply, World};
use crate::tenant::ticket;

/// In `cargo test`; `SWITCHBOARD_TEST_FORGERIES` asks for more, and a tenth of it is how many good ones are sent.
const FORGERIES: u64 = 20_000;
const SECRET: &str = HOOK_SECRET;
const NEXT: &str = "whsec_bmV4dCBuZXh0IG5leHQgbmV4dCBuZXh0";
const SKEW: i64 = 300;

/// Names and secrets that the tenant has.
type Known = &'static [(&'static str, &'static str)];
/// What the sender signs with; one of these sets each time.
type Signing = &'static [&'static [&'static str]];

/// A delivery before it is a request.
#[derive(Clone, Debug, PartialEq)]
struct Hook {
    tenant: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    SigningKey::new(&secret.into()).unwrap().sign(id, &timestamp.to_string(), body)
}

impl Hook {
    fn new(secrets: &[&str], id: &str, timestamp: i64, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let signatures: Vec<_> = secrets.iter().map(|secret| signature(secret, id, timestamp, &body)).collect();
        let headers = vec![
            ("webhook-id", id.into()),
            ("webhook-timestamp", timestamp.to_string().into_bytes()),
            ("webhook-signature", signatures.join(" ").into_bytes()),
        ];
        Self { tenant: HERE.to_owned(), headers, body }
    }

    /// The request; none when its parts are none of a request.
    fn request(&self) -> Option<Request<Body>> {
        let uri = format!("/hooks/generic?tenant={}", self.tenant);
        let mut request = Request::post(uri).body(Body::from(self.body.clone())).ok()?;
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).ok()?;
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        Some(request)
    }
}

fn world() -> World {
    let world = World::new();
    world.secrets.put(sample::parsed("quokka_hook"), "whsec_cXVva2thIHF1b2trYSBxdW9ra2E=");
    world
}

fn now(world: &World) -> i64 {
    world.app.clock.now().as_millis() / 1_000
}

async fn send(world: &World, hook: &Hook) -> Reply {
    world.call(hook.request().unwrap_or_else(|| panic!("no request: {hook:?}"))).await
}

async fn stored(world: &World, tenant: &str) -> usize {
    world.store.list(&sample::scope(tenant), &TicketFilter::default(), None, 200).await.unwrap().items.len()
}

/// Something that nobody with the secret has signed, now.
fn forged(random: &mut Random, good: &Hook, other: &Hook, now: i64) -> Hook {
    let mut hook = good.clone();
    let text = |at: usize| String::from_utf8_lossy(&good.headers[at].1).into_owned();
    match random.below(10) {
        // The id, the time or the signature is another.
        at @ 0..=2 => hook.headers[at].1 = damaged_bytes(random, &hook.headers[at].1),
        3 | 4 => hook.body = damaged(random, &hook.body),
        5 => {
            let secret = ["whsec_AAAA", "whsec_AA==", "hook", NEXT, &SECRET[6..], &SECRET[..37]][random.below(6)];
            hook.headers[2].1 = signature(secret, &text(0), now, &good.body).into_bytes();
        }
        // Signed as it should be, and too old or too new.
        6 => {
            let off = SKEW + 1 + i64::try_from(random.number() % 100_000_000).unwrap();
            let sent = if random.one_in(2) { now - off } else { now + off };
            hook.headers[1].1 = sent.to_string().into_bytes();
            hook.headers[2].1 = signature(SECRET, &text(0), sent, &good.body).into_bytes();
        }
        7 => match random.below(4) {
            0 => drop(hook.headers.remove(random.below(3))),
            1 => {
                let at = random.below(3);
                let again = hook.headers[at].clone();
                hook.headers.push(again);
            }
            2 => hook.tenant = [ELSEWHERE, "nobody", "acme2"][random.below(3)].to_owned(),
            _ => hook.headers[2].1 = hook.headers[2].1.to_ascii_lowercase(),
        },
        // Parts of two good ones.
        8 => match random.below(4) {
            at @ 0..=2 if at != 1 => hook.headers[at] = other.headers[at].clone(),
            _ => hook.body = other.body.clone(),
        },
        // The same bytes under the signature, cut elsewhere.
        _ => {
            let all = [text(0).as_bytes(), b".", text(1).as_bytes(), b".", &good.body].concat();
            let stops: Vec<_> = all.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at).collect();
            let first = stops[random.below(stops.len() - 1)];
            let later: Vec<_> = stops.into_iter().filter(|at| *at > first).collect();
            let second = later[random.below(later.len())];
            hook.headers[0].1 = all[..first].to_vec();
            hook.headers[1].1 = all[first + 1..second].to_vec();
            hook.body = all[second + 1..].to_vec();
        }
    }
    hook
}

/// Whether the parts that are signed, and one signature of them, are what was sent.
fn is_genuine(hook: &Hook, good: &Hook) -> bool {
    let signatures = |hook: &Hook| {
        let (_, value) = hook.headers.iter().find(|(name, _)| *name == "webhook-signature")?;
        Some(value.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect::<Vec<_>>())
    };
    let kept = signatures(hook).is_some_and(|some| some.contains(&good.headers[2].1));
    hook.tenant == good.tenant && hook.body == good.body && hook.headers[..2] == good.headers[..2] && kept
}

#[tokio::test]
async fn nothing_that_was_not_signed_now_is_taken() {
    let world = world();
    let mut random = Random::named("hooks");
    // Their ids have full stops, so that the signed bytes can be cut elsewhere.
    let forgeries = count("SWITCHBOARD_TEST_FORGERIES", FORGERIES);
    let (mut sent, mut unsendable) = (0, 0);
    while sent < forgeries {
        let now = now(&world);
        let id = if random.one_in(4) { format!("m.{now}.{sent}") } else { format!("msg_{sent}") };
        let good = Hook::new(&[SECRET], &id, now, &ticket(&format!("T-{sent}.5")));
        let other = Hook::new(&[SECRET], &format!("other_{sent}"), now, &ticket(&format!("T-other-{sent}")));
        let forged = forged(&mut random, &good, &other, now);
        if is_genuine(&forged, &good) {
            continue;
        }
        let Some(request) = forged.request() else {
            unsendable += 1;
            assert!(unsendable < forgeries, "most can be sent");
            continue;
        };
        sent += 1;
        let reply = world.call(request).await;
        // What a sender signed under an id that has a full stop is his, wherever it is cut; no cut of it has a ticket as its body.
        let known = if forged.body.starts_with(b"{") { 401..=401 } else { 400..=401 };
        let too_large = matches!(reply.status, 413 | 431);
        assert!(known.contains(&reply.status) || too_large, "{forged:?}\n{reply:?}");
    }
    assert_eq!((stored(&world, HERE).await, stored(&world, ELSEWHERE).await), (0, 0));
    // The same world takes a good one, so it was not deaf.
    let good = Hook::new(&[SECRET], "msg_good", now(&world), &ticket("T-good"));
    assert_eq!(send(&world, &good).await.status, 202);
    println!("{sent} forged web hooks: none taken");
}

#[tokio::test]
async fn a_replay_stores_nothing_and_an_old_one_is_refused() {
    let world = world();
    let good = Hook::new(&[SECRET], "msg_1", now(&world), &ticket("T-1"));
    let first = send(&world, &good).await;
    assert_eq!(first.status, 202, "{first:?}");
    for seconds in [1, 100, 199] {
        world.clock.advance(Duration::from_secs(seconds));
        let again = send(&world, &good).await;
        assert_eq!((again.status, again.json()), (202, first.json()));
        world.work().await;
    }
    assert_eq!(stored(&world, HERE).await, 1);
    // Signed anew, as a sender does that repeats a delivery: the id counts.
    let repeated = Hook::new(&[SECRET], "msg_1", now(&world), &ticket("T-1"));
    assert_eq!(send(&world, &repeated).await.json(), first.json());
    let changed = Hook::new(&[SECRET], "msg_1", now(&world), &ticket("T-2"));
    let conflict = send(&world, &changed).await;
    assert_eq!((conflict.status, stored(&world, HERE).await), (409, 1), "{conflict:?}");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(send(&world, &good).await.status, 401, "301 seconds later");
}

#[tokio::test]
async fn a_callers_own_key_is_never_one_of_a_web_hook() {
    let world = world();
    let key = world.key(HERE, &[Scope::TicketsWrite], None).await;
    let by_key = |idempotency_key: &str, ticket_id: &str| {
        let request = Request::post("/tickets").header("x-api-key", &key).header("idempotency-key", idempotency_key);
        request.body(Body::from(ticket(ticket_id).to_string())).unwrap()
    };
    assert_eq!(world.call(by_key("msg_1", "T-1")).await.status, 202);
    let hook = Hook::new(&[SECRET], "msg_1", now(&world), &ticket("T-2"));
    assert_eq!(send(&world, &hook).await.status, 202, "the same name, and not the same key");
    let refused = world.call(by_key("webhook~msg_1", "T-3")).await;
    assert_eq!((refused.status, stored(&world, HERE).await), (400, 2), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_does_not_tell_which_tenants_there_are() {
    let world = world();
    let at = now(&world);
    let good = Hook::new(&[SECRET], "msg_1", at, &ticket("T-1"));
    let change = |change: &dyn Fn(&mut Hook)| {
        let mut hook = good.clone();
        change(&mut hook);
        hook
    };
    let mut answers = Vec::new();
    for hook in [
        change(&|hook| hook.tenant = "nobody".to_owned()),
        change(&|hook| hook.tenant = ELSEWHERE.to_owned()),
        change(&|hook| hook.headers[2].1 = b"v1,AAAA".to_vec()),
        change(&|hook| hook.headers.clear()),
        change(&|hook| hook.body = b"no JSON".to_vec()),
        Hook::new(&[SECRET], "msg_1", at - SKEW - 1, &ticket("T-1")),
        Hook::new(&[NEXT], "msg_1", at, &ticket("T-1")),
    ] {
        let mut reply = send(&world, &hook).await;
        assert_eq!(reply.status, 401, "{hook:?}");
        reply.headers.remove("x-correlation-id");
        answers.push(reply);
    }
    world.secrets.remove(&sample::parsed("hook"));
    let mut without_secret = send(&world, &good).await;
    without_secret.headers.remove("x-correlation-id");
    answers.push(without_secret);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
    assert_eq!(answers[0].json()["type"], "urn:switchboard:problem:unauthorized");
}

/// The hook, of whose body a mebibyte less a byte comes and then nothing.
fn stalled(hook: &Hook) -> Request<Body> {
    let mut request = hook.request().unwrap();
    let beginning = stream::once(ready(Ok::<_, Infallible>(vec![b' '; (1 << 20) - 1])));
    *request.body_mut() = Body::from_stream(beginning.chain(stream::pending()));
    request
}

#[tokio::test]
async fn bodies_of_nobody_known_are_in_the_way_of_no_caller() {
    let world = world();
    let key = world.key(HERE, &[Scope::TicketsWrite], None).await;
    let good = Hook::new(&[SECRET], "msg_1", now(&world), &ticket("T-1"));
    let mut waiting: Vec<_> = (0..80).map(|_| Box::pin(world.call(stalled(&good)))).collect();
    for one in &mut waiting {
        let _ = one.now_or_never();
    }
    assert_eq!(send(&world, &good).await.status, 503, "the room of those whom nobody knows is full");
    let request = Request::post("/tickets").header("x-api-key", &key).body(Body::from(ticket("T-2").to_string()));
    assert_eq!(world.call(request.unwrap()).await.status, 202, "who has a key has another");
    drop(waiting);
    assert_eq!(send(&world, &good).await.status, 202);
}

#[tokio::test]
async fn batches_that_do_not_come_are_in_the_way_of_no_other_tenant() {
    let world = world();
    let [slow, other] = [HERE, ELSEWHERE].map(|tenant| world.key(tenant, &[Scope::TicketsWrite], None));
    let (slow, other) = (slow.await, other.await);
    let batch = |key: &str, body: Body| Request::post("/tickets/batch").header("x-api-key", key).body(body).unwrap();
    let stalled = || {
        let beginning = stream::iter((0..20).map(|_| Ok::<_, Infallible>(vec![b' '; 1 << 20])));
        batch(&slow, Body::from_stream(beginning.chain(stream::pending())))
    };
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(world.call(stalled()))).collect();
    for one in &mut waiting {
        let _ = one.now_or_never();
    }
    let tickets = || Body::from(json!([ticket("T-1")]).to_string());
    assert_eq!(world.call(batch(&other, tickets())).await.status, 202);
    assert_eq!(world.call(batch(&slow, tickets())).await.status, 202, "three have the part's greater half");
    drop(waiting);
}

#[tokio::test]
async fn what_nobody_can_have_signed_is_refused_before_its_body_and_a_tenant_is_not() {
    let world = world();
    let good = Hook::new(&[SECRET], "msg_1", now(&world), &ticket("T-1"));
    let old = Hook::new(&[SECRET], "msg_1", now(&world) - SKEW - 1, &ticket("T-1"));
    let without = Hook { headers: good.headers[..2].to_vec(), ..good.clone() };
    for hook in [old, without] {
        let reply = world.call(stalled(&hook)).now_or_never();
        assert_eq!(reply.map(|reply| reply.status), Some(401), "{hook:?}");
    }
    for tenant in [HERE, "nobody"] {
        let hook = Hook { tenant: tenant.to_owned(), ..good.clone() };
        assert!(world.call(stalled(&hook)).now_or_never().is_none(), "{tenant}: who sends no body learns nothing");
    }
}

#[tokio::test]
async fn good_ones_are_taken_while_clocks_differ_and_secrets_change() {
    let world = world();
    let mut random = Random::named("good hooks");
    let each = count("SWITCHBOARD_TEST_FORGERIES", FORGERIES) / 10 / 5;
    let mut sent = 0;
    // What we know, and what the sender signs with, from one secret to the next.
    let phases: [(Known, Signing); 5] = [
        (&[("hook", SECRET)], &[&[SECRET], &[SECRET, NEXT]]),
        (&[("hook", SECRET), ("hook_next", NEXT)], &[&[SECRET], &[NEXT], &[SECRET, NEXT], &[NEXT, SECRET]]),
        (&[("hook", NEXT), ("hook_next", SECRET)], &[&[SECRET], &[NEXT], &[SECRET, NEXT]]),
        (&[("hook_next", NEXT)], &[&[NEXT], &[SECRET, NEXT]]),
        (&[("hook", NEXT)], &[&[NEXT], &[SECRET, NEXT]]),
    ];
    for (known, signing) in phases {
        for name in ["hook", "hook_next"] {
            world.secrets.remove(&sample::parsed(name));
        }
        for (name, secret) in known {
            world.secrets.put(sample::parsed(name), secret);
        }
        for _ in 0..each {
            sent += 1;
            let skew = i64::try_from(random.below(601)).unwrap() - SKEW;
            let mut body = ticket(&format!("T-{sent}"));
            body["metadata"] = json!({"text": "\u{1f525} ".repeat(random.below(100))});
            let hook =
                Hook::new(signing[random.below(signing.len())], &format!("msg_{sent}"), now(&world) + skew, &body);
            let reply = send(&world, &hook).await;
            assert_eq!(reply.status, 202, "{skew} s: {reply:?}");
            world.clock.advance(Duration::from_millis(random.number() % 2_000));
        }
    }
    let old = Hook::new(&[SECRET], "msg_old", now(&world), &ticket("T-old"));
    assert_eq!(send(&world, &old).await.status, 401, "the old secret was taken away");
    println!("{sent} good web hooks: all taken");
}
