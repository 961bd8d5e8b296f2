//! What the server does beside its work for access and its record: last uses are written down, the issuer's keys are kept
//! fresh, and a tenant's configuration that has changed is noted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use switchboard_core::{
    access::{
        audit::{Action, Actor, By, Details, Label},
        oidc::Oidc,
        uses::Uses,
    },
    app::App,
    error::Result,
    ids::TenantId,
    ports::{AuditFilter, OperatorStore, TenantScope},
};
use tokio::{sync::watch, task::JoinHandle};

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks after all of it until `stopped`; at the end, what was not written yet is.
pub(crate) fn start_upkeep(
    app: App,
    operator: Arc<dyn OperatorStore>,
    uses: Arc<Uses>,
    oidc: Option<Arc<Oidc>>,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut configurations = Configurations::default();
        loop {
            let started = app.clock.monotonic();
            configurations.look(&app).await;
            write_uses(&app, operator.as_ref(), &uses, false).await;
            if let Some(oidc) = &oidc {
                oidc.refresh().await;
            }
            // With very many tenants a look takes long; it never takes more than a twentieth of one processor.
            let took = app.clock.monotonic().saturating_sub(started);
            tokio::select! {
                () = app.clock.sleep(LOOK_EVERY.max(took * 20)) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        write_uses(&app, operator.as_ref(), &uses, true).await;
    })
}

async fn write_uses(app: &App, operator: &dyn OperatorStore, uses: &Uses, all: bool) {
    if let Err(error) = uses.write(app.keys.as_ref(), operator, app.clock.monotonic(), all).await {
        tracing::error!(error = error.report(), "when keys were last used cannot be written");
    }
}

/// The log's beginning: a first start, or the first one with a log.
pub(crate) async fn note_start(app: &App, is_first: bool) -> Result<()> {
    let by = By::new(Actor::System);
    let version = Details { to: Some(Label::new(env!("CARGO_PKG_VERSION"))), ..Details::default() };
    if app.audit.list(None, &AuditFilter::default(), 1).await?.is_empty() {
        let action = if is_first { Action::FirstStart } else { Action::LogBegin };
        app.audit.append(by.did(action, None).with(version)).await?;
    }
    Ok(())
}

/// The configurations that the log knows to be in force.
#[derive(Default)]
struct Configurations(BTreeMap<TenantId, Option<Label>>);

impl Configurations {
    /// Notes what has changed since the last look; the first one compares with the log.
    async fn look(&mut self, app: &App) {
        let ids = match app.tenants.list().await {
            Ok(ids) => ids,
            Err(error) => {
                tracing::error!(error = error.report(), "the tenants cannot be listed");
                return;
            }
        };
        let gone: Vec<_> = self.0.keys().filter(|known| !ids.contains(known)).cloned().collect();
        for id in ids.into_iter().chain(gone) {
            if let Err(error) = self.look_at(app, &id).await {
                tracing::error!(tenant = %id, error = error.report(), "a change of configuration cannot be noted");
            }
        }
    }

    async fn look_at(&mut self, app: &App, id: &TenantId) -> Result<()> {
        let Ok(now) = app.tenants.tenant(id).await else {
            // A configuration that never was good is not in force, and a broken one leaves the last good one.
            return Ok(());
        };
        let now = now.map(|tenant| Label::new(&tenant.version.to_string()));
        let known = match self.0.get(id) {
            Some(known) => known.clone(),
            None => last_noted(app, id).await?,
        };
        if known != now {
            let details = Details { from: known, to: now.clone(), ..Details::default() };
            let act = By::new(Actor::System).did(Action::TenantConfigure, Some(id)).to(id).with(details);
            app.audit.append(act).await?;
        }
        match now {
            Some(_) => self.0.insert(id.clone(), now),
            None => self.0.remove(id),
        };
        Ok(())
    }
}

async fn last_noted(app: &App, id: &TenantId) -> Result<Option<Label>> {
    let filter = AuditFilter { action: Some(Action::TenantConfigure), ..AuditFilter::default() };
    let scope = TenantScope::of_operator(id.clone());
    let last = app.audit.list(Some(&scope), &filter, 1).await?;
    Ok(last.into_iter().next().and_then(|entry| entry.details.to))
}
