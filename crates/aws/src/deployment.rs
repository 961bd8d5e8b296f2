use std::sync::Arc;

use async_trait::async_trait;
use switchboard_core::{
    access::Pepper,
    app::{App, BacklogLimits, RETRY_DELAYS},
    by_tenant::{Connectors, CustomersByTenant, DeskByTenant, StatusByTenant},
    effects::OnTheirWay,
    error::{Error, ErrorKind, Result},
    ids::ServiceId,
    models::Gateway,
    ports::{Classifier, Clock, Desk, DeskReceipt, DeskUpdate, Ids, Learner, Secrets, ServiceStatus, StatusReport},
    tenants::Tenant,
};

use crate::{
    BedrockClients, BedrockModels, Bell, Clients, DynamoAudit, DynamoCustomers, DynamoKeys, DynamoStore,
    ManagedSecrets, S3Models, S3Tenants, pepper,
};

/// Everything that a deployment keeps, for the functions and for the command line.
pub struct Deployment {
    /// Tickets, queue, effects and examples.
    pub store: Arc<DynamoStore>,
    /// What wakes the workers; to be flushed.
    pub bell: Arc<Bell>,
    /// Secrets of the tenants.
    pub secrets: Arc<dyn Secrets>,
    /// What goes into every key hash.
    pub pepper: Pepper,
    clients: Clients,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl Deployment {
    /// Reads the secret of the key hashes, and nothing else yet. `refine` may change the store before it is shared.
    pub async fn open(
        clients: Clients,
        pepper_secret: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        refine: impl FnOnce(DynamoStore) -> DynamoStore,
    ) -> Result<Self> {
        let pepper = pepper(&clients, pepper_secret).await?;
        let bell = Arc::new(Bell::new(clients.clone(), clock.clone()));
        let store = DynamoStore::new(&clients, clock.clone(), ids.clone()).ringing(bell.clone());
        let secrets = Arc::new(ManagedSecrets::new(clients.clone(), clock.clone()));
        Ok(Self { store: Arc::new(refine(store)), bell, secrets, pepper, clients, clock, ids })
    }

    /// The core over it. There is no bound on what waits: the queue is no memory of ours.
    pub fn app<C: Classifier + Learner + 'static>(&self, mut connectors: Connectors, classifier: Arc<C>) -> App {
        let bedrock = Arc::new(BedrockModels::new(Arc::new(BedrockClients::beside(&self.clients))));
        connectors.models.bedrock = Some(bedrock.clone());
        connectors.models.guardrail = Some(bedrock.clone());
        connectors.embedder.bedrock = Some(bedrock);
        let (clients, clock) = (&self.clients, &self.clock);
        let models = Arc::new(connectors.models);
        let gateway = Gateway::new(models, self.store.clone(), clock.clone(), self.ids.clone())
            .with_embedder(Arc::new(connectors.embedder));
        let audit = DynamoAudit::new(clients, self.pepper.audit_key(), clock.clone(), self.ids.clone());
        App {
            tenants: Arc::new(S3Tenants::new(clients.clone(), clock.clone())),
            tickets: self.store.clone(),
            queue: self.store.clone(),
            effects: self.store.clone(),
            customers: Arc::new(CustomersByTenant {
                store: Arc::new(DynamoCustomers::new(clients, clock.clone(), self.ids.clone())),
                http: connectors.customers,
                clock: clock.clone(),
            }),
            status: Arc::new(StatusByTenant { file: Arc::new(NoFolder), http: connectors.status }),
            classifier: classifier.clone(),
            learner: classifier,
            gateway: Arc::new(gateway),
            models: Arc::new(S3Models::new(clients.clone())),
            desk: Arc::new(DeskByTenant {
                folder: Arc::new(NoFolder),
                webhook: connectors.webhook,
                zendesk: connectors.zendesk,
            }),
            examples: self.store.clone(),
            keys: Arc::new(DynamoKeys::new(audit.clone(), clock.clone())),
            audit: Arc::new(audit),
            clock: clock.clone(),
            ids: self.ids.clone(),
            retry_delays: RETRY_DELAYS.into(),
            backlog: BacklogLimits { tenant: u64::MAX, all: u64::MAX },
            on_their_way: OnTheirWay::new(clock.as_ref()),
        }
    }
}

/// Files of a data folder: configurations for the single binary may ask for them.
struct NoFolder;

#[async_trait]
impl Desk for NoFolder {
    async fn update(&self, _: &Tenant, _: &DeskUpdate) -> Result<DeskReceipt> {
        let message = "the desk `folder` exists in the single binary alone: configure a web hook or Zendesk";
        Err(Error::new(ErrorKind::Refused, message))
    }
}

#[async_trait]
impl ServiceStatus for NoFolder {
    async fn status(&self, _: &Tenant, _: &[ServiceId]) -> Result<StatusReport> {
        let message = "the status source `file` exists in the single binary alone: configure an HTTP source";
        Err(Error::new(ErrorKind::Refused, message))
    }
}
