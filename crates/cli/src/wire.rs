//! Wires the core's ports to the adapters of this shell: the one place that knows them all.

use std::sync::Arc;

use anyhow::{Context, Result};
use switchboard_connect::{
    BreakerDesk, HttpCustomers, HttpIssuer, HttpStatus, Outbound, OutboundPolicy, WebhookDesk, ZendeskDesk,
};
use switchboard_core::{
    access::{Pepper, oidc::Oidc},
    app::{App, RETRY_DELAYS},
    by_tenant::{CustomersByTenant, DeskByTenant, StatusByTenant},
    effects::OnTheirWay,
    ports::{Clock, Ids, Secrets},
};
use switchboard_knowledge::LocalClassifier;
use switchboard_local::{
    FileStatus, FolderDesk, FolderModels, FolderSecrets, FolderTenants, Role, SqliteStore, SystemClock, SystemIds,
    load_or_make_pepper,
};

use crate::{data::DataFolder, settings::Settings};

/// The core and what a shell needs beside it.
pub(crate) struct Wired {
    pub(crate) app: App,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) classifier: Arc<LocalClassifier>,
    pub(crate) tenants: Arc<FolderTenants>,
    pub(crate) secrets: Arc<FolderSecrets>,
    pub(crate) pepper: Pepper,
    pub(crate) oidc: Option<Arc<Oidc>>,
}

/// Opens the data folder, which exists.
pub(crate) fn wire(data: &DataFolder, settings: &Settings, role: Role) -> Result<Wired> {
    let (root, tenants_folder) = (data.root(), data.tenants());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ids: Arc<dyn Ids> = Arc::new(SystemIds::default());
    let pepper =
        load_or_make_pepper(root, !data.needs_first_start(), ids.as_ref()).context("the key pepper cannot be read")?;
    let store = SqliteStore::open(&data.database(), Arc::clone(&clock), role)?;
    let store = Arc::new(store.seal_audit(pepper.audit_key()));
    let tenants = Arc::new(FolderTenants::new(tenants_folder.clone(), Arc::clone(&clock)));
    let secrets = Arc::new(FolderSecrets::new(data.secrets()));
    let known_secrets: Arc<dyn Secrets> = secrets.clone();
    let outbound = Arc::new(
        Outbound::new(OutboundPolicy { allow_hosts: settings.outbound.allow_hosts.clone() })
            .context("the outbound HTTP client cannot start")?,
    );
    let oidc = match settings.oidc.config()? {
        Some(config) => Some(Arc::new(Oidc::new(config, Arc::new(HttpIssuer::new(outbound.clone())), clock.clone())?)),
        None => None,
    };
    let classifier = Arc::new(LocalClassifier::new(training_threads(role)));
    let app = App {
        tenants: tenants.clone(),
        tickets: store.clone(),
        queue: store.clone(),
        effects: store.clone(),
        customers: Arc::new(CustomersByTenant {
            store: store.clone(),
            http: Arc::new(HttpCustomers::new(outbound.clone(), known_secrets.clone(), clock.clone())),
            clock: clock.clone(),
        }),
        status: Arc::new(StatusByTenant {
            file: Arc::new(FileStatus::new(tenants_folder.clone())),
            http: Arc::new(HttpStatus::new(outbound.clone(), known_secrets.clone(), clock.clone())),
        }),
        classifier: classifier.clone(),
        learner: classifier.clone(),
        models: Arc::new(FolderModels::new(data.models().join("tenants"))),
        desk: Arc::new(DeskByTenant {
            folder: Arc::new(FolderDesk::new(tenants_folder)),
            webhook: Arc::new(BreakerDesk::new(
                WebhookDesk::new(outbound.clone(), known_secrets.clone(), clock.clone()),
                clock.clone(),
            )),
            zendesk: Arc::new(BreakerDesk::new(ZendeskDesk::new(outbound, known_secrets), clock.clone())),
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
    Ok(Wired { app, store, classifier, tenants, secrets, pepper, oidc })
}

/// A training in the server must leave room for its tickets.
fn training_threads(role: Role) -> usize {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match role {
        Role::Server => all.div_ceil(2),
        _ => all,
    }
}
