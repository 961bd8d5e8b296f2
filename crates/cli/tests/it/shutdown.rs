//! A stop by the service manager, under load.

use std::{
    collections::BTreeSet,
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use switchboard_testkit::doubles::{Fault, WebhookDouble};

use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::{acme, ticket},
    wait::{SOON, until},
};

const SECRET: &str = "a secret of the hook";
/// `server.shutdown_seconds` and what a busy machine adds.
const GRACE: Duration = Duration::from_secs(10 + 5);

async fn hook() -> (WebhookDouble, Home) {
    let double = WebhookDouble::start(SECRET).await;
    let desk = serde_json::json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"});
    let home = Home::with_tenant(&acme(&desk)).allow(&[&double]).secret("HOOK", SECRET);
    (double, home)
}

/// Sends distinct tickets until the server is gone; gives those that were acknowledged.
async fn customer(api: Api, stop: Arc<AtomicBool>, client: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let id = format!("T-{client}-{n}");
        let request = api.request(Method::POST, "/tickets").header("content-type", "application/json");
        match Answer::try_of(request.body(ticket(&id).to_string())).await {
            Ok(answer) => {
                assert_eq!(answer.status, 202, "{}", answer.text());
                acknowledged.push(id);
            }
            Err(_) if stop.load(Ordering::SeqCst) => break,
            Err(error) => panic!("the server does not answer: {error:?}"),
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_and_gives_leases_back() {
    let (double, home) = hook().await;
    // Slow enough that many write-backs are in work when the stop comes.
    double.rate(0.5, Fault::Delay(Duration::from_millis(300)));
    let mut server = home.start_empty();
    let key = home.make_key("acme", &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let api = server.api(&key);
    let clients: Vec<_> = (0..6).map(|client| tokio::spawn(customer(api.clone(), Arc::clone(&stop), client))).collect();
    until("some tickets are on their way", SOON, async || (double.requests() > 100).then_some(())).await;
    stop.store(true, Ordering::SeqCst);
    server.terminate();
    let asked = Instant::now();
    let status = tokio::task::block_in_place(|| server.wait(GRACE));
    println!("stopped after {:.2} s", asked.elapsed().as_secs_f64());
    assert_eq!(status.code(), Some(0), "{}", home.log());
    let mut acknowledged = BTreeSet::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    assert!(home.log().contains("stopped"), "{}", home.log());

    let again = home.start_empty();
    let api = again.api(&key);
    api.wait_idle(SOON).await;
    let stored = api.list_all("").await;
    assert!(stored.iter().all(|ticket| ticket["sync_status"] == "success"));
    let stored: BTreeSet<_> = stored.iter().map(|ticket| ticket["ticket_id"].as_str().unwrap().to_owned()).collect();
    assert!(acknowledged.is_subset(&stored), "lost: {:?}", acknowledged.difference(&stored).collect::<Vec<_>>());
    assert_eq!(double.effects().len(), stored.len());
    assert_eq!(home.json(&["dlq", "list"]), serde_json::json!([]));
}

/// A stop is no death of the process: it must not count against a job, else ten careful restarts would bury it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_while_a_job_is_in_work_do_not_count_as_its_interruptions() {
    let (double, home) = hook().await;
    let home = home.env("SWITCHBOARD_SERVER__SHUTDOWN_SECONDS", "0");
    let mut key = None;
    for round in 0..8 {
        double.next(Fault::Delay(Duration::from_secs(60)));
        let mut server = home.start_empty();
        if key.is_none() {
            let made = home.make_key("acme", &[]);
            server.api(&made).accept(&ticket("T-1")).await;
            key = Some(made);
        }
        until("the write-back is in work", SOON, async || (double.requests() > round).then_some(())).await;
        server.terminate();
        let status = tokio::task::block_in_place(|| server.wait(GRACE));
        assert_eq!(status.code(), Some(0), "{}", home.log());
    }
    double.heal();
    let server = home.start_empty();
    let api = server.api(&key.unwrap());
    api.ticket_when("T-1", "success").await;
    assert_eq!(double.effects().len(), 1);
    assert!(!home.log().contains("interrupted"), "{}", home.log());
    assert_eq!(home.json(&["dlq", "list"]), serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_keep_alive_connections_do_not_hold_up_a_stop() {
    let home = Home::new();
    let mut server = home.start();
    let api = server.demo_api();
    api.accept(&ticket("T-1")).await;
    api.ticket_when("T-1", "success").await;
    server.terminate();
    let asked = Instant::now();
    let status = tokio::task::block_in_place(|| server.wait(GRACE));
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

/// Whoever never finishes a request holds a stop up for the grace time and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_ends_does_not_hold_up_a_stop_for_ever() {
    let home = Home::new().env("SWITCHBOARD_SERVER__SHUTDOWN_SECONDS", "1");
    let mut server = home.start();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let key = server.key.as_deref().unwrap();
    let head = format!("POST /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).unwrap();
    // The server is in the middle of the request once it has answered a later one.
    assert_eq!(server.demo_api().get("/health").await.status, 200);
    server.terminate();
    let asked = Instant::now();
    let status = tokio::task::block_in_place(|| server.wait(GRACE));
    assert_eq!(status.code(), Some(0), "{}", home.log());
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
}
