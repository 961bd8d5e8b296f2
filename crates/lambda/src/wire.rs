//! Wires the core's ports to the adapters of AWS: the one place that knows them all.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use switchboard_aws::{
    Bell, Clients, DynamoAudit, DynamoCustomers, DynamoKeys, DynamoStore, ManagedSecrets, S3Models, S3Tenants, emf::Emf,
};
use switchboard_connect::{
    BreakerDesk, HttpCustomers, HttpIssuer, HttpStatus, Outbound, OutboundPolicy, WebhookDesk, ZendeskDesk,
};
use switchboard_core::{
    access::{Pepper, oidc::Oidc},
    app::{App, BacklogLimits, RETRY_DELAYS},
    by_tenant::{CustomersByTenant, DeskByTenant, StatusByTenant},
    ports::{Clock, Ids, Secrets},
};
use switchboard_knowledge::{LocalClassifier, tone};
use switchboard_local::{SystemClock, SystemIds};

use crate::{settings::Settings, unlike::NoFolder};

/// The namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "Switchboard";
/// How long a ticket's first message may take before somebody else may have its work.
const ADVANCE: Duration = Duration::from_secs(60);

/// The core and what a role needs beside it.
pub(crate) struct Wired {
    pub(crate) app: App,
    pub(crate) store: Arc<DynamoStore>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) end: End,
    pub(crate) pepper: Pepper,
    pub(crate) oidc: Option<Arc<Oidc>>,
    pub(crate) environment: String,
}

/// Connects nothing to the outside yet but Secrets Manager: a cold start waits for all of this.
pub(crate) async fn wire(settings: Settings) -> Result<Wired> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ids: Arc<dyn Ids> = Arc::new(SystemIds::default());
    let clients = Clients::new(&switchboard_aws::Settings {
        region: None,
        endpoint: settings.endpoint.clone(),
        names: settings.names.clone(),
    })
    .await;
    let metrics = Emf::new(NAMESPACE);
    metrics::set_global_recorder(metrics.clone()).context("the metrics recorder cannot start")?;
    let secrets: Arc<dyn Secrets> = Arc::new(ManagedSecrets::new(clients.clone(), clock.clone()));
    let pepper = switchboard_aws::pepper(&clients, &settings.pepper_secret).await.context("no key could be checked")?;
    let outbound = Arc::new(
        Outbound::new(OutboundPolicy { allow_hosts: settings.allow_hosts.clone() })
            .context("the outbound HTTP client cannot start")?,
    );
    let oidc = match &settings.oidc {
        Some(issuer) => {
            let documents = Arc::new(HttpIssuer::new(outbound.clone()));
            Some(Arc::new(Oidc::new(issuer.config(), documents, clock.clone())?))
        }
        None => None,
    };
    let bell = Arc::new(Bell::new(clients.clone(), clock.clone()));
    let store = DynamoStore::new(&clients, clock.clone(), ids.clone()).ringing(bell.clone()).advance(ADVANCE);
    let store = Arc::new(store);
    let audit = DynamoAudit::new(clients.clone(), pepper.audit_key(), clock.clone(), ids.clone());
    let classifier = Arc::new(LocalClassifier::new(1));
    let app = App {
        tenants: Arc::new(S3Tenants::new(clients.clone(), clock.clone())),
        tickets: store.clone(),
        queue: store.clone(),
        effects: store.clone(),
        customers: Arc::new(CustomersByTenant {
            store: Arc::new(DynamoCustomers::new(clients.clone(), clock.clone())),
            http: Arc::new(HttpCustomers::new(outbound.clone(), secrets.clone(), clock.clone())),
            clock: clock.clone(),
        }),
        status: Arc::new(StatusByTenant {
            file: Arc::new(NoFolder),
            http: Arc::new(HttpStatus::new(outbound.clone(), secrets.clone(), clock.clone())),
        }),
        classifier: classifier.clone(),
        learner: classifier,
        models: Arc::new(S3Models::new(clients.clone())),
        desk: Arc::new(DeskByTenant {
            folder: Arc::new(NoFolder),
            webhook: Arc::new(BreakerDesk::new(
                WebhookDesk::new(outbound.clone(), secrets.clone(), clock.clone()),
                clock.clone(),
            )),
            zendesk: Arc::new(BreakerDesk::new(ZendeskDesk::new(outbound, secrets), clock.clone())),
        }),
        examples: store.clone(),
        keys: Arc::new(DynamoKeys::new(clients, audit.clone(), clock.clone())),
        audit: Arc::new(audit),
        clock: clock.clone(),
        ids,
        retry_delays: RETRY_DELAYS.into(),
        // The queue grows as it must: it is no memory of ours.
        backlog: BacklogLimits { tenant: u64::MAX, all: u64::MAX },
    };
    let end = End { bell: bell.clone(), metrics, clock };
    Ok(Wired { app, store, bell, end, pepper, oidc, environment: settings.environment })
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
