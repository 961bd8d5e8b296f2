//! Overload: far more tickets than the server can take, whatever it answers. An open loop: nobody waits for an answer before
//! the next ticket is sent, as customers do not either.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::Router;
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    client::{post, request},
    load::{Load, quantiles, ticket},
    process,
    receiver::Receiver,
    server::Server,
};

/// Events that may wait: a few seconds' work, so that the run meets the bound. The default allows a quarter of a million, which a
/// flood of this length does not fill.
pub(crate) const BACKLOG: u64 = 7_000;
/// How many times its capacity the server is sent.
const TIMES: f64 = 10.0;
/// Connections of the load: enough that some are free when a ticket is due.
const CONNECTIONS: usize = 400;
/// Requests a second of the probe that looks whether the server is its normal self again.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// What the promises are.
const ACCEPTED_P99_MS: f64 = 250.0;
const REFUSED_P99_MS: f64 = 20.0;
const GOODPUT: f64 = 0.95;
const MEMORY_MB: f64 = 64.0;
const NORMAL_AGAIN_S: f64 = 5.0;

/// Measures the server's capacity, sends ten times as much for `seconds`, and tells what became of it.
pub(crate) async fn run(server: &Server, receiver: &Receiver, seconds: u64) -> Result<Value> {
    let time = Duration::from_secs(seconds);
    let long = Duration::from_secs(600);
    let seen = receiver.seen();
    let quiet = send(server.address(), server.key(), "quiet", 200.0, Duration::from_secs(3), 16).await?;
    receiver.wait_for(seen + quiet.accepted.len(), long).await?;
    let capacity_alone = capacity(server, receiver, "alone").await?;
    let rate = capacity_alone * TIMES;
    let capacity = capacity_beside_the_load(server, receiver, rate).await?;
    let cpu = process::cpu(server.pid())?;
    let seen = receiver.seen();
    let before = process::resident(server.pid())?;

    let is_over = Arc::new(AtomicBool::new(false));
    let highest = tokio::spawn(highest_memory(server.pid(), Arc::clone(&is_over)));
    let flood = send(server.address(), server.key(), "flood", rate, time, CONNECTIONS).await?;
    let finished = receiver.seen() - seen;
    let cpu = process::cpu(server.pid())? - cpu;
    is_over.store(true, Ordering::Relaxed);
    let growth = (highest.await?? - before).max(0.0);
    let normal = normal_again(server, &quiet).await?;
    receiver.wait_for(seen + flood.accepted.len() + normal.accepted, long).await?;
    // The receiver has seen them all; that they are written back is recorded a moment later.
    let mut lost = usize::MAX;
    for _ in 0..20 {
        lost = not_routed(server, &flood.accepted).await?;
        if lost == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let dead = server.dead_letters()?;

    let finished = finished as f64 / time.as_secs_f64();
    let accepted = quantiles(flood.accepted.iter().map(|(_, took)| *took));
    let refused = quantiles(flood.refused.iter().map(|(_, took, _)| *took));
    let mut by_status = BTreeMap::<String, usize>::new();
    for (status, ..) in &flood.refused {
        *by_status.entry(status.to_string()).or_default() += 1;
    }
    let without_retry_after = flood.refused.iter().filter(|(_, _, has)| !has).count();
    let normal_again = normal.after.as_secs_f64();
    Ok(json!({
        "seconds": seconds,
        "capacity_per_s": capacity_alone.round(),
        "capacity_beside_the_load_per_s": capacity.round(),
        "server_cores_used": (cpu / time.as_secs_f64() * 100.0).round() / 100.0,
        "offered_per_s": (flood.sent as f64 / time.as_secs_f64()).round(),
        "due_and_not_sent": flood.late,
        "accepted": {"per_s": (flood.accepted.len() as f64 / time.as_secs_f64()).round(), "p50_ms": accepted.0, "p99_ms": accepted.1},
        "finished_per_s": finished.round(),
        "refused": {"number": flood.refused.len(), "by_status": by_status, "p50_ms": refused.0, "p99_ms": refused.1,
                    "without_retry_after": without_retry_after},
        "no_answer": flood.failed,
        "memory_growth_mb": growth.round(),
        "normal_again_s": (normal_again * 100.0).round() / 100.0,
        "accepted_and_not_routed": lost,
        "dead_letters": dead,
        "kept": {
            "finished at least 95 % of the capacity beside the load": finished >= capacity * GOODPUT,
            "accepted p99 at most 250 ms": accepted.1 <= ACCEPTED_P99_MS,
            "refused p99 at most 20 ms": refused.1 <= REFUSED_P99_MS,
            "every refusal says when to come again": without_retry_after == 0,
            "every request is answered": flood.failed == 0,
            "memory grows by at most 64 MB": growth <= MEMORY_MB,
            "normal again within 5 s": normal_again <= NORMAL_AGAIN_S,
            "nothing accepted is lost": lost == 0 && dead == 0,
        },
    }))
}

/// Tickets a second, from the first request to the last write-back, as fast as the answers come.
async fn capacity(server: &Server, receiver: &Receiver, name: &str) -> Result<f64> {
    const TICKETS: usize = 6_000;
    let seen = receiver.seen();
    let started = Instant::now();
    Load::tickets(name, TICKETS).closed(server, 64).await?;
    receiver.wait_for(seen + TICKETS, Duration::from_secs(120)).await?;
    Ok(TICKETS as f64 / started.elapsed().as_secs_f64())
}

/// The capacity while the same load is made and goes to an empty handler in this process. Where load and server share a machine,
/// the load takes a good part of it, and this is what is left to the server.
async fn capacity_beside_the_load(server: &Server, receiver: &Receiver, rate: f64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/tickets", axum::routing::post(|| async {}));
    let empty = tokio::spawn(async move { axum::serve(listener, router).await });
    let load = tokio::spawn(async move { send(address, "", "load", rate, Duration::from_secs(60), CONNECTIONS).await });
    // A second, so that all its connections are open.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let capacity = capacity(server, receiver, "beside").await?;
    load.abort();
    empty.abort();
    Ok(capacity)
}

async fn highest_memory(pid: u32, is_over: Arc<AtomicBool>) -> Result<f64> {
    let mut highest = 0.0_f64;
    while !is_over.load(Ordering::Relaxed) {
        highest = highest.max(process::resident(pid)?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(highest)
}

struct NormalAgain {
    after: Duration,
    accepted: usize,
}

/// Normal is: for half a second, every ticket is accepted, and as quickly as before the flood (three times its p99, or 25 ms).
async fn normal_again(server: &Server, quiet: &Sent) -> Result<NormalAgain> {
    let usual = quantiles(quiet.accepted.iter().map(|(_, took)| *took)).1;
    let limit = Duration::from_secs_f64((usual * 3.0).max(25.0) / 1e3);
    let started = Instant::now();
    let (mut since, mut accepted, mut connection) = (Instant::now(), 0, None);
    for n in 0.. {
        let began = Instant::now();
        let outcome = post(&mut connection, server.address(), server.key(), ticket("probe", n)).await;
        let is_accepted = matches!(outcome, Ok((202, _)));
        accepted += usize::from(is_accepted);
        if !is_accepted || began.elapsed() > limit {
            since = Instant::now();
        }
        if since.elapsed() > Duration::from_millis(500) {
            return Ok(NormalAgain { after: since.duration_since(started), accepted });
        }
        ensure!(started.elapsed() < Duration::from_secs(120), "the server does not become normal again");
        tokio::time::sleep(PROBE_EVERY).await;
    }
    anyhow::bail!("the probe ended")
}

/// How many of the accepted tickets are not there, or have no decision that was written back.
async fn not_routed(server: &Server, accepted: &[(usize, Duration)]) -> Result<usize> {
    let mut routed = HashSet::new();
    let (mut connection, mut cursor) = (None, String::new());
    loop {
        let path = format!("/tickets?limit=200&status=routed&sync_status=success{cursor}");
        let (status, _, body) =
            request(&mut connection, server.address(), server.key(), Method::GET, &path, Bytes::new()).await?;
        ensure!(status == 200, "the tickets cannot be listed: {status}");
        let page: Value = serde_json::from_slice(&body)?;
        let ids = page["items"].as_array().context("no items")?.iter().filter_map(|item| item["ticket_id"].as_str());
        routed.extend(ids.map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    Ok(accepted.iter().filter(|(n, _)| !routed.contains(&format!("flood-{n}"))).count())
}

/// Everything that was sent, by what became of it.
#[derive(Default)]
struct Sent {
    sent: usize,
    /// The number of each accepted ticket, and how long the answer took from when the ticket was sent.
    accepted: Vec<(usize, Duration)>,
    /// Status, time, and whether it said when to come again.
    refused: Vec<(u16, Duration, bool)>,
    /// The connection ended without an answer.
    failed: usize,
    /// Tickets that were due while no connection was free, and were not sent.
    late: usize,
}

/// Sends tickets at `rate` a second, however they are answered.
async fn send(
    address: SocketAddr,
    key: &str,
    name: &'static str,
    rate: f64,
    time: Duration,
    connections: usize,
) -> Result<Sent> {
    let key = key.to_owned();
    let total = (rate * time.as_secs_f64()) as usize;
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (next, key) = (Arc::clone(&next), key.clone());
        tasks.spawn(async move {
            let mut sent = Sent::default();
            let mut connection = None;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= total {
                    return sent;
                }
                let due = started + Duration::from_secs_f64(n as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                // Who is that late would only measure this process: a customer would have used another connection.
                if due.elapsed() > Duration::from_secs(1) {
                    sent.late += 1;
                    continue;
                }
                let body = ticket(name, n);
                let began = Instant::now();
                sent.sent += 1;
                match post(&mut connection, address, &key, body).await {
                    Ok((202, _)) => sent.accepted.push((n, began.elapsed())),
                    Ok((status, retry_after)) => sent.refused.push((status, began.elapsed(), retry_after)),
                    Err(_) => {
                        sent.failed += 1;
                        connection = None;
                    }
                }
            }
        });
    }
    let mut all = Sent::default();
    while let Some(one) = tasks.join_next().await {
        let one = one?;
        all.sent += one.sent;
        all.accepted.extend(one.accepted);
        all.refused.extend(one.refused);
        all.failed += one.failed;
        all.late += one.late;
    }
    Ok(all)
}
