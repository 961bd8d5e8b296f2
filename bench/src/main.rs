//! Load tests of the real binary, built for release: `cargo xtask bench`. In the same run it measures what bounds them,
//! an empty axum handler and SQLite's group commit on the same disk, because an absolute figure of a noisy machine says
//! little. It knows the binary from outside and nothing of its code, but for the gateway to language models, which is a library
//! and is measured as one; the crash test, `--kills`, is `testkit::crash`.
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod client;
mod cold_start;
mod gateway;
mod limits;
mod load;
mod outage;
mod overload;
mod process;
mod provider;
mod receiver;
mod recovery;
mod server;
mod soak;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use switchboard_testkit::crash::{self, Plan};

use crate::{cold_start::Function, load::Load, receiver::Receiver, server::Server};

const CONNECTIONS: usize = 64;

/// What is to be measured.
enum Wish {
    /// Throughput, latency and memory of so many tickets.
    Figures {
        tickets: usize,
        as_json: bool,
    },
    Overload {
        seconds: u64,
    },
    Recovery,
    Kills {
        kills: usize,
        seed: u64,
    },
    Soak {
        seconds: u64,
        rate: f64,
    },
    /// A provider of models that fails for so long.
    Outage {
        seconds: u64,
    },
    /// What the gateway to language models adds to a call.
    Gateway {
        as_json: bool,
    },
    /// The process that makes those calls.
    GatewayWorker {
        arguments: Vec<String>,
    },
    /// Starts of a Lambda function, whose program and arguments these are.
    ColdStart {
        command: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    let wish = wish(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match wish {
        Wish::Figures { tickets, as_json } => {
            let figures = runtime.block_on(run(tickets))?;
            if as_json {
                println!("{figures:#}");
            } else {
                print(&figures);
            }
        }
        Wish::Overload { seconds } => println!("{:#}", runtime.block_on(run_overload(seconds))?),
        Wish::Gateway { as_json } => {
            let figures = runtime.block_on(gateway::run())?;
            if as_json {
                println!("{figures:#}");
            } else {
                gateway::print(&figures);
            }
            return Ok(exit_code(is_kept(&figures)));
        }
        Wish::GatewayWorker { arguments } => runtime.block_on(gateway::work(&arguments))?,
        Wish::ColdStart { command } => {
            let role = std::env::var("SWITCHBOARD_ROLE").unwrap_or_else(|_| "http".to_owned());
            let function = Function::of_role(&role, command)?;
            println!("{:#}", runtime.block_on(cold_start::measure(&function))?);
        }
        Wish::Recovery => println!("{:#}", runtime.block_on(run_recovery(100_000))?),
        Wish::Kills { kills, seed } => {
            let folder = tempfile::tempdir()?;
            let plan = Plan { binary: server::binary(), kills, seed, clients: CONNECTIONS };
            let report = runtime.block_on(crash::run(&plan, folder.path()));
            print!("{report}");
            return Ok(exit_code(report.is_kept()));
        }
        Wish::Soak { seconds, rate } => {
            let figures = runtime.block_on(run_soak(seconds, rate))?;
            println!("{figures:#}");
            return Ok(exit_code(is_kept(&figures)));
        }
        Wish::Outage { seconds } => {
            let figures = runtime.block_on(outage::run(seconds))?;
            println!("{figures:#}");
            return Ok(exit_code(figures["outages"].as_array().is_some_and(|outages| outages.iter().all(is_kept))));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether every promise in `kept` is.
fn is_kept(figures: &Value) -> bool {
    figures["kept"].as_object().is_some_and(|kept| kept.values().all(|kept| *kept == true))
}

fn exit_code(is_kept: bool) -> ExitCode {
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the arguments ask for.
fn wish(arguments: &[String]) -> Result<Wish> {
    let mut arguments = arguments.iter().map(String::as_str).peekable();
    let (mut tickets, mut as_json) = (20_000, false);
    let (mut recovery, mut overload, mut soak, mut outage, mut gateway) = (false, false, false, false, false);
    let (mut kills, mut seed, mut seconds, mut rate) = (None, 20_261_121, None, 50.0);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().with_context(|| format!("{argument} needs a number"))?;
            text.parse::<u64>().with_context(|| format!("{argument} needs a number, not {text}"))
        };
        match argument {
            "--tickets" => tickets = number()? as usize,
            "--json" => as_json = true,
            "--recovery" => recovery = true,
            "--overload" => overload = true,
            "--soak" => soak = true,
            "--outage" => outage = true,
            "--gateway" => gateway = true,
            "--gateway-worker" => return Ok(Wish::GatewayWorker { arguments: arguments.map(str::to_owned).collect() }),
            "--seconds" => seconds = Some(number()?),
            "--rate" => rate = number()? as f64,
            "--seed" => seed = number()?,
            "--kills" => {
                let given = arguments.next_if(|next| !next.starts_with("--"));
                let given = given.map_or(Ok(2_000), |text| text.parse().with_context(|| format!("--kills {text}")));
                kills = Some(given?);
            }
            "--cold-start" => {
                let command: Vec<_> = arguments.map(str::to_owned).collect();
                anyhow::ensure!(!command.is_empty(), "--cold-start needs a program, which may have arguments");
                return Ok(Wish::ColdStart { command });
            }
            other => anyhow::bail!(
                "unknown argument {other}; there are --tickets N, --json, --recovery, --overload [--seconds N], \
                 --kills [N] [--seed N], --soak [--seconds N] [--rate N], --outage [--seconds N], --gateway and \
                 --cold-start PROGRAM [ARGUMENTS…]"
            ),
        }
    }
    Ok(match kills {
        Some(kills) => Wish::Kills { kills, seed },
        None if soak => Wish::Soak { seconds: seconds.unwrap_or(600), rate },
        None if gateway => Wish::Gateway { as_json },
        None if outage => Wish::Outage { seconds: seconds.unwrap_or(60) },
        None if overload || seconds.is_some() => Wish::Overload { seconds: seconds.unwrap_or(20) },
        None if recovery => Wish::Recovery,
        None => Wish::Figures { tickets, as_json },
    })
}

async fn run_soak(seconds: u64, rate: f64) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start().await?;
    let server = Server::start(&folder.path().join("flat"), &receiver, None).await?;
    soak::run(&server, &receiver, seconds, rate, CONNECTIONS).await
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
