//! The server learns beside its work: models that another process put in force are taken over, and a tenant whose model is due
//! gets a new one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use switchboard_core::{
    access::audit::{Actor, By},
    app::App,
    error::Result,
    learning::{self, Options, Verdict},
    tenants::Tenant,
};

/// How often the version in force is looked at: a rollback by command is in force within this time.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// So many looks for one look whether a training is due.
const LOOKS_PER_TRAINING: u32 = 15;

/// Looks after the models of all tenants, until `stopped` says so; new ones are made when `trains`.
pub(crate) async fn keep_learning(app: App, trains: bool, stopped: impl Fn() -> bool) {
    let mut looks = 0u32;
    let is_training = Arc::new(AtomicBool::new(false));
    while !stopped() {
        let started = app.clock.monotonic();
        let tenants = app.tenants.list().await.unwrap_or_else(|error| {
            tracing::error!(error = error.report(), "the tenants cannot be listed");
            Vec::new()
        });
        for id in tenants {
            let tenant = match app.tenants.tenant(&id).await {
                Ok(Some(tenant)) => tenant,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(tenant = %id, error = error.report(), "no model without a configuration");
                    continue;
                }
            };
            // A broken model is told at each change, not at each look.
            if let Err(error) = learning::refresh(&app, &tenant).await
                && looks.is_multiple_of(LOOKS_PER_TRAINING)
            {
                tracing::error!(tenant = %id, error = error.report(), "a model is not in force");
            }
            if trains && looks.is_multiple_of(LOOKS_PER_TRAINING) {
                train_if_due(&app, &tenant, &is_training).await;
            }
        }
        looks = looks.wrapping_add(1);
        // With very many tenants a look takes long; it never takes more than a twentieth of one processor.
        let took = app.clock.monotonic().saturating_sub(started);
        app.clock.sleep(REFRESH_EVERY.max(took * 20)).await;
    }
}

/// Starts a training on a thread of its own, one at a time: the server's tickets come first.
async fn train_if_due(app: &App, tenant: &Arc<Tenant>, is_training: &Arc<AtomicBool>) {
    let due = match learning::due(app, tenant).await {
        Ok(Some(due)) => due,
        Ok(None) => return,
        Err(error) => {
            tracing::error!(tenant = %tenant.id, error = error.report(), "whether a model is due cannot be told");
            return;
        }
    };
    if is_training.swap(true, Ordering::AcqRel) {
        return;
    }
    tracing::info!(tenant = %tenant.id, ?due, "training begins");
    let (app, tenant, is_training) = (app.clone(), Arc::clone(tenant), Arc::clone(is_training));
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let outcome = runtime.block_on(learning::train(&app, &tenant, Options::default(), &|_, _| ()));
        is_training.store(false, Ordering::Release);
        if let Ok(outcome) = &outcome
            && let Err(error) =
                runtime.block_on(learning::audit::trained(&app, &By::new(Actor::System), &tenant.id, outcome))
        {
            tracing::error!(tenant = %tenant.id, error = error.report(), "a training cannot be noted");
        }
        tell(&tenant, outcome);
    });
}

fn tell(tenant: &Tenant, outcome: Result<learning::Outcome>) {
    match outcome {
        Ok(outcome) => {
            let record = &outcome.record;
            let accuracy = record.held_back.team_accuracy();
            let in_force = outcome.verdict != Verdict::Worse;
            metrics::counter!("switchboard_trainings_total", "in_force" => if in_force { "yes" } else { "no" })
                .increment(1);
            tracing::info!(tenant = %tenant.id, version = %record.version, learned_from = record.learned_from, ?accuracy, in_force, "training ended");
        }
        Err(error) => {
            metrics::counter!("switchboard_trainings_failed_total").increment(1);
            tracing::error!(tenant = %tenant.id, error = error.report(), "training failed");
        }
    }
}
