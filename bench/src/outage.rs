//! A provider of language models that fails for a minute while tickets come at a steady rate: none may wait long, none may be
//! lost, and when it is back, models decide again.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    client::post,
    load::{distinct_ticket, milliseconds, quantile_of},
    process,
    provider::{Conduct, DECIDES_AFTER, HARD, Provider},
    receiver::{Arrived, By, Receiver},
    server::Server,
};

/// Tickets a second.
const RATE: f64 = 200.0;
const CONNECTIONS: usize = 64;
/// Not counted: the process learns its classifier, and how long the models take.
const WARM_UP: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(15);
const AFTER: Duration = Duration::from_secs(20);
/// One ticket in so many is not for the small model, in the runs that have such.
const HARD_EVERY: usize = 10;
/// The part of the tickets that models decide when all is well again, looked at in pieces of half a second.
const WELL: f64 = 0.9;
const PIECE: f64 = 0.5;
/// The promise.
const P99: Duration = Duration::from_secs(3);

/// One run for each way to fail.
pub(crate) async fn run(seconds: u64) -> Result<Value> {
    let mut outages = Vec::new();
    // In the second, nobody knows the large model's pace when all tickets come to it at once.
    for (conduct, has_hard) in [(Conduct::Hangs, true), (Conduct::Hangs, false), (Conduct::Refuses, true)] {
        let folder = tempfile::tempdir()?;
        outages.push(outage(conduct, has_hard, Duration::from_secs(seconds), folder.path()).await?);
    }
    Ok(json!({"tickets_per_s": RATE, "model_answers_after_ms": milliseconds(DECIDES_AFTER), "outages": outages}))
}

/// What the load and the one that watches it share.
#[derive(Default)]
struct Shared {
    next: AtomicUsize,
    accepted: AtomicUsize,
    is_over: AtomicBool,
    has_hard: bool,
}

/// A ticket that was accepted: its number, and when it was due.
struct Sent {
    number: usize,
    due: Instant,
}

async fn outage(conduct: Conduct, has_hard: bool, time: Duration, folder: &Path) -> Result<Value> {
    let receiver = Arc::new(Receiver::start_reading().await?);
    let provider = Provider::start(Conduct::Decides)?;
    let models = |config: &mut Value| {
        let price = json!({"input": 0.15, "output": 0.6});
        // No ticket is left to the classifier: it is never so sure.
        config["review"] = json!({"precision": 1.0});
        config["models"] = json!({
            "mode": "cascade",
            "providers": {"bench": {"kind": "openai", "url": format!("http://{}/v1", provider.address())}},
            "small": [{"provider": "bench", "model": "small", "price": price}],
            "large": [{"provider": "bench", "model": "large", "price": price}],
            "budget": {"month_usd": 100_000.0},
        });
    };
    let server = Server::start_with(&folder.join("flat"), &receiver, None, Some(provider.address()), models).await?;

    let phases = [("warm-up", WARM_UP), ("before", BEFORE), ("outage", time), ("after", AFTER)];
    let tickets = (phases.iter().map(|(_, time)| time.as_secs_f64()).sum::<f64>() * RATE) as usize;
    let shared = Arc::new(Shared { has_hard, ..Shared::default() });
    let started = Instant::now() + Duration::from_millis(100);
    let load = tokio::spawn(send(server.address(), server.key().to_owned(), tickets, started, Arc::clone(&shared)));
    let waiting = tokio::spawn(watch(Arc::clone(&shared), Arc::clone(&receiver), server.pid()));
    let fails = started + WARM_UP + BEFORE;
    tokio::time::sleep_until(fails.into()).await;
    let asked_before = provider.asked();
    provider.conduct(conduct);
    tokio::time::sleep_until((fails + time).into()).await;
    let asked_meanwhile = provider.asked() - asked_before;
    provider.conduct(Conduct::Decides);
    let sent = load.await??;
    receiver.wait_for(sent.len(), Duration::from_secs(180)).await?;
    // What would come twice, comes soon.
    tokio::time::sleep(Duration::from_secs(2)).await;
    shared.is_over.store(true, Ordering::Relaxed);
    let waiting = waiting.await??;
    let seen = Seen { started, sent, arrived: receiver.decisions(), waiting };
    let mut told = report(&phases, &seen, server.dead_letters()?)?;
    told["provider"] = json!(match conduct {
        Conduct::Hangs => "hangs",
        _ => "answers 503",
    });
    told["large_model_is_known"] = json!(has_hard);
    told["calls_to_the_provider_in_the_outage"] = json!(asked_meanwhile);
    Ok(told)
}

/// What a run has come to.
struct Seen {
    started: Instant,
    sent: Vec<Sent>,
    arrived: HashMap<String, Arrived>,
    /// When it was looked, tickets that were accepted and not written back, and megabytes.
    waiting: Vec<(Instant, usize, f64)>,
}

fn report(phases: &[(&str, Duration)], seen: &Seen, dead: usize) -> Result<Value> {
    let Seen { started, sent, arrived, waiting } = seen;
    let started = *started;
    let of = |ticket: &Sent| arrived.get(&name(ticket.number));
    let lost = sent.iter().filter(|ticket| of(ticket).is_none()).count();
    let doubled = arrived.values().filter(|arrived| arrived.decisions.len() != 1).count();
    let (mut told, mut p99) = (Vec::new(), HashMap::new());
    let mut ends = started;
    for (phase, time) in phases {
        let begins = ends;
        ends += *time;
        let within = |at: Instant| at >= begins && at < ends;
        let here: Vec<_> =
            sent.iter().filter(|ticket| within(ticket.due)).filter_map(|one| Some((one, of(one)?))).collect();
        let mut times: Vec<_> = here.iter().map(|(sent, arrived)| arrived.at.duration_since(sent.due)).collect();
        times.sort();
        let by = |who: By| here.iter().filter(|(_, arrived)| arrived.by == who).count();
        let most = waiting.iter().filter(|(at, ..)| within(*at)).map(|(_, waiting, _)| *waiting).max();
        p99.insert(*phase, quantile_of(&times, 0.99));
        told.push(json!({
            "phase": phase, "tickets": times.len(),
            "p50_ms": milliseconds(quantile_of(&times, 0.5)), "p99_ms": milliseconds(quantile_of(&times, 0.99)),
            "max_ms": times.last().copied().map(milliseconds),
            "over_3_s": times.iter().filter(|time| **time > P99).count(),
            "by_models": by(By::Model), "by_local_classifier": by(By::Local), "by_others": by(By::Other),
            "most_waiting": most,
        }));
    }
    let share = |from: Instant, to: Instant| {
        let here = sent.iter().filter(|ticket| ticket.due >= from && ticket.due < to).filter_map(of);
        let (all, by_models) = here.fold((0_usize, 0_usize), |(all, models), arrived| {
            (all + 1, models + usize::from(arrived.by == By::Model))
        });
        by_models as f64 / all.max(1) as f64
    };
    // The phase after the outage, from its beginning: the first piece from which on all pieces are well.
    let back = ends - phases.last().map_or(Duration::ZERO, |(_, time)| *time);
    let pieces = (ends.duration_since(back).as_secs_f64() / PIECE) as usize;
    let piece = |n: usize| back + Duration::from_secs_f64(n as f64 * PIECE);
    let well = (0..pieces).rev().take_while(|n| share(piece(*n), piece(n + 1)) >= WELL).last();
    let before = share(started + WARM_UP, started + WARM_UP + BEFORE);
    ensure!(before >= WELL, "models decided only {before:.2} of the tickets before the outage, so little could fail");
    let hundredths = |number: f64| (number * 100.0).round() / 100.0;
    let highest = waiting.iter().map(|(.., memory)| *memory).fold(0.0, f64::max);
    Ok(json!({
        "phases": told,
        "models_decide_again_after_s": well.map(|n| hundredths(n as f64 * PIECE)),
        "highest_memory_mb": highest.round(),
        "accepted": sent.len(), "lost": lost, "decided_twice": doubled, "dead_letters": dead,
        "kept": {
            "p99 under 3 s in the outage": p99.get("outage").is_some_and(|p99| *p99 < P99),
            "every ticket is decided and written back once": lost == 0 && doubled == 0 && dead == 0,
            "models decide again": well.is_some(),
        },
    }))
}

fn name(number: usize) -> String {
    format!("outage-{number}")
}

/// Sends the tickets when they are due; those that were accepted.
async fn send(
    address: std::net::SocketAddr,
    key: String,
    tickets: usize,
    started: Instant,
    shared: Arc<Shared>,
) -> Result<Vec<Sent>> {
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (key, shared) = (key.clone(), Arc::clone(&shared));
        tasks.spawn(async move {
            let (mut sent, mut connection) = (Vec::new(), None);
            loop {
                let number = shared.next.fetch_add(1, Ordering::Relaxed);
                if number >= tickets {
                    return anyhow::Ok(sent);
                }
                let end = if shared.has_hard && number.is_multiple_of(HARD_EVERY) { HARD } else { "" };
                let ticket = distinct_ticket("outage", number, end);
                let due = started + Duration::from_secs_f64(number as f64 / RATE);
                tokio::time::sleep_until(due.into()).await;
                let (status, _) = post(&mut connection, address, &key, ticket).await?;
                ensure!(status == 202, "a ticket was answered with {status}");
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                sent.push(Sent { number, due });
            }
        });
    }
    let mut all = Vec::with_capacity(tickets);
    while let Some(one) = tasks.join_next().await {
        all.extend(one??);
    }
    Ok(all)
}

/// Tickets that were accepted and are not written back, and resident memory in megabytes, ten times a second.
async fn watch(shared: Arc<Shared>, receiver: Arc<Receiver>, pid: u32) -> Result<Vec<(Instant, usize, f64)>> {
    let mut seen = Vec::new();
    while !shared.is_over.load(Ordering::Relaxed) {
        let waiting = shared.accepted.load(Ordering::Relaxed).saturating_sub(receiver.seen());
        seen.push((Instant::now(), waiting, process::resident(pid)?));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(seen)
}
