//! Each minute: what was stored and never rung for is rung for again, and tenants whose model is due are trained.

use std::{sync::Arc, time::Duration};

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::{Value, json};
use switchboard_aws::Doorbell as _;
use switchboard_core::{
    access::audit::{Actor, By},
    app::App,
    error::Result,
    ids::TenantId,
    learning::{self, Options, audit},
};

use crate::wire::Wired;

/// An event that waits longer than this was missed by its message.
const MISSED: Duration = Duration::from_secs(60);

pub(crate) async fn run(wired: Wired) -> anyhow::Result<()> {
    let wired = Arc::new(wired);
    let handler = service_fn(move |_: LambdaEvent<Value>| {
        let wired = Arc::clone(&wired);
        async move {
            let rung = sweep(&wired).await;
            let trained = train(&wired).await;
            wired.finish().await;
            match rung {
                Ok(rung) => Ok(json!({"rung": rung, "trained": trained})),
                Err(error) => Err(lambda_runtime::Error::from(error.report())),
            }
        }
    });
    lambda_runtime::run(handler).await.map_err(|error| anyhow::anyhow!("{error}"))
}

async fn sweep(wired: &Wired) -> Result<usize> {
    let depth = wired.app.queue.depth().await?;
    metrics::gauge!("switchboard_queue_waiting").set(depth.waiting as f64);
    metrics::gauge!("switchboard_queue_oldest_seconds").set(depth.oldest_ms as f64 / 1e3);
    metrics::gauge!("switchboard_dead_letters").set(depth.dead as f64);
    metrics::gauge!("switchboard_effects_unknown").set(wired.app.effects.unknown().await? as f64);
    let missed = wired.store.unfinished(MISSED).await?;
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
        match train_if_due(app, &id).await {
            Ok(true) => return Some(id.to_string()),
            Ok(false) => {}
            Err(error) => tracing::error!(tenant = %id, error = error.report(), "a model cannot be trained"),
        }
    }
    None
}

async fn train_if_due(app: &App, id: &TenantId) -> Result<bool> {
    let Some(tenant) = app.tenants.tenant(id).await? else { return Ok(false) };
    learning::refresh(app, &tenant).await?;
    if learning::due(app, &tenant).await?.is_none() {
        return Ok(false);
    }
    let outcome = learning::train(app, &tenant, Options::default(), &|_, _| ()).await?;
    audit::trained(app, &By::new(Actor::System), &tenant.id, &outcome).await?;
    Ok(true)
}
