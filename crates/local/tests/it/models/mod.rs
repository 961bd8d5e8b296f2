//! The gateway to language models and its layers, with scripted models and a clock that a test moves.

mod cassettes;
mod embeddings;
mod gateway;
mod guarded;
mod interleavings;
mod layers;
mod pooled;
mod streams;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::CustomerId,
    models::{Answered, Asked, Gateway, ModelError, ModelErrorKind, NanoUsd, Prompt, Role, Usage},
    ports::{Ceilings, Clock, Ids, Reservation, Reserved, Settlement, Spend, Spent, TenantScope, UsageLedger, Wanted},
    tenants::{ModelLink, Tenant},
    time::Timestamp,
};
use switchboard_testkit::{
    memory_usage::MemoryUsage,
    sample,
    scripted_model::{ScriptedModel, Turn, USAGE},
    world::{FixedClock, SeededIds},
};

/// Dollars that no test spends.
const PLENTY: f64 = 1_000.0;

/// What a call of [`USAGE`] costs at the prices of [`sample::tenant_with_models`].
fn price_of_one() -> NanoUsd {
    NanoUsd::from_usd(0.11)
}

/// A gateway to a scripted model over a ledger in memory.
struct World {
    gateway: Gateway,
    model: ScriptedModel,
    ledger: MemoryUsage,
    clock: FixedClock,
    tenant: Tenant,
    prompt: Prompt,
    customer: CustomerId,
}

impl World {
    /// The clock moves itself to the end of what waits.
    fn new(script: impl Fn(usize, &ModelLink, &Prompt) -> Turn + Send + Sync + 'static) -> Self {
        Self::with_budget(PLENTY, script)
    }

    fn with_budget(
        month_usd: f64,
        script: impl Fn(usize, &ModelLink, &Prompt) -> Turn + Send + Sync + 'static,
    ) -> Self {
        let (model, ledger, clock) = (ScriptedModel::new(script), MemoryUsage::default(), FixedClock::auto());
        let gateway = Gateway::new(Arc::new(model.clone()), Arc::new(ledger.clone()), Arc::new(clock.clone()), ids());
        let (tenant, prompt) = (sample::tenant_with_models(month_usd), sample::prompt("I was charged twice"));
        Self { gateway, model, ledger, clock, tenant, prompt, customer: sample::parsed("ana") }
    }

    fn asked(&self) -> Asked<'_> {
        Asked { role: Role::Small, customer: Some(&self.customer), prompt: &self.prompt, bill: None }
    }

    /// Asks for a number.
    async fn ask(&self) -> std::result::Result<Answered<u32>, ModelError> {
        self.gateway.ask(&self.tenant, &self.asked(), |answer| answer.read::<u32>()).await
    }

    async fn fails(&self) -> ModelErrorKind {
        self.ask().await.map(|answered| panic!("answered {answered:?}")).unwrap_err().kind()
    }

    /// What the month has come to, which must be what day and customer have come to.
    async fn spent(&self) -> Spend {
        let scope = TenantScope::of_tenant(&self.tenant);
        let spent = self.ledger.spent(&scope, Some(&self.customer), self.clock.now()).await.unwrap();
        assert_eq!((spent.day, spent.customer_day), (spent.month, spent.month));
        spent.month
    }

    /// The most that the first try can cost.
    fn worst(&self) -> NanoUsd {
        self.tenant.config.models.small[0].price().worst_case(&self.prompt)
    }
}

fn ids() -> Arc<dyn Ids> {
    Arc::new(SeededIds::default())
}

fn says(text: &str) -> Turn {
    Turn::Says(text.to_owned())
}

fn error(kind: ModelErrorKind) -> ModelError {
    ModelError::new(kind, "the script says so")
}

fn fails(kind: ModelErrorKind) -> Turn {
    Turn::Fails(error(kind))
}

/// A ledger that does not answer.
struct NoLedger;

fn no_ledger<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unavailable, "the ledger is away"))
}

#[async_trait]
impl UsageLedger for NoLedger {
    async fn reserve(&self, _: &TenantScope, _: Wanted, _: &Ceilings) -> Result<Reserved> {
        no_ledger()
    }

    async fn settle(&self, _: &TenantScope, _: Reservation, _: Settlement) -> Result<()> {
        no_ledger()
    }

    async fn spent(&self, _: &TenantScope, _: Option<&CustomerId>, _: Timestamp) -> Result<Spent> {
        no_ledger()
    }
}
