//! Wires the core's ports to the adapters of AWS: the one place that knows them all.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use switchboard_aws::{
    Bell, Clients, DynamoCustomers, DynamoKeys, DynamoStore, EmbeddedMetrics, S3Models, S3Tenants, SecretsManager,
};
use switchboard_connect::{
    BreakerDesk, HttpCustomers, HttpIssuer, HttpStatus, Outbound, OutboundPolicy, WebhookDesk, ZendeskDesk,
};
use switchboard_core::{
    access::{
        Pepper,
        oidc::{Oidc, OidcConfig},
    },
    app::{App, BacklogLimits, RETRY_DELAYS},
    by_tenant::{CustomersByTenant, DeskByTenant, StatusByTenant},
    ports::{Clock, Ids, Secrets},
};
use switchboard_knowledge::{LocalClassifier, tone};
use switchboard_local::{SystemClock, SystemIds};

use crate::{settings::Settings, unlike::NoFolder};

/// How long a ticket's first message may take before somebody else may have its work.
const ADVANCE: Duration = Duration::from_secs(60);

/// The core and what a role needs beside it.
pub(crate) struct Wired {
    pub(crate) app: App,
    pub(crate) store: Arc<DynamoStore>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) metrics: EmbeddedMetrics,
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
    let metrics = EmbeddedMetrics::install(clock.clone()).context("the metrics recorder cannot start")?;
    let secrets: Arc<dyn Secrets> = Arc::new(SecretsManager::new(clients.clone(), clock.clone()));
    let pepper = pepper(&clients, &settings.pepper_secret).await?;
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
    let store = DynamoStore::new(clients.clone(), clock.clone()).with_bell(bell.clone()).advance(ADVANCE);
    let store = Arc::new(store);
    let keys = Arc::new(DynamoKeys::new(clients.clone(), clock.clone(), pepper.audit_key()));
    let classifier = Arc::new(LocalClassifier::new(1));
    let app = App {
        tenants: Arc::new(S3Tenants::new(clients.clone(), clock.clone())),
        tickets: store.clone(),
        queue: store.clone(),
        effects: store.clone(),
        customers: Arc::new(CustomersByTenant {
            store: Arc::new(DynamoCustomers::new(clients.clone())),
            http: Arc::new(HttpCustomers::new(outbound.clone(), secrets.clone(), clock.clone())),
            clock: clock.clone(),
        }),
        status: Arc::new(StatusByTenant {
            file: Arc::new(NoFolder),
            http: Arc::new(HttpStatus::new(outbound.clone(), secrets.clone(), clock.clone())),
        }),
        classifier: classifier.clone(),
        learner: classifier,
        models: Arc::new(S3Models::new(clients)),
        desk: Arc::new(DeskByTenant {
            folder: Arc::new(NoFolder),
            webhook: Arc::new(BreakerDesk::new(
                WebhookDesk::new(outbound.clone(), secrets.clone(), clock.clone()),
                clock.clone(),
            )),
            zendesk: Arc::new(BreakerDesk::new(ZendeskDesk::new(outbound, secrets), clock.clone())),
        }),
        examples: store.clone(),
        keys: keys.clone(),
        audit: keys,
        clock,
        ids,
        retry_delays: RETRY_DELAYS.into(),
        // The queue grows as it must: it is no memory of ours.
        backlog: BacklogLimits { tenant: u64::MAX, all: u64::MAX },
    };
    Ok(Wired { app, store, bell, metrics, pepper, oidc, environment: settings.environment })
}

impl Wired {
    /// What work needs and a request does not: done while Lambda still counts the start.
    pub(crate) async fn prepare(&self) {
        tone::prepare();
    }
}

/// The secret in every key hash. The infrastructure makes it; a new one makes every key wrong.
async fn pepper(clients: &Clients, name: &str) -> Result<Pepper> {
    let answer = clients.secrets.get_secret_value().secret_id(name).send().await;
    let answer = answer.map_err(|error| anyhow!("{}", DisplayErrorContext(error)));
    let secret = answer.with_context(|| format!("the secret {name} of the key hashes cannot be read"))?;
    let text = SecretString::from(secret.secret_string().context("the secret of the key hashes is no text")?);
    if text.expose_secret().len() < PEPPER_CHARS {
        bail!("the secret {name} has fewer than {PEPPER_CHARS} characters");
    }
    Ok(Pepper::new(Sha256::digest(text.expose_secret()).into()))
}
