//! Each minute: what was stored and never rung for is rung for again, and tenants whose model is due are trained.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use switchboard_aws::Doorbell as _;
use switchboard_core::{
    access::audit::{Actor, By},
    error,
    learning::{self, Options, audit},
};

use crate::wire::Wired;

/// An event that waits longer than this was missed by its message.
const MISSED: Duration = Duration::from_secs(60);
/// Events rung for in one run; the rest is for the next one.
const RINGS: usize = 10_000;

pub(crate) async fn run(wired: Wired) -> Result<()> {
    let wired = Arc::new(wired);
    let handler = service_fn(move |_: LambdaEvent<Value>| {
        let wired = Arc::clone(&wired);
        async move {
            let rung = sweep(&wired).await;
            let trained = train(&wired).await;
            wired.metrics.flush();
            match rung {
                Ok(rung) => Ok(json!({"rung": rung, "trained": trained})),
                Err(error) => Err(lambda_runtime::Error::from(error.report())),
            }
        }
    });
    lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!("{error}"))
}

async fn sweep(wired: &Wired) -> error::Result<usize> {
    let depth = wired.app.queue.depth().await?;
    metrics::gauge!("switchboard_queue_waiting").set(depth.waiting as f64);
    metrics::gauge!("switchboard_dead_letters").set(depth.dead as f64);
    let missed = wired.store.unfinished(MISSED, RINGS).await?;
    if !missed.is_empty() {
        tracing::warn!(events = missed.len(), "events were not worked on in time and are rung for again");
        wired.bell.ring(&missed, Duration::ZERO).await;
    }
    Ok(missed.len())
}

/// Trains the first tenant whose model is due: one a run, within the function's time.
async fn train(wired: &Wired) -> Option<String> {
    let app = &wired.app;
    let tenants = match app.tenants.list().await {
        Ok(tenants) => tenants,
        Err(error) => {
            tracing::error!(error = error.report(), "the tenants cannot be listed");
            return None;
        }
    };
    for id in tenants {
        let trained = async {
            let Some(tenant) = app.tenants.tenant(&id).await? else { return Ok(false) };
            learning::refresh(app, &tenant).await?;
            if learning::due(app, &tenant).await?.is_none() {
                return Ok(false);
            }
            let outcome = learning::train(app, &tenant, Options::default(), &|_, _| ()).await?;
            audit::trained(app, &By::new(Actor::System), &tenant.id, &outcome).await?;
            error::Result::Ok(true)
        };
        match trained.await {
            Ok(true) => return Some(id.to_string()),
            Ok(false) => {}
            Err(error) => tracing::error!(tenant = %id, error = error.report(), "a model cannot be trained"),
        }
    }
    None
}
