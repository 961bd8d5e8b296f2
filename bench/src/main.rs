//! Load tests of the real binary, built for release: `cargo xtask bench`. In the same run it measures what bounds them,
//! an empty axum handler and SQLite's group commit on the same disk, because an absolute figure of a noisy machine says
//! little. It knows the binary's HTTP interface and nothing of its code.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod limits;
mod load;
mod overload;
mod process;
mod receiver;
mod recovery;
mod server;

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{load::Load, receiver::Receiver, server::Server};

const CONNECTIONS: usize = 64;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut tickets = 20_000;
    let mut as_json = false;
    let mut overload = None;
    let mut recovery = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tickets" => {
                let number = arguments.next().context("--tickets needs a number")?;
                tickets = number.parse().context("--tickets needs a number")?;
            }
            "--recovery" => recovery = true,
            "--overload" => overload = Some(overload.unwrap_or(20)),
            "--seconds" => {
                let number = arguments.next().context("--seconds needs a number")?;
                overload = Some(number.parse().context("--seconds needs a number")?);
            }
            "--json" => as_json = true,
            other => anyhow::bail!(
                "unknown argument {other}; there are --tickets N, --recovery, --overload, --seconds N (of the overload) and --json"
            ),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(seconds) = overload {
        println!("{:#}", runtime.block_on(run_overload(seconds))?);
        return Ok(());
    }
    if recovery {
        println!("{:#}", runtime.block_on(run_recovery(100_000))?);
        return Ok(());
    }
    let figures = runtime.block_on(run(tickets))?;
    if as_json {
        println!("{figures:#}");
    } else {
        print(&figures);
    }
    Ok(())
}

async fn run_overload(seconds: u64) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start().await?;
    let server = Server::start(&folder.path().join("flat"), &receiver, Some(overload::BACKLOG)).await?;
    let warm = Load::tickets("warm", 2_000);
    warm.closed(&server, CONNECTIONS).await?;
    receiver.wait_for(2_000, Duration::from_secs(60)).await?;
    overload::run(&server, &receiver, seconds).await
}

async fn run_recovery(waiting: usize) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start().await?;
    let server = Server::start(&folder.path().join("flat"), &receiver, None).await?;
    recovery::run(server, &receiver, waiting).await
}

async fn run(tickets: usize) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let empty = limits::empty_handler(CONNECTIONS, tickets).await?;
    let database = folder.path().join("limit.db");
    let commits = tokio::task::spawn_blocking(move || limits::group_commit(&database)).await??;
    let receiver = Receiver::start().await?;

    let server = Server::start(&folder.path().join("flat"), &receiver, None).await?;
    let warm = Load::tickets("warm", 2_000);
    warm.closed(&server, CONNECTIONS).await?;
    receiver.wait_for(2_000, Duration::from_secs(60)).await?;

    let before = process::cpu(server.pid())?;
    let load = Load::tickets("e2e", tickets);
    let (accepted, end_to_end) = {
        let seen = receiver.seen();
        let started = std::time::Instant::now();
        let accepted = load.closed(&server, CONNECTIONS).await?;
        receiver.wait_for(seen + tickets, Duration::from_secs(300)).await?;
        (accepted, tickets as f64 / started.elapsed().as_secs_f64())
    };
    let cpu = (process::cpu(server.pid())? - before) / tickets as f64 * 1e3;
    let memory = process::memory(server.pid())?;

    let paced = Load::tickets("paced", 5_000).open(&server, CONNECTIONS, 500.0).await?;
    receiver.wait_for(2_000 + tickets + 5_000, Duration::from_secs(120)).await?;
    let start = server.restarts(10).await?;
    Ok(json!({
        "limits": {"empty_handler_per_s": empty, "sqlite": commits},
        "end_to_end_tickets_per_s": end_to_end.round(),
        "server_cpu_ms_per_ticket": (cpu * 1e3).round() / 1e3,
        "accept_closed_loop": accepted,
        "accept_at_500_per_s": paced,
        "rss_mb": memory,
        "start_to_first_answer_ms": start,
        "tickets": tickets,
        "connections": CONNECTIONS,
    }))
}

fn print(figures: &Value) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{cores} cores shared by server, load and receiver; {} tickets, {CONNECTIONS} connections",
        figures["tickets"]
    );
    println!("limits in the same run");
    println!("  empty axum handler            {} requests/s", figures["limits"]["empty_handler_per_s"]);
    for (name, rate) in figures["limits"]["sqlite"].as_object().into_iter().flatten() {
        println!("  sqlite {name:<22} {rate}");
    }
    println!("switchboard");
    println!("  end to end, written back      {} tickets/s", figures["end_to_end_tickets_per_s"]);
    println!("  server CPU per ticket         {} ms", figures["server_cpu_ms_per_ticket"]);
    println!("  accept, closed loop           {}", figures["accept_closed_loop"]);
    println!("  accept at 500/s, open loop    {}", figures["accept_at_500_per_s"]);
    println!("  resident memory               {}", figures["rss_mb"]);
    println!("  start to first answer         {}", figures["start_to_first_answer_ms"]);
}
