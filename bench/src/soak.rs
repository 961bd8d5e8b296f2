//! A steady load for minutes: what grows, grows for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{load::Load, process, receiver::Receiver, server::Server};

/// How often memory and files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// This part of the time at the beginning does not count: caches fill, connections are made.
const WARM_UP: f64 = 0.2;
/// The promises: megabytes and file descriptors a minute.
const MEMORY_SLOPE: f64 = 1.0;
const FILES_SLOPE: f64 = 1.0;

/// The server's state at a moment.
struct Sample {
    minutes: f64,
    memory: f64,
    files: f64,
}

/// Sends `rate` tickets a second for `seconds`, and tells how memory and file descriptors went.
pub(crate) async fn run(
    server: &Server,
    receiver: &Receiver,
    seconds: u64,
    rate: f64,
    connections: usize,
) -> Result<Value> {
    let pid = server.pid();
    let is_over = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn(watch(pid, Arc::clone(&is_over)));
    let tickets = (seconds as f64 * rate) as usize;
    let latencies = Load::tickets("soak", tickets).open(server, connections, rate).await?;
    receiver.wait_for(tickets, Duration::from_secs(60)).await?;
    is_over.store(true, Ordering::Relaxed);
    let samples = watched.await??;
    let dead = server.dead_letters()?;

    let counted = &samples[(samples.len() as f64 * WARM_UP) as usize..];
    ensure!(counted.len() > 2, "{seconds} s are too short to see anything grow");
    let memory = slope(counted.iter().map(|sample| (sample.minutes, sample.memory)));
    let files = slope(counted.iter().map(|sample| (sample.minutes, sample.files)));
    let (least, most) = counted
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), sample| (least.min(sample.files), most.max(sample.files)));
    let ends = |sample: Option<&Sample>| sample.map(|sample| sample.memory.round());
    Ok(json!({
        "seconds": seconds,
        "tickets": tickets,
        "written_back": receiver.seen(),
        // Any other answer than 202 would have ended the run.
        "errors": 0,
        "dead_letters": dead,
        "accept": latencies,
        "memory_mb": {"after_warm_up": ends(counted.first()), "at_the_end": ends(counted.last()), "per_minute": hundredths(memory)},
        "file_descriptors": {"least": least, "most": most, "per_minute": hundredths(files)},
        "kept": {
            "memory grows by less than 1 MB a minute": memory < MEMORY_SLOPE,
            "file descriptors grow by less than 1 a minute": files < FILES_SLOPE,
            "everything is written back": receiver.seen() == tickets && dead == 0,
        },
    }))
}

async fn watch(pid: u32, is_over: Arc<AtomicBool>) -> Result<Vec<Sample>> {
    let started = Instant::now();
    let mut samples = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let minutes = started.elapsed().as_secs_f64() / 60.0;
        samples.push(Sample { minutes, memory: process::resident(pid)?, files: process::files(pid)? as f64 });
        tokio::time::sleep(EVERY).await;
    }
    Ok(samples)
}

/// The slope of the line through `points` by least squares.
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let number = points.clone().count().max(1) as f64;
    let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), point| (x + point.0 / number, y + point.1 / number));
    let (up, across) = points
        .fold((0.0, 0.0), |(up, across), point| (up + (point.0 - x) * (point.1 - y), across + (point.0 - x).powi(2)));
    if across > 0.0 { up / across } else { 0.0 }
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        let line = (0..100).map(|n| (f64::from(n) / 10.0, 50.0 + f64::from(n) / 10.0 * 2.5));
        assert!((slope(line) - 2.5).abs() < 1e-9);
        let saw = (0..1_000).map(|n| (f64::from(n) / 10.0, f64::from(n % 2)));
        assert!(slope(saw).abs() < 1e-3, "what goes up and down does not grow");
        assert_eq!(slope([(1.0, 5.0)].into_iter()), 0.0);
    }
}
