//! The process that makes the calls: what it uses is what the calls cost, since nothing else runs in it. It takes one line of JSON
//! for each measurement and answers with one.

use std::{
    io::{BufRead, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::callers::{Caller, Http, Mode, Ours, Took};
use crate::{
    load::{milliseconds, quantile_of},
    process,
};

/// A rate is kept while the calls need no more than this part longer than they should, and none fails.
const KEPT: f64 = 1.1;
/// Calls on their way beside each other, beyond which a rate is not kept.
const MOST_OPEN: usize = 2_000;
/// A call that needs longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom a worker calls.
pub(crate) enum Whom {
    Http { address: SocketAddr, path: &'static str, model: &'static str },
    Ours { provider: SocketAddr, has_customers: bool },
}

/// A worker from outside.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: std::io::BufReader<ChildStdout>,
}

impl Worker {
    pub(crate) fn start(whom: &Whom) -> Result<Self> {
        let arguments = match whom {
            Whom::Http { address, path, model } => {
                vec!["http".to_owned(), address.to_string(), (*path).to_owned(), (*model).to_owned()]
            }
            Whom::Ours { provider, has_customers } => {
                let customers = if *has_customers { "customers" } else { "nobody" };
                vec!["ours".to_owned(), provider.to_string(), customers.to_owned()]
            }
        };
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--gateway-worker")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("no stdin")?;
        let output = std::io::BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, input, output })
    }

    /// Lets it measure `wish`.
    pub(crate) fn ask(&mut self, wish: &Value) -> Result<Value> {
        writeln!(self.input, "{wish}")?;
        self.input.flush()?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the worker ended at {wish}");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The process may be gone already, and then nothing is left to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker from inside: `--gateway-worker http ADDRESS PATH MODEL` or `--gateway-worker ours PROVIDER customers|nobody`.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let caller = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["http", address, path, model] => Caller::Http(Http::new(address.parse()?, path, model)),
        ["ours", provider, customers] => {
            Caller::Ours(Box::new(Ours::new(provider.parse()?, folder.path(), *customers == "customers")?))
        }
        other => bail!("a worker knows no {other:?}"),
    };
    let caller = Arc::new(caller);
    let mut paid = 0;
    loop {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        let line = line.await??;
        if line.is_empty() {
            return Ok(());
        }
        let wish: Value = serde_json::from_str(&line)?;
        let seconds = Duration::from_secs_f64(wish["seconds"].as_f64().unwrap_or_default());
        let answer = match wish["what"].as_str() {
            Some("plain") => measure(&caller, Mode::Plain, wish["rate"].as_f64(), seconds, &mut paid).await?,
            Some("stream") => measure(&caller, Mode::Stream, wish["rate"].as_f64(), seconds, &mut paid).await?,
            Some("slow streams") => streams(&caller, wish["number"].as_u64().unwrap_or_default(), &mut paid).await?,
            Some("memory") => json!({"rss_mb": process::resident(std::process::id())?}),
            Some("close") => json!({"calls": paid, "paid_for": caller.close().await?}),
            other => bail!("a worker measures no {other:?}"),
        };
        println!("{answer}");
    }
}

async fn measure(caller: &Arc<Caller>, mode: Mode, rate: Option<f64>, time: Duration, paid: &mut u64) -> Result<Value> {
    let (cpu, started) = (process::cpu(std::process::id())?, Instant::now());
    let outcomes = match rate {
        None => one_at_a_time(caller, mode, time).await,
        Some(rate) => open_loop(caller, mode, rate, time).await?,
    };
    let took = started.elapsed();
    let cpu = process::cpu(std::process::id())? - cpu;
    let (mut whole, mut first, mut failed, mut error) = (Vec::new(), Vec::new(), 0_u64, None);
    for outcome in outcomes {
        match outcome {
            Ok(took) => {
                whole.push(took.whole);
                first.extend(took.first);
            }
            Err(text) => {
                failed += 1;
                error = Some(text);
            }
        }
    }
    whole.sort();
    first.sort();
    *paid += whole.len() as u64 + failed;
    let wanted = rate.map_or(0.0, |rate| (rate * time.as_secs_f64()).round());
    let calls = whole.len() as f64;
    let is_kept = failed == 0 && calls >= wanted && took.as_secs_f64() <= time.as_secs_f64() * KEPT;
    Ok(json!({
        "calls": whole.len(), "failed": failed, "error": error, "keeps_up": rate.is_none() || is_kept,
        "per_s": (calls / took.as_secs_f64()).round(),
        "p50_ms": fine(&whole, 0.5), "p99_ms": fine(&whole, 0.99),
        "first_p50_ms": fine(&first, 0.5), "first_p99_ms": fine(&first, 0.99),
        "cpu_ms_per_call": (cpu * 1e6 / calls.max(1.0)).round() / 1e3,
        "rss_mb": process::resident(std::process::id())?,
    }))
}

/// In thousandths.
fn fine(sorted: &[Duration], quantile: f64) -> f64 {
    (quantile_of(sorted, quantile).as_secs_f64() * 1e6).round() / 1e3
}

type Outcome = Result<Took, String>;

async fn call(caller: Arc<Caller>, mode: Mode, began: Instant) -> Outcome {
    let limited = tokio::time::timeout(PATIENCE, caller.call(mode, began)).await;
    limited.map_err(|_| "no answer in time".to_owned())?.map_err(|error| format!("{error:#}"))
}

async fn one_at_a_time(caller: &Arc<Caller>, mode: Mode, time: Duration) -> Vec<Outcome> {
    let (started, mut outcomes) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        outcomes.push(call(Arc::clone(caller), mode, Instant::now()).await);
    }
    outcomes
}

/// At `rate` a second, whatever the answers do.
async fn open_loop(caller: &Arc<Caller>, mode: Mode, rate: f64, time: Duration) -> Result<Vec<Outcome>> {
    let number = (rate * time.as_secs_f64()).round() as usize;
    let (started, mut tasks, mut outcomes) = (Instant::now(), JoinSet::new(), Vec::with_capacity(number));
    for n in 0..number {
        let due = started + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        while let Some(outcome) = tasks.try_join_next() {
            outcomes.push(outcome?);
        }
        if tasks.len() >= MOST_OPEN {
            break;
        }
        tasks.spawn(call(Arc::clone(caller), mode, Instant::now()));
    }
    while let Some(outcome) = tasks.join_next().await {
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}

/// So many slow streams at once, and how much memory they take.
async fn streams(caller: &Arc<Caller>, number: u64, paid: &mut u64) -> Result<Value> {
    let id = std::process::id();
    let (before, mut highest) = (process::resident(id)?, 0.0_f64);
    let (started, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..number {
        tasks.spawn(call(Arc::clone(caller), Mode::SlowStream, Instant::now()));
    }
    *paid += number;
    let (mut ended, mut error, mut look) = (0, None, tokio::time::interval(Duration::from_millis(100)));
    loop {
        tokio::select! {
            outcome = tasks.join_next() => match outcome {
                Some(outcome) => match outcome? {
                    Ok(_) => ended += 1,
                    Err(text) => error = Some(text),
                },
                None => break,
            },
            _ = look.tick() => highest = highest.max(process::resident(id)?),
        }
    }
    let growth = (highest - before).max(0.0);
    Ok(json!({
        "streams": number, "ended_well": ended, "error": error, "took_ms": milliseconds(started.elapsed()),
        "rss_before_mb": before, "rss_growth_mb": (growth * 10.0).round() / 10.0,
    }))
}
