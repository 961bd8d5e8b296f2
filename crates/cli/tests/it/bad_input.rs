//! Requests that are wrong in other ways than their ticket: keys, scopes, parameters, paths, methods, headers, sizes.

mod bodies;
mod mutations;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use reqwest::{Body, Method, RequestBuilder, header::HeaderValue};
use serde_json::json;

use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::{acme, ticket},
    wait::{SOON, until},
};

/// After all that: the server is well, and nothing of it was stored or queued.
pub(crate) async fn unharmed(home: &Home, api: &Api) {
    let health = api.get("/health").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")), "{}", health.text());
    assert_eq!(api.list_all("").await, Vec::<serde_json::Value>::new());
    assert_eq!(home.ok(&["events", "list", "--json"]), "");
    let log = home.log();
    for word in ["panicked", "ERROR", "a request failed"] {
        assert!(!log.contains(word), "{word} is in the log:\n{log}");
    }
}

async fn check(what: &str, request: RequestBuilder, status: u16, code: &str, part: &str) {
    let answer = Answer::of(request).await;
    assert_eq!((answer.status, answer.problem().as_str()), (status, code), "{what}: {}", answer.text());
    let text = answer.text();
    assert!(text.contains(part), "{what}: {part:?} is not in {text}");
    if status == 405 {
        assert!(!answer.header("allow").is_empty(), "{what}: a 405 names the methods: {answer:?}");
    }
    if status == 401 {
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_wrong_are_refused_alike() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let good = server.key.clone().unwrap();
    let (id, secret) = good.strip_prefix("sb_live_").unwrap().split_once('_').unwrap();
    let other_home = Home::new();
    let other_server = other_home.start();
    let foreign = other_server.key.clone().unwrap();
    let revoked = home.json(&["keys", "create"]);
    home.ok(&["keys", "revoke", revoked["id"].as_str().unwrap()]);
    let soon = in_two_seconds();
    let expiring = home.json(&["keys", "create", "--expires", &soon]);
    let expired = expiring["key"].as_str().unwrap().to_owned();
    until("the key expires", SOON, async || (server.api(&expired).get("/tickets").await.status == 401).then_some(()))
        .await;
    let invalid = "not valid, has expired or was revoked";
    let keys = [
        ("garbage", "hunter2".to_owned()),
        ("empty", String::new()),
        ("of another installation", foreign),
        ("with a changed character", format!("sb_live_{id}_{}", secret.replacen(&secret[..1], "_", 1))),
        ("cut short", good[..good.len() - 1].to_owned()),
        ("id alone", format!("sb_live_{id}_")),
        ("in capitals", good.to_uppercase()),
        ("revoked", revoked["key"].as_str().unwrap().to_owned()),
        ("expired", expired),
        ("of SQL", "sb_live_' OR 1=1 --_x".to_owned()),
        ("very long", "x".repeat(10_000)),
    ];
    for (what, key) in keys {
        let api = server.api(&key);
        check(what, api.request(Method::GET, "/tickets"), 401, "unauthorized", invalid).await;
        check(what, api.request(Method::POST, "/tickets").body("{"), 401, "unauthorized", invalid).await;
        let nobody = Api::new(&server.url, None);
        let bearer = nobody.request(Method::GET, "/tickets/T-1").bearer_auth(&key);
        if !key.is_empty() {
            check(what, bearer, 401, "unauthorized", invalid).await;
        }
    }
    let nobody = Api::new(&server.url, None);
    let absent = "send the API key in the header x-api-key";
    for (method, path) in [(Method::GET, "/tickets"), (Method::POST, "/tickets"), (Method::POST, "/tickets/batch")] {
        check("no key", nobody.request(method, path), 401, "unauthorized", absent).await;
    }
    let latin1 = HeaderValue::from_bytes(b"sb_live_\xe9").unwrap();
    let request = nobody.request(Method::GET, "/tickets").header("x-api-key", latin1);
    check("a key of other characters", request, 401, "unauthorized", "").await;
    let basic = nobody.request(Method::GET, "/tickets").basic_auth("user", Some(&good));
    check("basic authentication", basic, 401, "unauthorized", absent).await;
    unharmed(&home, &api).await;
}

/// A time two seconds ahead.
fn in_two_seconds() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap() + Duration::from_secs(2);
    switchboard_core::time::Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_does_what_its_scopes_say_and_no_more() {
    let home = Home::new();
    let server = home.start();
    let reader = server.api(&home.make_key("telecorp", &["tickets:read"]));
    let writer = server.api(&home.make_key("telecorp", &["tickets:write"]));
    let watcher = server.api(&home.make_key("telecorp", &["metrics:read"]));
    for api in [&reader, &watcher] {
        for path in ["/tickets", "/tickets/batch"] {
            let request = api.request(Method::POST, path).body(ticket("T-1").to_string());
            check(path, request, 403, "forbidden", "needs the scope tickets:write").await;
        }
    }
    for api in [&writer, &watcher] {
        for path in ["/tickets", "/tickets/T-1"] {
            check(path, api.request(Method::GET, path), 403, "forbidden", "needs the scope tickets:read").await;
        }
    }
    unharmed(&home, &reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_ask_for_a_key_when_the_operator_wants_it() {
    let home = Home::new().env("SWITCHBOARD_SERVER__METRICS_NEED_KEY", "true");
    let server = home.start();
    let watcher = server.api(&home.make_key("telecorp", &["metrics:read"]));
    assert_eq!(watcher.get("/metrics").await.status, 200);
    let nobody = Api::new(&server.url, None);
    check("no key", nobody.request(Method::GET, "/metrics"), 401, "unauthorized", "").await;
    let other = server.demo_api();
    check("other scopes", other.request(Method::GET, "/metrics"), 403, "forbidden", "metrics:read").await;
    assert_eq!(nobody.get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_nothing_of_another() {
    let home = Home::new();
    home.put_tenant(&acme(&json!({"kind": "none"})));
    let server = home.start();
    let telecorp = server.demo_api();
    let acme = server.api(&home.make_key("acme", &[]));
    telecorp.accept(&ticket("T-1")).await;
    telecorp.ticket_when("T-1", "success").await;
    let unknown = acme.get("/tickets/T-none").await;
    let foreign = acme.get("/tickets/T-1").await;
    assert_eq!((foreign.status, foreign.problem().as_str()), (404, "not_found"));
    assert_eq!(foreign.json(), unknown.json(), "the answer does not tell that another tenant has it");
    assert_eq!(acme.list_all("").await.len(), 0);
    assert_eq!(acme.list_all("&customer_id=C-1").await.len(), 0);
    // The same id is another ticket there, and the same idempotency key another key.
    acme.accept(&ticket("T-1")).await;
    acme.ticket_when("T-1", "success").await;
    assert_eq!(telecorp.list_all("").await.len(), 1);
    let mut claim = ticket("T-2");
    claim["tenant_id"] = "telecorp".into();
    let refused = acme.post("/tickets", &claim).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid_field"));
    let page = telecorp.get("/tickets?limit=1").await.json();
    assert_eq!(page["items"][0]["assigned_team"], "network_operations");
    assert_eq!(acme.ticket("T-1").await["decision"]["assigned_team"], "support");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_that_are_wrong_are_named() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let cases = [
        ("limit=0", "\"/limit\"", "must be from 1 to 200"),
        ("limit=201", "\"/limit\"", "must be from 1 to 200"),
        ("limit=-1", "\"/limit\"", "invalid digit"),
        ("limit=many", "\"/limit\"", "invalid digit"),
        ("limit=", "\"/limit\"", "empty"),
        ("limit=99999999999999999999", "\"/limit\"", "number too large"),
        ("team=No%20Team", "\"/team\"", "must be 1 to 64"),
        ("team=", "\"/team\"", "must be 1 to 64"),
        ("customer_id=%00", "\"/customer_id\"", "must be 1 to 128"),
        ("priority=urgent", "\"/priority\"", "critical"),
        ("status=open", "\"/status\"", "must be one of: accepted, routed"),
        ("sync_status=done", "\"/sync_status\"", "pending"),
        ("review_state=x", "\"/review_state\"", "must be one of: not_needed, waiting, done"),
        ("since=yesterday", "\"/since\"", "RFC 3339"),
        ("until=2026-11-20", "\"/until\"", "RFC 3339"),
        ("cursor=x", "\"/cursor\"", "cursor"),
        ("cursor=", "\"/cursor\"", "cursor"),
        ("cursor=%00%ff", "\"/cursor\"", "cursor"),
        ("cursor=99999999999999999999999999999999", "\"/cursor\"", "cursor"),
        ("custmer_id=C-1", "\"/custmer_id\"", "did you mean `customer_id`?"),
        ("limit=1&limit=2", "\"/limit\"", "duplicate field `limit`"),
    ];
    for (query, place, part) in cases {
        let request = || api.request(Method::GET, &format!("/tickets?{query}"));
        check(query, request(), 400, "invalid_parameter", part).await;
        check(query, request(), 400, "invalid_parameter", place).await;
    }
    unharmed(&home, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_are_not_there_are_told() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let long = format!("/{}", "x".repeat(8_000));
    let long_id = format!("/tickets/{}", "x".repeat(8_000));
    let nowhere = [
        "/",
        "/ticket",
        "/tickets/",
        "/tickets/T-1/decision",
        "//tickets",
        "/%00",
        "/%ff",
        "/TICKETS",
        "/console/",
        "/.env",
        "/docs/../tickets/none",
        &long,
    ];
    for path in nowhere {
        check(path, api.request(Method::GET, path), 404, "not_found", "").await;
    }
    for id in
        ["none", "%00", "a%20b", "%F0%9F%94%A5", "..%2f..%2fpepper", "'%20OR%201=1", &long_id["/tickets/".len()..]]
    {
        let path = format!("/tickets/{id}");
        check(&path, api.request(Method::GET, &path), 404, "not_found", "there is no ticket of this id").await;
    }
    check("no UTF-8", api.request(Method::GET, "/tickets/%ff"), 400, "invalid_parameter", "UTF-8").await;
    for (method, path) in [
        (Method::DELETE, "/tickets"),
        (Method::PUT, "/tickets/T-1"),
        (Method::DELETE, "/tickets/T-1"),
        (Method::GET, "/tickets/batch/"),
        (Method::PATCH, "/tickets/batch"),
        (Method::POST, "/health"),
        (Method::POST, "/metrics"),
        (Method::TRACE, "/tickets"),
        (Method::from_bytes(b"BREW").unwrap(), "/tickets"),
    ] {
        let what = format!("{method} {path}");
        if path.ends_with('/') {
            check(&what, api.request(method, path), 404, "not_found", "").await;
        } else {
            check(&what, api.request(method.clone(), path), 405, "method_not_allowed", method.as_str()).await;
        }
    }
    unharmed(&home, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_wrong_are_told() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let latin1 = || HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let post = |path: &str| api.request(Method::POST, path).body(ticket("T-1").to_string());
    for (path, media) in [
        ("/tickets", "text/plain"),
        ("/tickets", "application/x-www-form-urlencoded"),
        ("/tickets", "application/x-ndjson"),
        ("/tickets", ""),
        ("/tickets", "application/json5"),
        ("/tickets/batch", "multipart/form-data; boundary=x"),
        ("/tickets/batch", "text/csv"),
    ] {
        let request = post(path).header("content-type", media);
        check(media, request, 415, "unsupported_media_type", "Content-Type: application/json").await;
    }
    let request = post("/tickets").header("content-type", latin1());
    check("a content type of other characters", request, 415, "unsupported_media_type", "").await;
    let request = post("/tickets").header("idempotency-key", latin1());
    check("an idempotency key of other characters", request, 400, "invalid_parameter", "must be plain ASCII").await;
    let request = api.request(Method::GET, "/tickets/none").header("x-correlation-id", latin1());
    check("a correlation id of other characters", request, 404, "not_found", "").await;
    unharmed(&home, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_large_are_refused_before_they_are_read() {
    const MIB: usize = 1024 * 1024;
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let blown = |bytes: usize| {
        let whole = ticket("T-1").to_string();
        whole.replace("No internet", &"x".repeat(bytes)).into_bytes()
    };
    let post = |path: &str| api.request(Method::POST, path).header("content-type", "application/json");
    for (path, bytes, allowed) in
        [("/tickets", 51 * MIB, MIB), ("/tickets", MIB, MIB), ("/tickets/batch", 51 * MIB, 50 * MIB)]
    {
        let part = format!("at most {allowed} bytes");
        check("announced", post(path).body(blown(bytes)), 413, "body_too_large", &part).await;
    }
    // Without an announcement, the size shows while the body comes in.
    let pieces = (0..51).map(|_| Ok::<_, std::convert::Infallible>(vec![b' '; MIB]));
    let streamed = post("/tickets").body(Body::wrap_stream(futures_util::stream::iter(pieces)));
    check("not announced", streamed, 413, "body_too_large", "at most 1048576 bytes").await;
    // A careful client asks before it sends; it need not send anything.
    let (address, key) = (server.address(), server.key.clone().unwrap());
    let asked = tokio::task::spawn_blocking(move || ask_first(address, &key)).await.unwrap();
    assert!(asked.starts_with("HTTP/1.1 413 "), "{asked}");
    unharmed(&home, &api).await;
}

/// Announces a huge body with `Expect: 100-continue`, sends none of it, and gives the answer.
fn ask_first(address: SocketAddr, key: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!(
        "POST /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 60000000\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}
