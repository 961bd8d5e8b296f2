//! Wires the core's ports to the adapters of this shell: the one place that knows them all.

use std::sync::Arc;

use anyhow::{Context, Result};
use switchboard_connect::{HttpIssuer, Outbound, OutboundPolicy, connectors};
use switchboard_core::{
    access::{Pepper, audit::NewAuditEntry, oidc::Oidc},
    app::{App, RETRY_DELAYS},
    by_tenant::{Connectors, CustomersByTenant, DeskByTenant, StatusByTenant},
    effects::OnTheirWay,
    error,
    models::{Gateway, Pooled, Recorded, Unpaid},
    ports::{ChatModel, Clock, Ids, ModelStore, Secrets, TenantSource, UsageLedger},
};
use switchboard_knowledge::LocalClassifier;
use switchboard_local::{
    FileStatus, FolderDesk, FolderModels, FolderSecrets, FolderTenants, Role, SqliteStore, SystemClock, SystemIds,
    load_or_make_pepper,
};

use crate::{
    cassettes::{self, FolderTape},
    data::DataFolder,
    embedding::InstalledModel,
    settings::{Models, Settings},
};

/// The core and what a shell needs beside it.
pub(crate) struct Wired {
    pub(crate) app: App,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) classifier: Arc<LocalClassifier>,
    pub(crate) embedding: InstalledModel,
    pub(crate) tenants: Arc<FolderTenants>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) pepper: Pepper,
    pub(crate) oidc: Option<Arc<Oidc>>,
    /// Before the ledger of spend on models, in a server.
    pub(crate) pooled: Option<Arc<Pooled>>,
}

/// What a command needs that works on any data: a folder's, or those of a deployment on AWS.
pub(crate) struct Core {
    pub(crate) app: App,
    pub(crate) pepper: Pepper,
    behind: Behind,
}

/// What keeps the data.
enum Behind {
    /// One that takes an entry of the audit log along into a write.
    Sqlite(Arc<SqliteStore>),
    /// One whose workers are woken by messages, which are sent when a change is made.
    #[cfg(feature = "aws")]
    Aws(Arc<switchboard_aws::Bell>),
}

impl From<Wired> for Core {
    fn from(wired: Wired) -> Self {
        Self { app: wired.app, pepper: wired.pepper, behind: Behind::Sqlite(wired.store) }
    }
}

impl Core {
    #[cfg(feature = "aws")]
    pub(crate) fn on_aws(app: App, pepper: Pepper, bell: Arc<switchboard_aws::Bell>) -> Self {
        Self { app, pepper, behind: Behind::Aws(bell) }
    }

    /// Sends what wakes the workers after a change.
    pub(crate) async fn wake(&self) {
        match &self.behind {
            Behind::Sqlite(_) => {}
            #[cfg(feature = "aws")]
            Behind::Aws(bell) => bell.flush().await,
        }
    }

    /// Makes a change with its entry in the audit log: in one write where the store can, else the entry follows before
    /// anything is told.
    pub(crate) async fn audited<T>(
        &self,
        entry: NewAuditEntry,
        change: impl Future<Output = error::Result<T>>,
    ) -> error::Result<T> {
        match &self.behind {
            Behind::Sqlite(store) => store.audited(entry, change).await,
            #[cfg(feature = "aws")]
            Behind::Aws(bell) => {
                let changed = change.await?;
                self.app.audit.append(entry).await?;
                bell.flush().await;
                Ok(changed)
            }
        }
    }
}

/// Opens the data folder, which exists.
pub(crate) async fn wire(data: &DataFolder, settings: &Settings, role: Role) -> Result<Wired> {
    let (root, tenants_folder) = (data.root(), data.tenants());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ids: Arc<dyn Ids> = Arc::new(SystemIds::default());
    let pepper =
        load_or_make_pepper(root, !data.needs_first_start(), ids.as_ref()).context("the key pepper cannot be read")?;
    let store = SqliteStore::open(&data.database(), Arc::clone(&clock), role)?;
    let store = Arc::new(store.seal_audit(pepper.audit_key()));
    let tenants = Arc::new(FolderTenants::new(tenants_folder.clone(), Arc::clone(&clock)));
    let elsewhere = elsewhere(settings, &clock).await?;
    let secrets = elsewhere.secrets.unwrap_or_else(|| Arc::new(FolderSecrets::new(data.secrets())));
    let outbound = outbound(settings)?;
    let mut connectors = connectors(&outbound, &secrets, &clock);
    add_bedrock(&mut connectors, settings)?;
    let oidc = match settings.oidc.config()? {
        Some(config) => Some(Arc::new(Oidc::new(config, Arc::new(HttpIssuer::new(outbound.clone())), clock.clone())?)),
        None => None,
    };
    let classifier = Arc::new(LocalClassifier::new(training_threads(role)));
    // A command ends after a few calls; it would only have to give the rest back.
    let pooled = matches!(role, Role::Server)
        .then(|| Arc::new(Pooled::new(store.clone(), Arc::clone(&clock), Arc::clone(&ids))));
    let ledger: Arc<dyn UsageLedger> = match &pooled {
        // What is played costs nothing.
        _ if !settings.models.cassettes.as_os_str().is_empty() => Arc::new(Unpaid),
        Some(pooled) => pooled.clone(),
        None => store.clone(),
    };
    let embedding = InstalledModel::of(data);
    connectors.embedder.local = Some(Arc::new(embedding.embedder()?));
    let models = models(Arc::new(connectors.models), settings, &clock)?;
    let mut gateway = Gateway::new(models, ledger, Arc::clone(&clock), Arc::clone(&ids));
    // Who plays recorded calls asks nobody, and vectors are not recorded.
    if settings.models.cassettes.as_os_str().is_empty() {
        gateway = gateway.with_embedder(Arc::new(connectors.embedder));
    }
    let app = App {
        tenants: elsewhere.tenants.unwrap_or_else(|| tenants.clone()),
        tickets: store.clone(),
        queue: store.clone(),
        effects: store.clone(),
        customers: Arc::new(CustomersByTenant {
            store: store.clone(),
            http: connectors.customers,
            clock: clock.clone(),
        }),
        status: Arc::new(StatusByTenant {
            file: Arc::new(FileStatus::new(tenants_folder.clone())),
            http: connectors.status,
        }),
        classifier: classifier.clone(),
        learner: classifier.clone(),
        gateway: Arc::new(gateway),
        models: elsewhere.models.unwrap_or_else(|| Arc::new(FolderModels::new(data.models().join("tenants")))),
        desk: Arc::new(DeskByTenant {
            folder: Arc::new(FolderDesk::new(tenants_folder)),
            webhook: connectors.webhook,
            zendesk: connectors.zendesk,
        }),
        examples: store.clone(),
        keys: store.clone(),
        audit: store.clone(),
        on_their_way: OnTheirWay::new(clock.as_ref()),
        clock,
        ids,
        retry_delays: RETRY_DELAYS.into(),
        backlog: settings.backlog(),
    };
    Ok(Wired { app, store, classifier, embedding, tenants, secrets, pepper, oidc, pooled })
}

/// The models themselves, recorded where that is wished, or recorded calls of them.
fn models(models: Arc<dyn ChatModel>, settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn ChatModel>> {
    let Models { record, cassettes } = &settings.models;
    if !cassettes.as_os_str().is_empty() {
        return Ok(Arc::new(cassettes::cassette(cassettes)?));
    }
    if record.as_os_str().is_empty() {
        return Ok(models);
    }
    Ok(Arc::new(Recorded::new(models, Arc::new(FolderTape::open(record)?), Arc::clone(clock))))
}

/// The one client for other people's systems.
pub(crate) fn outbound(settings: &Settings) -> Result<Arc<Outbound>> {
    let policy = OutboundPolicy { allow_hosts: settings.outbound.allow_hosts.clone() };
    Ok(Arc::new(Outbound::new(policy).context("the outbound HTTP client cannot start")?))
}

/// Ports whose adapters the settings choose elsewhere than in the data folder.
#[derive(Default)]
pub(crate) struct Elsewhere {
    pub(crate) tenants: Option<Arc<dyn TenantSource>>,
    pub(crate) models: Option<Arc<dyn ModelStore>>,
    pub(crate) secrets: Option<Arc<dyn Secrets>>,
}

#[cfg(feature = "aws")]
async fn elsewhere(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Elsewhere> {
    crate::aws::elsewhere(&settings.aws, clock).await
}

#[cfg(not(feature = "aws"))]
async fn elsewhere(settings: &Settings, _: &Arc<dyn Clock>) -> Result<Elsewhere> {
    if !settings.aws.adapters.is_empty() {
        anyhow::bail!("aws.adapters: {WITHOUT_AWS}");
    }
    Ok(Elsewhere::default())
}

#[cfg(feature = "aws")]
fn add_bedrock(connectors: &mut Connectors, settings: &Settings) -> Result<()> {
    let bedrock = Arc::new(switchboard_aws::BedrockModels::new(Arc::new(crate::aws::bedrock(&settings.aws)?)));
    connectors.models.bedrock = Some(bedrock.clone());
    connectors.models.guardrail = Some(bedrock.clone());
    connectors.embedder.bedrock = Some(bedrock);
    Ok(())
}

#[cfg(not(feature = "aws"))]
fn add_bedrock(_: &mut Connectors, _: &Settings) -> Result<()> {
    Ok(())
}

#[cfg(not(feature = "aws"))]
pub(crate) const WITHOUT_AWS: &str =
    "this program was built without AWS; one that has it: cargo build --release --features aws";

/// A training in the server must leave room for its tickets.
fn training_threads(role: Role) -> usize {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match role {
        Role::Server => all.div_ceil(2),
        _ => all,
    }
}
