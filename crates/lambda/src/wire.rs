//! Wires the core's ports to the adapters of AWS: the one place that knows them all.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use switchboard_aws::{
    Bell, Clients, Deployment, DynamoStore,
    emf::{self, Emf},
};
use switchboard_connect::{HttpIssuer, Outbound, OutboundPolicy, connectors};
use switchboard_core::{
    access::{Pepper, oidc::Oidc},
    app::App,
    ports::{Clock, Ids, Secrets},
};
use switchboard_knowledge::{LocalClassifier, tone};
use switchboard_local::{SystemClock, SystemIds};

use crate::settings::Settings;

/// How long a ticket's first message may take before somebody else may have its work.
const ADVANCE: Duration = Duration::from_secs(60);

/// The core and what a role needs beside it.
pub(crate) struct Wired {
    pub(crate) app: App,
    pub(crate) store: Arc<DynamoStore>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) end: End,
    pub(crate) pepper: Pepper,
    pub(crate) oidc: Option<Arc<Oidc>>,
    pub(crate) environment: String,
}

/// Calls nothing yet but Secrets Manager: a cold start waits for all of this.
pub(crate) async fn wire(settings: Settings) -> Result<Wired> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ids: Arc<dyn Ids> = Arc::new(SystemIds::default());
    let metrics = Emf::new(emf::NAMESPACE, &settings.names.prefix);
    metrics::set_global_recorder(metrics.clone()).context("the metrics recorder cannot start")?;
    let clients =
        Clients::new(&switchboard_aws::Settings { region: None, endpoint: None, names: settings.names.clone() }).await;
    let in_advance = |store: DynamoStore| store.advance(ADVANCE);
    let deployment = Deployment::open(clients, &settings.pepper_secret, clock.clone(), ids, in_advance).await;
    let deployment = deployment.context("no key could be checked")?;
    let policy = OutboundPolicy { allow_hosts: settings.allow_hosts.clone() };
    let outbound = Arc::new(Outbound::new(policy).context("the outbound HTTP client cannot start")?);
    let oidc = match &settings.oidc {
        Some(issuer) => {
            let documents = Arc::new(HttpIssuer::new(outbound.clone()));
            Some(Arc::new(Oidc::new(issuer.config(), documents, clock.clone())?))
        }
        None => None,
    };
    let connectors = connectors(&outbound, &deployment.secrets, &clock);
    let app = deployment.app(connectors, Arc::new(LocalClassifier::new(1)));
    let end = End { bell: deployment.bell.clone(), metrics, clock };
    let Deployment { store, bell, secrets, pepper, .. } = deployment;
    Ok(Wired { app, store, bell, secrets, end, pepper, oidc, environment: settings.environment })
}

/// What is done before each invocation ends: afterwards the process may be frozen.
#[derive(Clone)]
pub(crate) struct End {
    bell: Arc<Bell>,
    metrics: Emf,
    clock: Arc<dyn Clock>,
}

impl End {
    /// Rings what was held and writes the metrics.
    pub(crate) async fn finish(&self) {
        self.bell.flush().await;
        if let Err(error) = self.metrics.flush(self.clock.now()) {
            tracing::error!(%error, "the metrics cannot be written");
        }
    }
}

impl Wired {
    pub(crate) async fn finish(&self) {
        self.end.finish().await;
    }

    /// What work needs and a request does not: done while Lambda still counts the start.
    pub(crate) async fn prepare(&self) {
        tone::prepare();
    }
}
