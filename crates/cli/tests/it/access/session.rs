//! The operator signs in, works, and signs out; somebody else does not.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    api::{Answer, Api},
    server::{Home, Server},
    tenant::{acme, ticket},
};

const PASSWORD: &str = "correct horse battery staple";

fn with_password(home: &Home) {
    let ran = home.run_with_input(&["admin", "set-password"], &format!("{PASSWORD}\n"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD), "{ran:?}");
}

fn bare(server: &Server) -> Api {
    Api::new(&server.url, None)
}

async fn log_in(server: &Server, password: &str) -> Answer {
    bare(server).post("/session", &json!({"password": password})).await
}

/// The cookie as a browser sends it back, from an answer that sets one.
fn cookie_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn signed_in(server: &Server) -> String {
    cookie_of(&log_in(server, PASSWORD).await)
}

fn by_session(server: &Server, cookie: &str, method: Method, path: &str) -> RequestBuilder {
    bare(server).request(method, path).header("cookie", cookie)
}

async fn status(request: RequestBuilder) -> u16 {
    Answer::of(request).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_signs_in_works_and_signs_out() {
    let home = Home::new();
    let server = home.start();
    let before = log_in(&server, PASSWORD).await;
    assert_eq!((before.status, before.problem().as_str()), (401, "unauthorized"), "no password is set yet");
    let ran = home.run_with_input(&["admin", "set-password"], "too short\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("at least 15 characters"), "{ran:?}");
    with_password(&home);
    assert_eq!(log_in(&server, "correct horse battery stapler").await.status, 401);
    let answer = log_in(&server, PASSWORD).await;
    let set = answer.header("set-cookie").to_owned();
    for part in ["switchboard=", "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("__Host-"), "a browser would drop it by plain http: {set}");
    let cookie = cookie_of(&answer);
    let me = Answer::of(by_session(&server, &cookie, Method::GET, "/session")).await.json();
    assert_eq!((&me["kind"], &me["role"], &me["tenants"]), (&json!("session"), &json!("admin"), &json!(["telecorp"])));
    assert!(me["ends_at"].is_string(), "{me}");
    assert_eq!(me["id"], answer.json()["id"]);
    assert_eq!(status(by_session(&server, &cookie, Method::GET, "/tickets")).await, 200);
    assert_eq!(status(by_session(&server, &cookie, Method::GET, "/audit-log")).await, 200);
    let key = server.demo_api().get("/session").await.json();
    assert_eq!((&key["kind"], &key["tenants"], &key["role"]), (&json!("key"), &json!(["telecorp"]), &Value::Null));
    assert_eq!(bare(&server).get("/session").await.status, 401);
    let out = || by_session(&server, &cookie, Method::DELETE, "/session");
    assert_eq!(status(out()).await, 403, "not without a sign of the same origin");
    let answer = Answer::of(out().header("sec-fetch-site", "same-origin")).await;
    assert_eq!(answer.status, 204);
    assert!(
        answer.header("set-cookie").contains("switchboard=; ") && answer.header("set-cookie").contains("Max-Age=0")
    );
    assert_eq!(status(by_session(&server, &cookie, Method::GET, "/session")).await, 401, "it has ended everywhere");
    assert_eq!(server.demo_api().request(Method::DELETE, "/session").send().await.unwrap().status(), 403);
    let log = home.log() + &home.json(&["audit-log", "list"]).to_string();
    for secret in [PASSWORD, cookie.split('=').nth(1).unwrap()] {
        assert!(!log.contains(secret), "a secret is in a log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_a_session_comes_from_a_page_of_this_server() {
    let home = Home::new();
    let server = home.start();
    with_password(&home);
    let cookie = signed_in(&server).await;
    let host = server.address().to_string();
    let own = format!("http://{host}");
    let send = async |id: &str, headers: &[(&str, &str)]| {
        let request = by_session(&server, &cookie, Method::POST, "/tickets").json(&ticket(id));
        status(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    assert_eq!(send("T-1", &[("sec-fetch-site", "same-origin")]).await, 202);
    assert_eq!(send("T-2", &[("origin", &own)]).await, 202);
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        assert_eq!(send("T-3", headers).await, 403, "{headers:?}");
    }
    // A key is no cookie: no browser sends it by itself.
    let request = server.demo_api().request(Method::POST, "/tickets").json(&ticket("T-4"));
    assert_eq!(status(request.header("sec-fetch-site", "cross-site")).await, 202);
    let login = bare(&server).request(Method::POST, "/session").json(&json!({"password": PASSWORD}));
    assert_eq!(status(login.header("origin", "https://evil.example")).await, 403, "nobody signs somebody else in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_https_the_cookie_is_for_https_alone() {
    let home = Home::new().env("SWITCHBOARD_ACCESS__HTTPS", "true");
    let server = home.start();
    with_password(&home);
    let answer = log_in(&server, PASSWORD).await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("__Host-switchboard=") && set.ends_with("; Secure") && !set.contains("Domain"), "{set}");
    let cookie = cookie_of(&answer);
    assert_eq!(status(by_session(&server, &cookie, Method::GET, "/session")).await, 200);
    let bare_name = cookie.replace("__Host-", "");
    assert_eq!(status(by_session(&server, &bare_name, Method::GET, "/session")).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_names_its_tenant_and_others_have_theirs() {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let mut second = acme(&json!({"kind": "none"}));
    second["tenant_id"] = "globex".into();
    home.put_tenant(&second);
    let server = home.start_empty();
    with_password(&home);
    let cookie = signed_in(&server).await;
    let tickets = || by_session(&server, &cookie, Method::GET, "/tickets");
    let answer = Answer::of(tickets()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid_parameter"));
    assert_eq!(status(tickets().header("x-switchboard-tenant", "acme")).await, 200);
    assert_eq!(status(tickets().header("x-switchboard-tenant", "initech")).await, 404);
    assert_eq!(status(tickets().header("x-switchboard-tenant", "../acme")).await, 400);
    let me = Answer::of(by_session(&server, &cookie, Method::GET, "/session")).await.json();
    assert_eq!(me["tenants"], json!(["acme", "globex"]), "who am I needs no tenant");
    server.api(&home.make_key("acme", &[])).accept(&ticket("T-1")).await;
    let one =
        |tenant: &str| by_session(&server, &cookie, Method::GET, "/tickets/T-1").header("x-switchboard-tenant", tenant);
    assert_eq!((status(one("acme")).await, status(one("globex")).await), (200, 404));
    let key = server.api(&home.make_key("globex", &[]));
    let other = key.request(Method::GET, "/tickets").header("x-switchboard-tenant", "acme");
    assert_eq!(status(other).await, 403, "a key has its own tenant");
    // The log's own numbers would tell a tenant how much is done for others.
    let reader = server.api(&home.make_key("globex", &["audit:read"]));
    let log = || by_session(&server, &cookie, Method::GET, "/audit-log").header("x-switchboard-tenant", "globex");
    let (own, of_log) = (reader.get("/audit-log").await.json(), Answer::of(log()).await.json());
    let numbers = |page: &serde_json::Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
    };
    let count = numbers(&own).len() as u64;
    assert!(count > 1 && numbers(&own) == (1..=count).rev().collect::<Vec<_>>(), "{own}");
    assert_eq!(numbers(&of_log).len() as u64, count);
    assert!(numbers(&of_log)[0] > count, "the operator sees the numbers of the log: {of_log}");
    let page = reader.get("/audit-log?limit=1").await.json();
    assert_eq!(page["next_before"], count);
    assert_eq!(numbers(&reader.get(&format!("/audit-log?limit=1&before={count}")).await.json()), [count - 1]);
    // A new password ends what the old one has opened.
    with_password(&home);
    assert_eq!(status(by_session(&server, &cookie, Method::GET, "/session")).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_again_ends_the_session_of_that_browser() {
    let home = Home::new();
    let server = home.start();
    with_password(&home);
    let (first, elsewhere) = (signed_in(&server).await, signed_in(&server).await);
    let sign_in =
        |password: &str| by_session(&server, &first, Method::POST, "/session").json(&json!({"password": password}));
    let me = async |cookie: &str| status(by_session(&server, cookie, Method::GET, "/session")).await;
    assert_eq!(status(sign_in("a wrong password")).await, 401);
    assert_eq!(me(&first).await, 200, "who does not know the password ends nothing");
    let second = cookie_of(&Answer::of(sign_in(PASSWORD)).await);
    assert_ne!(first, second);
    assert_eq!((me(&first).await, me(&second).await, me(&elsewhere).await), (401, 200, 200));
    let acts = home.json(&["audit-log", "list"]);
    let outs = acts.as_array().unwrap().iter().filter(|act| act["action"] == "session.logout").count();
    assert_eq!(outs, 1, "{acts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refused_access_is_logged_without_what_was_tried() {
    let home = Home::new();
    let server = home.start();
    with_password(&home);
    let wrong_key = format!("sb_live_{}", "a".repeat(60));
    assert_eq!(log_in(&server, "a guess of mine").await.status, 401);
    assert_eq!(server.api(&wrong_key).get("/tickets/T-1").await.status, 401);
    assert_eq!(server.api(&home.make_key("telecorp", &["tickets:read"])).get("/audit-log").await.status, 403);
    assert_eq!(server.demo_api().get("/tickets").await.status, 200);
    let log = home.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("access refused")).collect();
    assert_eq!(told.len(), 3, "{log}");
    for (line, parts) in told.iter().zip([
        ["POST", "\"/session\"", "401"],
        ["GET", "\"/tickets/{ticket_id}\"", "401"],
        ["GET", "\"/audit-log\"", "403"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
        assert!(line.contains("127.0.0.1") && line.contains("correlation_id"), "{line}");
    }
    assert!(!log.contains("a guess of mine") && !log.contains(&wrong_key), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_locked_out_and_noted_once() {
    let home = Home::new();
    let server = home.start();
    with_password(&home);
    for n in 0..5 {
        assert_eq!(log_in(&server, &format!("wrong password number {n}")).await.status, 401, "{n}");
    }
    for password in ["wrong password number 6", PASSWORD] {
        let answer = log_in(&server, password).await;
        assert_eq!((answer.status, answer.problem().as_str()), (429, "too_many_requests"), "also the right one");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((20..=30).contains(&wait), "{wait}");
    }
    assert_eq!(server.demo_api().get("/tickets").await.status, 200, "keys are not concerned");
    let acts = home.json(&["audit-log", "list"]);
    let locks: Vec<_> = acts.as_array().unwrap().iter().filter(|act| act["action"] == "session.lockout").collect();
    assert_eq!(locks.len(), 1, "{acts}");
    assert_eq!(locks[0]["actor"], json!({"kind": "unknown", "address": "127.0.0.1"}));
    assert_eq!((&locks[0]["details"]["count"], &locks[0]["outcome"]), (&json!(5), &json!("refused")));
    assert!(locks[0]["correlation_id"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_login_and_no_cookie_is_refused_by_name() {
    let home = Home::new();
    let server = home.start();
    let api = bare(&server);
    for (body, expected) in [
        (json!({}), "invalid_field"),
        (json!({"password": 7}), "invalid_field"),
        (json!({"password": "x", "user": "root"}), "invalid_field"),
        (json!([]), "invalid_field"),
        (json!({"password": "x".repeat(10_000)}), "body_too_large"),
    ] {
        assert_eq!(api.post("/session", &body).await.problem(), expected, "{body}");
    }
    assert_eq!(api.post_as("/session", "text/plain", b"{}".to_vec()).await.status, 415);
    for cookie in ["switchboard=", "switchboard=AAAA", "switchboard=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "a=b"]
    {
        assert_eq!(status(by_session(&server, cookie, Method::GET, "/session")).await, 401, "{cookie}");
    }
}
