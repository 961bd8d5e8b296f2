//! How many connections and requests there are at the same time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;

use super::socket::{PATIENCE, Step, act, ask, is_well};
use crate::{
    api::Answer,
    server::Home,
    tenant::ticket,
    wait::{SOON, until},
};

fn idle(address: SocketAddr, number: usize) -> Vec<TcpStream> {
    (0..number).filter_map(|_| TcpStream::connect(address).ok()).collect()
}

/// Idle connections take all places: whoever watches the server sees that it lives, others are told to come again, and soon
/// the idle ones are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_do_not_silence_the_server() {
    let home = Home::new()
        .env("SWITCHBOARD_LIMITS__CONNECTIONS", "50")
        .env("SWITCHBOARD_LIMITS__CONNECTIONS_PER_ADDRESS", "0")
        .env("SWITCHBOARD_LIMITS__HEADER_SECONDS", "3");
    let server = home.start();
    let address = server.address();
    let mut held = idle(address, 50);
    // The fifty are with the server once it refuses the next one.
    let get = format!("GET /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\n\r\n", server.key.as_ref().unwrap());
    let refused =
        until("the server is full", SOON, async || Some(ask(address, &get)).filter(|answer| answer.contains(" 503 ")));
    let refused = refused.await;
    for part in ["application/problem+json", "retry-after: 1\r\n", "connection: close\r\n", "all the connections"] {
        assert!(refused.contains(part), "{refused}");
    }
    is_well(address, "fifty idle connections").unwrap();
    assert!(ask(address, "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").starts_with("HTTP/1.1 200 "));
    held.extend(idle(address, 950));
    until("idle connections are gone", SOON, async || {
        ask(address, &get.replace("x\r\n", "x\r\nconnection: close\r\n")).contains(" 200 ").then_some(())
    })
    .await;
    is_well(address, "a thousand idle connections").unwrap();
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_its_share_of_connections() {
    let home = Home::new().env("SWITCHBOARD_LIMITS__CONNECTIONS_PER_ADDRESS", "5");
    let server = home.start();
    let held = idle(server.address(), 5);
    until("the next one is hung up on", SOON, async || {
        ask(server.address(), "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").is_empty().then_some(())
    })
    .await;
    drop(held);
    until("places come back", SOON, async || is_well(server.address(), "five connections").ok()).await;
}

/// Clients that are slow to send their bodies keep no place from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_take_no_place() {
    let home = Home::new().env("SWITCHBOARD_LIMITS__REQUESTS_IN_WORK", "2");
    let server = home.start();
    let head = format!(
        "POST /tickets HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: 100\r\n\r\n{{",
        server.key.as_ref().unwrap()
    );
    let mut slow = idle(server.address(), 20);
    for stream in &mut slow {
        stream.write_all(head.as_bytes()).unwrap();
    }
    let api = server.demo_api();
    for n in 0..20 {
        api.accept(&ticket(&format!("T-{n}"))).await;
    }
    // They are still there: what they began is taken up when they go on.
    let rest = " ".repeat(98) + "}";
    slow[0].write_all(rest.as_bytes()).unwrap();
    slow[0].set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 12];
    slow[0].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 422");
}

/// More requests than places: some are told to come again, at once, and nothing is lost or in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_at_once() {
    let home = Home::new().env("SWITCHBOARD_LIMITS__REQUESTS_IN_WORK", "2");
    let server = home.start();
    let api = server.demo_api();
    let mut accepted = 0;
    let mut refused = 0;
    for round in 0..20 {
        let requests: Vec<_> = (0..40)
            .map(|n| {
                let body = ticket(&format!("T-{round}-{n}")).to_string();
                let request =
                    api.request(Method::POST, "/tickets").header("content-type", "application/json").body(body);
                tokio::spawn(Answer::of(request))
            })
            .collect();
        let (watching, _) = tokio::join!(api.get("/health"), api.get("/metrics"));
        assert_eq!(watching.status, 200);
        for request in requests {
            let answer = request.await.unwrap();
            match answer.status {
                202 => accepted += 1,
                _ => {
                    assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.text());
                    assert_eq!(answer.header("retry-after"), "1");
                    refused += 1;
                }
            }
        }
        if accepted > 0 && refused > 0 {
            break;
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
    api.wait_idle(SOON).await;
    assert_eq!(api.list_all("").await.len(), accepted);
    let metrics = api.get("/metrics").await.text();
    assert!(metrics.contains("switchboard_http_refused_total{limit=\"requests_in_work\"}"), "{metrics}");
}

/// The answers fill the system's buffers, and the client leaves them there.
#[test]
fn who_does_not_take_the_answers_is_hung_up_on() {
    let home = Home::new().env("SWITCHBOARD_LIMITS__ANSWER_SECONDS", "1");
    let server = home.start();
    let large = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n";
    let one = ask(server.address(), &large.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).len();
    let requests = 40;
    let steps =
        vec![Step::Send(large.repeat(requests).into_bytes()), Step::Wait(Duration::from_secs(3)), Step::ReadAll];
    let seen = act(server.address(), steps);
    assert!(seen.ended, "the connection is still open");
    assert!(seen.bytes.len() < one * requests, "all {requests} answers came, {} bytes", seen.bytes.len());
    // Who is only slow gets everything.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(large.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(500));
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), one);
    is_well(server.address(), "answers that were not taken").unwrap();
}

/// A connection that never said anything does not hold up a stop, nor does one in the middle of nothing.
#[test]
fn a_silent_connection_does_not_hold_up_a_stop_longer_than_its_grace() {
    let home = Home::new().env("SWITCHBOARD_SERVER__SHUTDOWN_SECONDS", "2");
    let mut server = home.start();
    let held = idle(server.address(), 10);
    is_well(server.address(), "ten silent connections").unwrap();
    server.terminate();
    let asked = Instant::now();
    assert_eq!(server.wait(SOON).code(), Some(0), "{}", home.log());
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    drop(held);
}
