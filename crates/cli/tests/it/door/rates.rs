//! How often, and how much a day.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use switchboard_testkit::doubles::{Fault, WebhookDouble};

use super::socket::{Step, act};
use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::{acme, ticket},
    wait::{SOON, until},
};

/// Sends until something is refused; gives how many were not, and the refusal.
async fn until_refused(request: impl Fn(usize) -> reqwest::RequestBuilder, status: u16) -> (usize, Answer) {
    for n in 0..1_000 {
        let answer = Answer::of(request(n)).await;
        if answer.status == 429 {
            return (n, answer);
        }
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    panic!("a thousand requests were let through");
}

fn check_refusal(answer: &Answer, detail: &str) {
    assert_eq!(answer.problem(), "too_many_requests");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert!(answer.text().contains(detail), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_sends_too_much_is_told_when_to_come_again() {
    let home = Home::new()
        .env("SWITCHBOARD_LIMITS__KEY_REQUESTS_PER_SECOND", "2")
        .env("SWITCHBOARD_LIMITS__BURST_SECONDS", "5");
    let server = home.start();
    let api = server.demo_api();
    let (before, refusal) = until_refused(|_| api.request(Method::GET, "/tickets"), 200).await;
    // Ten at once, and two for each second that this took.
    assert!((10..40).contains(&before), "{before}");
    check_refusal(&refusal, "this API key may send 2 requests a second");
    // Another key of the tenant, and who watches, are not concerned.
    let other = server.api(&home.make_key("telecorp", &[]));
    assert_eq!(other.get("/tickets").await.status, 200);
    assert_eq!(api.get("/health").await.status, 200);
    until("the key may send again", SOON, async || (api.get("/tickets").await.status == 200).then_some(())).await;
    let metrics = api.get("/metrics").await.text();
    assert!(metrics.contains("switchboard_http_refused_total{limit=\"key\"}"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_no_way_round_the_rate() {
    let home = Home::new().env("SWITCHBOARD_LIMITS__KEY_TICKETS_PER_SECOND", "1");
    let server = home.start();
    let api = server.demo_api();
    let batch = |from: usize, number: usize| {
        json!((from..from + number).map(|n| ticket(&format!("T-{n}"))).collect::<Vec<_>>())
    };
    let answer = api.post("/tickets/batch", &batch(0, 900)).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(900)), "a whole batch may come at once");
    let refusal = api.post("/tickets/batch", &batch(900, 900)).await;
    assert_eq!((refusal.status, refusal.problem().as_str()), (429, "too_many_requests"));
    let seconds: u64 = refusal.header("retry-after").parse().unwrap();
    assert!((600..=800).contains(&seconds), "900 of which 100 may come now need 800 seconds: {seconds}");
    assert_eq!(api.post("/tickets", &ticket("T-one")).await.status, 202, "there is room for one");
}

/// An address that guesses keys uses up what it may send, right keys included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_keys_takes_what_an_address_may_send() {
    let home = Home::new()
        .env("SWITCHBOARD_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "20")
        .env("SWITCHBOARD_LIMITS__BURST_SECONDS", "2");
    let server = home.start();
    let guess = server.api("sb_live_0000000000000000_guess");
    let (before, refusal) = until_refused(|_| guess.request(Method::GET, "/tickets"), 401).await;
    assert!((3..20).contains(&before), "forty requests are four attempts: {before}");
    check_refusal(&refusal, "this address may send 20 requests a second");
    assert_eq!(server.demo_api().get("/health").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clients_address_is_taken_from_trusted_proxies_alone() {
    for (trusted, header, shared) in [
        ("[]", "x-forwarded-for", true),
        ("[\"127.0.0.0/8\"]", "x-forwarded-for", false),
        ("[\"127.0.0.0/8\"]", "forwarded", true),
    ] {
        let home = Home::new()
            .env("SWITCHBOARD_LIMITS__ADDRESS_REQUESTS_PER_SECOND", "1")
            .env("SWITCHBOARD_LIMITS__BURST_SECONDS", "8")
            .env("SWITCHBOARD_SERVER__CLIENT_ADDRESS_HEADER", header)
            .env("SWITCHBOARD_SERVER__TRUSTED_PROXIES", trusted);
        let server = home.start();
        let api = server.demo_api();
        let from = |address: &str| {
            api.request(Method::GET, "/tickets").header("x-forwarded-for", format!("6.6.6.6, {address}"))
        };
        let (before, _) = until_refused(|_| from("203.0.113.1"), 200).await;
        assert!(before >= 8, "{before}");
        let other = Answer::of(from("203.0.113.2")).await.status;
        assert_eq!(other, if shared { 429 } else { 200 }, "{trusted} {header}");
    }
}

fn with_quotas(quotas: &Value) -> Home {
    let mut config = acme(&json!({"kind": "none"}));
    config["quotas"] = quotas.clone();
    Home::with_tenant(&config)
}

fn check_quota(answer: &Answer) {
    assert_eq!((answer.status, answer.problem().as_str()), (429, "quota_exceeded"), "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=24 * 3600).contains(&seconds), "{seconds}");
    assert_eq!(answer.json()["retry_after"], seconds);
}

/// The tests of quotas count by days, so they wait when midnight is near.
async fn away_from_midnight() {
    let day = Duration::from_secs(24 * 3600).as_secs();
    let left = || day - std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() % day;
    while left() < 20 || left() > day - 2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_never_passed() {
    away_from_midnight().await;
    let home = with_quotas(&json!({"tickets_per_day": 30}));
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let send = |api: Api, n: usize| async move { api.post("/tickets", &ticket(&format!("T-{n}"))).await };
    let sent: Vec<_> = (0..60).map(|n| tokio::spawn(send(api.clone(), n))).collect();
    let mut accepted = Vec::new();
    for (n, answer) in sent.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        match answer.status {
            202 => accepted.push(n),
            _ => check_quota(&answer),
        }
    }
    assert_eq!(accepted.len(), 30);
    // Who repeats an accepted ticket gets the answer of the first time.
    assert_eq!(send(api.clone(), accepted[0]).await.status, 202);
    let batch = json!([ticket(&format!("T-{}", accepted[1])), ticket("T-new"), {"ticket_id": "T-bad"}]);
    let answer = api.post("/tickets/batch", &batch).await;
    let results = answer.json()["results"].clone();
    assert_eq!((answer.status, &results[0]["status"]), (202, &json!("accepted")), "{}", answer.text());
    assert_eq!(results[1]["error"]["type"], "urn:switchboard:problem:quota_exceeded");
    assert!(results[1]["error"]["retry_after"].as_u64().is_some_and(|seconds| seconds > 0), "{results}");
    assert_eq!(results[2]["error"]["type"], "urn:switchboard:problem:invalid_field");
    api.wait_idle(SOON).await;
    assert_eq!(api.list_all("").await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_customer_has_a_quota_and_a_new_one_counts_without_a_restart() {
    away_from_midnight().await;
    let home = with_quotas(&json!({"tickets_per_customer_per_day": 2}));
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let of = |n: usize, customer: &str| {
        let mut ticket = ticket(&format!("T-{n}"));
        ticket["customer_id"] = customer.into();
        ticket
    };
    api.accept(&of(1, "A")).await;
    api.accept(&of(2, "A")).await;
    let refused = api.post("/tickets", &of(3, "A")).await;
    check_quota(&refused);
    assert!(refused.text().contains("the customer's quota of 2 tickets a day"), "{}", refused.text());
    api.accept(&of(4, "B")).await;
    home.put_tenant(&acme(&json!({"kind": "none"})));
    until("the quota is gone", SOON, async || (api.post("/tickets", &of(5, "A")).await.status == 202).then_some(()))
        .await;
}

/// Too many tickets wait: the next ones are refused before their body is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backlog_is_told_before_the_body_is_read() {
    let double = WebhookDouble::start("a secret of the hook").await;
    double.rate(1.0, Fault::Delay(Duration::from_secs(60)));
    let desk = json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"});
    let home = Home::with_tenant(&acme(&desk)).allow(&[&double]).secret("HOOK", "a secret of the hook");
    let home = home.env("SWITCHBOARD_QUEUE__TENANT_BACKLOG", "5");
    let server = home.start_empty();
    let key = home.make_key("acme", &[]);
    let api = server.api(&key);
    let post = |n: usize| {
        let body = ticket(&format!("T-{n}")).to_string();
        api.request(Method::POST, "/tickets").header("content-type", "application/json").body(body)
    };
    let (before, refusal) = until_refused(post, 202).await;
    assert!(before >= 5, "{before}");
    assert_eq!((refusal.problem().as_str(), refusal.header("retry-after")), ("too_many_requests", "10"));
    let head = format!("POST /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 500\r\n\r\n");
    until("a ticket is refused by its head", SOON, async || {
        assert_eq!(Answer::of(post(before)).await.status, 429);
        let steps = vec![Step::Send(head.clone().into_bytes()), Step::ReadAnswers(1)];
        let seen = tokio::task::block_in_place(|| act(server.address(), steps));
        (seen.statuses() == [429]).then_some(())
    })
    .await;
    let metrics = api.get("/metrics").await.text();
    assert!(metrics.contains("switchboard_http_refused_total{limit=\"backlog\"}"), "{metrics}");
    assert_eq!(api.get("/tickets").await.status, 200, "reading goes on");
    // A review that the desk is to be told of is work, too.
    api.ticket_until("T-0", "is decided", |ticket| !ticket["decision"].is_null()).await;
    let answer = api.post("/tickets/T-0/review", &json!({"note": "x", "priority": "critical"})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "10"), "{}", answer.text());
}
