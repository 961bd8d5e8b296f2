//! What the gateway to language models adds to a call, beside what LiteLLM's proxy and TensorZero's gateway add, in one run and
//! against one provider that answers at once.

mod callers;
mod peers;
mod worker;

use std::{collections::HashSet, net::SocketAddr};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use self::{
    peers::Peer,
    worker::{Whom, Worker},
};
use crate::provider::{Conduct, Provider};
pub(crate) use worker::run as work;

/// Calls a second; none is one after the other.
const RATES: [Option<u32>; 4] = [None, Some(100), Some(500), Some(2_000)];
/// Of each measurement.
const SECONDS: f64 = 3.0;
/// Streams at once.
const STREAMS: u64 = 1_000;
/// What the promises are.
const P99_ADDED_MS: f64 = 1.0;
const FIRST_ADDED_MS: f64 = 1.0;
const STREAMS_MB: f64 = 100.0;

const DIRECT: &str = "direct";
const OURS: &str = "switchboard";
const OURS_CUSTOMERS: &str = "switchboard, a customer each";
const TENSORZERO: &str = "TensorZero";
const LITELLM: &str = "LiteLLM";
/// In the order of the tables.
const NAMES: [&str; 5] = [DIRECT, OURS, OURS_CUSTOMERS, TENSORZERO, LITELLM];

/// Somebody whose calls are measured.
struct Subject {
    name: &'static str,
    worker: Worker,
    /// For a proxy, the other process beside the worker.
    peer: Option<Peer>,
    /// What it could not keep up with, at the rate before.
    behind: HashSet<&'static str>,
}

impl Subject {
    fn of(name: &'static str, whom: &Whom) -> Result<Self> {
        Ok(Self { name, worker: Worker::start(whom)?, peer: None, behind: HashSet::new() })
    }

    /// Memory of the process whose costs are looked at.
    fn memory(&mut self) -> Result<f64> {
        match &self.peer {
            Some(peer) => peer.memory(),
            None => self.worker.ask(&json!({"what": "memory"}))?["rss_mb"].as_f64().context("no memory"),
        }
    }

    /// One measurement; nothing where it did not keep up with a lower rate.
    fn measure(&mut self, what: &'static str, rate: Option<u32>) -> Result<Option<Value>> {
        if self.behind.contains(what) {
            return Ok(None);
        }
        let cpu = self.peer.as_ref().map(Peer::cpu).transpose()?;
        let mut seen = self.worker.ask(&json!({"what": what, "rate": rate, "seconds": SECONDS}))?;
        if let (Some(peer), Some(before)) = (&self.peer, cpu) {
            let calls = seen["calls"].as_f64().unwrap_or_default().max(1.0);
            seen["cpu_ms_per_call"] = json!(thousandths((peer.cpu()? - before) * 1e3 / calls));
        }
        if seen["keeps_up"] != true {
            self.behind.insert(what);
        }
        Ok(Some(seen))
    }
}

/// Measures everything, with the peers that are installed.
pub(crate) async fn run() -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let provider = Provider::start(Conduct::Talks)?;
    let peers = peers::start(provider.address(), folder.path()).await?;
    // What follows waits for other processes and has nothing else to do.
    tokio::task::spawn_blocking(move || measure(provider.address(), peers)).await?
}

fn measure(provider: SocketAddr, peers: Vec<Peer>) -> Result<Value> {
    let direct = Whom::Http { address: provider, path: "/v1/chat/completions", model: "small" };
    let mut subjects = vec![
        Subject::of(DIRECT, &direct)?,
        Subject::of(OURS, &Whom::Ours { provider, has_customers: false })?,
        Subject::of(OURS_CUSTOMERS, &Whom::Ours { provider, has_customers: true })?,
    ];
    let mut started = Map::new();
    for peer in peers {
        started.insert(peer.name.to_owned(), json!((peer.started_in.as_secs_f64() * 1e3).round()));
        let subject = Subject::of(peer.name, &peer.whom)?;
        subjects.push(Subject { peer: Some(peer), ..subject });
    }

    let (mut idle, mut warm) = (Map::new(), Map::new());
    for subject in &mut subjects {
        // The first call opens what is opened once.
        idle.insert(subject.name.to_owned(), json!(subject.memory()?.round()));
        for what in ["plain", "stream"] {
            subject.worker.ask(&json!({"what": what, "rate": null, "seconds": 1.0}))?;
        }
    }
    let mut measured = Map::new();
    for what in ["plain", "stream"] {
        let mut rates = Map::new();
        for rate in RATES {
            let mut row = Map::new();
            // One after the other within a rate: what disturbs the machine disturbs all alike.
            for subject in &mut subjects {
                if let Some(seen) = subject.measure(what, rate)? {
                    row.insert(subject.name.to_owned(), seen);
                }
            }
            add_what_is_added(&mut row, what);
            rates.insert(rate_name(rate), Value::Object(row));
        }
        measured.insert(what.to_owned(), Value::Object(rates));
    }
    for subject in &mut subjects {
        warm.insert(subject.name.to_owned(), json!(subject.memory()?.round()));
    }
    let streams = streams(&mut subjects)?;
    let mut paid = Map::new();
    for subject in &mut subjects {
        let closed = subject.worker.ask(&json!({"what": "close"}))?;
        if !closed["paid_for"].is_null() {
            paid.insert(subject.name.to_owned(), closed);
        }
    }
    let kept = kept(&measured, &streams, &paid);
    Ok(json!({
        "seconds_each": SECONDS, "added": measured, "streams_at_once": streams, "ledger": paid, "start_ms": started,
        "rss_mb": {"idle": idle, "after_load": warm}, "kept": kept,
    }))
}

/// The difference to the direct call, which was measured in the same row.
fn add_what_is_added(row: &mut Map<String, Value>, what: &str) {
    let Some(direct) = row.get(DIRECT).cloned() else { return };
    let (p50, p99) = if what == "plain" { ("p50_ms", "p99_ms") } else { ("first_p50_ms", "first_p99_ms") };
    for (name, seen) in row.iter_mut().filter(|(name, _)| *name != DIRECT) {
        let less =
            |key: &str| thousandths(seen[key].as_f64().unwrap_or_default() - direct[key].as_f64().unwrap_or_default());
        let (added, added_p99) = (less(p50), less(p99));
        let is_ours = name.starts_with(OURS);
        let cpu = if is_ours { less("cpu_ms_per_call") } else { seen["cpu_ms_per_call"].as_f64().unwrap_or_default() };
        seen["added_p50_ms"] = json!(added);
        seen["added_p99_ms"] = json!(added_p99);
        seen["added_cpu_ms"] = json!(cpu);
    }
}

/// Memory while very many streams are open. A proxy that cannot serve them as quickly as they are written is not waited for.
fn streams(subjects: &mut [Subject]) -> Result<Value> {
    let mut all = Map::new();
    for subject in subjects.iter_mut().filter(|subject| [DIRECT, OURS, TENSORZERO].contains(&subject.name)) {
        let before = subject.memory()?;
        let mut seen = subject.worker.ask(&json!({"what": "slow streams", "number": STREAMS}))?;
        if subject.peer.is_some() {
            // Of the proxy at the end, when it has given nothing back yet.
            seen["rss_growth_mb"] = json!(((subject.memory()? - before) * 10.0).round() / 10.0);
        }
        all.insert(subject.name.to_owned(), seen);
    }
    ensure!(all.contains_key(OURS), "no streams were measured");
    Ok(Value::Object(all))
}

fn kept(measured: &Map<String, Value>, streams: &Value, paid: &Map<String, Value>) -> Value {
    let at = |what: &str, rate: &str, name: &str, key: &str| measured[what][rate][name][key].as_f64();
    let ours = |what: &str, rate: &str, key: &str| at(what, rate, OURS, key);
    let rates = || RATES.into_iter().map(rate_name);
    let not_behind = |what: &str| {
        rates().all(|rate| match (ours(what, &rate, "added_p50_ms"), at(what, &rate, TENSORZERO, "added_p50_ms")) {
            (Some(ours), Some(theirs)) => ours <= theirs,
            (Some(_), None) => true,
            (None, _) => false,
        })
    };
    let below = |number: Option<f64>, limit: f64| number.is_some_and(|number| number < limit);
    json!({
        "whole call: p50 not above TensorZero's at any rate": not_behind("plain"),
        "first token: p50 not above TensorZero's at any rate": not_behind("stream"),
        "whole call: p99 under 1 ms added at 500/s": below(ours("plain", "500/s", "added_p99_ms"), P99_ADDED_MS),
        "first token: under 1 ms added at every rate":
            rates().all(|rate| below(ours("stream", &rate, "added_p50_ms"), FIRST_ADDED_MS)),
        "1,000 streams: under 100 MB, and all end well":
            streams[OURS]["ended_well"] == STREAMS && below(streams[OURS]["rss_growth_mb"].as_f64(), STREAMS_MB),
        "the ledger has every call once, and nothing is left reserved":
            paid.len() == 2 && paid.values().all(|ledger| ledger["paid_for"] == ledger["calls"]),
    })
}

fn rate_name(rate: Option<u32>) -> String {
    rate.map_or_else(|| "one at a time".to_owned(), |rate| format!("{rate}/s"))
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// The figures as tables.
pub(crate) fn print(figures: &Value) {
    let empty = Map::new();
    for what in ["plain", "stream"] {
        let (first, title) = if what == "plain" { ("", "whole call") } else { ("first_", "first token of a stream") };
        println!("{title}, ms                            p50      p99   added p50  added p99  added CPU   calls/s");
        for rate in RATES.into_iter().map(rate_name) {
            println!("  {rate}");
            for name in NAMES {
                let seen = &figures["added"][what][&rate][name];
                if seen.is_null() {
                    continue;
                }
                let number = |key: &str| seen[key].as_f64().map_or("-".to_owned(), |number| format!("{number:.3}"));
                println!(
                    "    {name:<29} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}{}",
                    number(&format!("{first}p50_ms")),
                    number(&format!("{first}p99_ms")),
                    number("added_p50_ms"),
                    number("added_p99_ms"),
                    number("added_cpu_ms"),
                    seen["per_s"],
                    if seen["keeps_up"] == true { "" } else { "  does not keep up" },
                );
            }
        }
    }
    for key in ["rss_mb", "streams_at_once", "ledger", "start_ms"] {
        println!("{key}");
        for (name, value) in figures[key].as_object().unwrap_or(&empty) {
            println!("    {name:<29} {value}");
        }
    }
    for (promise, is_kept) in figures["kept"].as_object().unwrap_or(&empty) {
        println!("{} {promise}", if *is_kept == true { "kept  " } else { "MISSED" });
    }
}
