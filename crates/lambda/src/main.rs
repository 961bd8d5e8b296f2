//! Switchboard on AWS Lambda: one artifact, whose role the variable `SWITCHBOARD_ROLE` chooses. It wires the core to the
//! adapters of AWS and turns events of Lambda into calls of the core; it decides nothing.

mod http;
mod jobs;
mod no_operator;
mod schedule;
mod settings;
mod stream;
mod wire;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::settings::{Role, Settings};

/// The same allocator as the single binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let started = Settings::of_environment(|name| std::env::var(name).ok()).and_then(|settings| {
        log(&settings);
        // A function has one request at a time: more threads would only share one small processor.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
        runtime.block_on(run(settings))
    });
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<()> {
    let role = settings.role;
    let wired = wire::wire(settings).await?;
    match role {
        Role::Http => http::run(wired).await,
        Role::Jobs => jobs::run(wired).await,
        Role::Stream => stream::run(wired).await,
        Role::Schedule => schedule::run(wired).await,
    }
}

/// JSON lines: CloudWatch finds fields in them.
fn log(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log).unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().flatten_event(true).without_time().with_env_filter(filter).init();
}
