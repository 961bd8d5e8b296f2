//! One port in front of several adapters: the tenant's configuration says which one is asked.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{CustomerId, ProviderName, ServiceId},
    models::{Answer, AnswerStream, BatchLimits, Embedded, Guarded, ModelError, ModelErrorKind, Prompt, Purpose},
    ports::{
        ChatModel, Clock, Customer, CustomerDirectory, CustomerStore, Desk, DeskReceipt, DeskUpdate, Embedder,
        Guardrail, Repeats, ServiceStatus, StatusReport, StoredCustomer, TenantScope,
    },
    tenants::{CustomersConfig, DeskConfig, EmbedLink, ModelLink, ProviderConfig, ServiceStatusConfig, Tenant},
    time::Timestamp,
    untrusted::Untrusted,
};

/// The adapters of other people's systems, which are the same wherever this runs.
pub struct Connectors {
    /// Language models.
    pub models: ModelsByProvider,
    /// Models that make vectors.
    pub embedder: EmbedderByProvider,
    /// Customers by HTTP.
    pub customers: Arc<dyn CustomerDirectory>,
    /// Service status by HTTP.
    pub status: Arc<dyn ServiceStatus>,
    /// The desk `webhook`.
    pub webhook: Arc<dyn Desk>,
    /// The desk `zendesk`.
    pub zendesk: Arc<dyn Desk>,
}

/// The models of the provider that a link names, by its kind.
pub struct ModelsByProvider {
    /// For `openai`.
    pub openai: Arc<dyn ChatModel>,
    /// For `bedrock`; a program that was built without AWS has none.
    pub bedrock: Option<Arc<dyn ChatModel>>,
    /// The guardrails of `bedrock`, for the models of other providers.
    pub guardrail: Option<Arc<dyn Guardrail>>,
}

impl ModelsByProvider {
    /// The guardrail in front of a model, where its provider is configured to have one.
    fn guarded<'a>(
        &'a self,
        tenant: &'a Tenant,
        link: &ModelLink,
        model: &'a dyn ChatModel,
    ) -> Result<Option<Guarded<'a>>, ModelError> {
        let provider = match tenant.config.models.providers.get(&link.provider) {
            Some(ProviderConfig::Openai { guardrail: Some(provider), .. }) => provider,
            _ => return Ok(None),
        };
        let guardrail = self.guardrail.as_deref().ok_or_else(|| not_here(provider, WITHOUT_AWS))?;
        Ok(Some(Guarded { model, guardrail, provider }))
    }

    fn of(&self, tenant: &Tenant, link: &ModelLink) -> Result<&dyn ChatModel, ModelError> {
        match tenant.config.models.providers.get(&link.provider) {
            Some(ProviderConfig::Openai { .. }) => Ok(self.openai.as_ref()),
            Some(ProviderConfig::Bedrock { .. }) => {
                self.bedrock.as_deref().ok_or_else(|| not_here(&link.provider, WITHOUT_AWS))
            }
            Some(ProviderConfig::Local {}) => Err(not_here(&link.provider, "makes vectors and no words")),
            None => Err(not_here(&link.provider, "is not among the tenant's providers")),
        }
    }
}

const WITHOUT_AWS: &str = "is Amazon Bedrock, and this program was built without AWS; one that has it: cargo build \
                           --release --features aws";

fn not_here(provider: &ProviderName, why: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Invalid, format!("the model provider `{provider}` {why}"))
}

#[async_trait]
impl ChatModel for ModelsByProvider {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let model = self.of(tenant, link)?;
        match self.guarded(tenant, link, model)? {
            Some(guarded) => guarded.chat(tenant, link, prompt).await,
            None => model.chat(tenant, link, prompt).await,
        }
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let model = self.of(tenant, link)?;
        match self.guarded(tenant, link, model)? {
            Some(guarded) => guarded.stream(tenant, link, prompt).await,
            None => model.stream(tenant, link, prompt).await,
        }
    }
}

/// The embedders of the provider that a link names, by its kind.
pub struct EmbedderByProvider {
    /// For `openai`.
    pub openai: Arc<dyn Embedder>,
    /// For `bedrock`; a program that was built without AWS has none.
    pub bedrock: Option<Arc<dyn Embedder>>,
    /// For `local`; only the single binary has one.
    pub local: Option<Arc<dyn Embedder>>,
}

impl EmbedderByProvider {
    fn of(&self, tenant: &Tenant, link: &EmbedLink) -> Result<&dyn Embedder, ModelError> {
        match tenant.config.models.providers.get(&link.provider) {
            Some(ProviderConfig::Openai { .. }) => Ok(self.openai.as_ref()),
            Some(ProviderConfig::Bedrock { .. }) => {
                self.bedrock.as_deref().ok_or_else(|| not_here(&link.provider, WITHOUT_AWS))
            }
            Some(ProviderConfig::Local {}) => self.local.as_deref().ok_or_else(|| {
                let why = "is the program's own model, which exists in the single binary alone; name another provider";
                not_here(&link.provider, why)
            }),
            None => Err(not_here(&link.provider, "is not among the tenant's providers")),
        }
    }
}

#[async_trait]
impl Embedder for EmbedderByProvider {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        self.of(tenant, link)?.embed(tenant, link, texts, purpose).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        // Where nobody is there to be asked, the first text finds it out.
        self.of(tenant, link).map_or(BatchLimits::ONE_TEXT, |embedder| embedder.batch(tenant, link))
    }
}

/// The desk that the tenant's `desk.kind` names.
pub struct DeskByTenant {
    /// For `folder`.
    pub folder: Arc<dyn Desk>,
    /// For `webhook`.
    pub webhook: Arc<dyn Desk>,
    /// For `zendesk`.
    pub zendesk: Arc<dyn Desk>,
}

impl DeskByTenant {
    fn desk_of(&self, tenant: &Tenant) -> Option<&dyn Desk> {
        match tenant.config.desk {
            DeskConfig::None => None,
            DeskConfig::Folder { .. } => Some(self.folder.as_ref()),
            DeskConfig::Webhook { .. } => Some(self.webhook.as_ref()),
            DeskConfig::Zendesk { .. } => Some(self.zendesk.as_ref()),
        }
    }
}

const NO_DESK: &str = "the tenant has no ticketing system configured";

#[async_trait]
impl Desk for DeskByTenant {
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        match self.desk_of(tenant) {
            Some(desk) => desk.update(tenant, update).await,
            None => Ok(DeskReceipt { text: NO_DESK.to_owned() }),
        }
    }

    fn repeats(&self, tenant: &Tenant) -> Repeats {
        self.desk_of(tenant).map_or(Repeats::Safe, |desk| desk.repeats(tenant))
    }

    fn rests(&self, tenant: &Tenant) -> Option<Duration> {
        self.desk_of(tenant).and_then(|desk| desk.rests(tenant))
    }

    async fn look_up(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<Option<DeskReceipt>> {
        match self.desk_of(tenant) {
            Some(desk) => desk.look_up(tenant, update).await,
            None => Ok(Some(DeskReceipt { text: NO_DESK.to_owned() })),
        }
    }
}

/// The source that the tenant's `service_status.kind` names.
pub struct StatusByTenant {
    /// For `file`.
    pub file: Arc<dyn ServiceStatus>,
    /// For `http`.
    pub http: Arc<dyn ServiceStatus>,
}

#[async_trait]
impl ServiceStatus for StatusByTenant {
    async fn status(&self, tenant: &Tenant, services: &[ServiceId]) -> Result<StatusReport> {
        if services.is_empty() {
            return Ok(StatusReport { overall_health: "healthy".to_owned(), ..StatusReport::default() });
        }
        match tenant.config.service_status {
            ServiceStatusConfig::None => Ok(StatusReport::default()),
            ServiceStatusConfig::File { .. } => self.file.status(tenant, services).await,
            ServiceStatusConfig::Http { .. } => self.http.status(tenant, services).await,
        }
    }
}

/// The customers in the store, and behind it the source that the tenant's `customers.kind` names. An answer of the source
/// is kept; while it is fresh the source is not asked, and when the source fails an old answer is better than none. What an
/// operator put there never grows old.
pub struct CustomersByTenant {
    /// What is kept.
    pub store: Arc<dyn CustomerStore>,
    /// For `http`.
    pub http: Arc<dyn CustomerDirectory>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl CustomerDirectory for CustomersByTenant {
    async fn customer(&self, tenant: &Tenant, id: &CustomerId) -> Result<Option<Customer>> {
        let scope = TenantScope::of_tenant(tenant);
        let stored = self.store.stored_customer(&scope, id).await?;
        let CustomersConfig::Http { cache_seconds, .. } = &tenant.config.customers else {
            return Ok(stored.map(|stored| stored.customer));
        };
        let now = self.clock.now();
        let fresh = |stored: &StoredCustomer| {
            stored.fetched_at.is_none_or(|at| now.since(at).as_secs() < *cache_seconds && at <= now)
        };
        if let Some(stored) = stored.as_ref().filter(|stored| fresh(stored)) {
            return Ok(Some(stored.customer.clone()));
        }
        match (self.http.customer(tenant, id).await, stored) {
            (Ok(Some(customer)), _) => Ok(Some(self.keep(&scope, customer, now).await)),
            (Ok(None), _) => Ok(None),
            (Err(error), Some(stored)) => {
                tracing::warn!(tenant = %tenant.id, error = error.report(), "customer source failed, an old answer is used");
                Ok(Some(stored.customer))
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl CustomersByTenant {
    /// Keeps what the source answered, unless an operator has put the customer there meanwhile: then his word counts. An
    /// answer that cannot be kept is good all the same.
    async fn keep(&self, scope: &TenantScope, customer: Customer, now: Timestamp) -> Customer {
        let kept = match self.store.stored_customer(scope, &customer.customer_id).await {
            Ok(Some(StoredCustomer { customer, fetched_at: None })) => return customer,
            Ok(_) => {
                let answered = StoredCustomer { customer: customer.clone(), fetched_at: Some(now) };
                self.store.put_customers(scope, vec![answered]).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::warn!(tenant = %scope.tenant(), error = error.report(), "customer source's answer could not be kept");
        }
        customer
    }
}
