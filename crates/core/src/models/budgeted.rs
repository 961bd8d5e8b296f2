//! A model that is only called when the budget has room for the worst.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::{
    Answer, AnswerStream, BatchLimits, Embedded, ModelError, ModelErrorKind, ModelPrice, NanoUsd, Prompt, Purpose,
    StreamEvent, Usage,
};
use crate::{
    ids::{CustomerId, ReservationId},
    ports::{
        Ceilings, ChatModel, Clock, Embedder, Ids, Reservation, Reserved, Settlement, TenantScope, UsageLedger, Wanted,
    },
    tenants::{EmbedLink, ModelLink, Tenant},
    untrusted::Untrusted,
};

/// Reserves the worst case of each call before it is made, and settles what it came to. Each try of a call is one of its own, so
/// that repeated and repaired ones are paid for like any other. What may have to be paid for and nobody has counted is taken at
/// its worst; so is a call that is dropped half-way, whose reservation is left as it is.
pub struct Budgeted<M> {
    model: M,
    till: Till,
}

/// Where a call is paid.
#[derive(Clone)]
pub struct Till {
    /// What was spent.
    pub ledger: Arc<dyn UsageLedger>,
    /// The day and the month.
    pub clock: Arc<dyn Clock>,
    /// Ids of reservations.
    pub ids: Arc<dyn Ids>,
    /// For whom the call is.
    pub customer: Option<CustomerId>,
    /// What it comes to.
    pub bill: Bill,
}

/// What the calls for one question came to, all tries of all models together. A clone is the same bill.
#[derive(Clone, Default)]
pub struct Bill(Arc<Mutex<(Usage, NanoUsd)>>);

/// Money that was put aside for a call.
struct Paid {
    till: Till,
    scope: TenantScope,
    price: ModelPrice,
    worst: NanoUsd,
    /// None for what costs nothing.
    reservation: Option<Reservation>,
}

impl<M> Budgeted<M> {
    /// Calls of `model` that are paid at `till`.
    pub fn new(model: M, till: Till) -> Self {
        Self { model, till }
    }

    /// Makes a call that takes `most` at `price`, and that is answered in one piece.
    async fn paid<T>(
        &self,
        tenant: &Tenant,
        (price, most): (ModelPrice, Usage),
        asking: impl Future<Output = Result<T, ModelError>>,
        usage: impl Fn(&T) -> Usage,
    ) -> Result<T, ModelError> {
        let mut paid = self.till.reserve(tenant, price, most).await?;
        let outcome = asking.await;
        match &outcome {
            Ok(answer) => paid.answered(usage(answer)).await,
            Err(error) => paid.failed(error).await,
        }
        outcome
    }
}

impl Bill {
    /// Tokens and money so far.
    pub fn sum(&self) -> (Usage, NanoUsd) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what another bill has come to.
    pub(super) fn add_all(&self, other: &Self) {
        let (usage, cost) = other.sum();
        self.add(usage, cost);
    }

    fn add(&self, usage: Usage, cost: NanoUsd) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = (sum.0.and(usage), sum.1 + cost);
    }
}

impl Till {
    /// Puts aside what a call costs that takes `most` at `price`.
    async fn reserve(&self, tenant: &Tenant, price: ModelPrice, most: Usage) -> Result<Paid, ModelError> {
        let (scope, worst) = (TenantScope::of_tenant(tenant), price.cost(most));
        let reservation = if worst == NanoUsd::ZERO { None } else { Some(self.hold(&scope, tenant, worst).await?) };
        Ok(Paid { till: self.clone(), scope, price, worst, reservation })
    }

    async fn hold(&self, scope: &TenantScope, tenant: &Tenant, amount: NanoUsd) -> Result<Reservation, ModelError> {
        let at = self.clock.now();
        let id = ReservationId::from_ulid(self.ids.ulid(at));
        let wanted = Wanted { id, customer: self.customer.clone(), amount, at };
        // A checked configuration has a budget wherever it has models; without one, nothing may be spent.
        let none = Ceilings { month: Some(NanoUsd::ZERO), ..Ceilings::default() };
        let ceilings = tenant.config.models.budget.map_or(none, |budget| budget.ceilings());
        match self.ledger.reserve(scope, wanted, &ceilings).await {
            Ok(Reserved::Held(reservation)) => Ok(reservation),
            Ok(Reserved::Reached(ceiling)) => {
                metrics::counter!("switchboard_model_budget_reached_total", "ceiling" => ceiling.word()).increment(1);
                let message = format!("the budget of the {} has no room for the call", ceiling.word());
                Err(ModelError::new(ModelErrorKind::OverBudget, message))
            }
            Err(error) => {
                let message = "nobody can tell what was spent, so nothing may be";
                Err(ModelError::new(ModelErrorKind::OverBudget, message).caused_by(error))
            }
        }
    }
}

impl Paid {
    /// What a call that was answered came to. A provider that counts no tokens has told nothing.
    fn cost(&self, usage: Usage) -> NanoUsd {
        if usage.input_tokens == 0 { self.worst } else { self.price.cost(usage) }
    }

    async fn answered(&mut self, usage: Usage) {
        let cost = self.cost(usage);
        self.settle(usage, cost).await;
    }

    async fn failed(&mut self, error: &ModelError) {
        let cost = if error.may_be_billed() { self.worst } else { NanoUsd::ZERO };
        self.settle(Usage::default(), cost).await;
    }

    async fn settle(&mut self, usage: Usage, cost: NanoUsd) {
        self.till.bill.add(usage, cost);
        let Some(reservation) = self.reservation.take() else { return };
        metrics::counter!("switchboard_model_cost_nanousd_total").increment(cost.0);
        if cost > self.worst {
            tracing::warn!(tenant = %self.scope.tenant(), %cost, worst = %self.worst, "a model used more than its worst case");
        }
        // The whole stays reserved, which is the safe side.
        if let Err(error) = self.till.ledger.settle(&self.scope, reservation, Settlement::of_one(cost)).await {
            tracing::warn!(tenant = %self.scope.tenant(), error = %error.report(), "the cost of a call could not be settled");
        }
    }
}

#[async_trait]
impl<M: ChatModel> ChatModel for Budgeted<M> {
    async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        let asking = self.model.chat(tenant, link, prompt);
        self.paid(tenant, (link.price(), Usage::at_most(prompt)), asking, |answer| answer.usage).await
    }

    async fn stream(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<AnswerStream, ModelError> {
        let mut paid = self.till.reserve(tenant, link.price(), Usage::at_most(prompt)).await?;
        let inner = match self.model.stream(tenant, link, prompt).await {
            Ok(inner) => inner,
            Err(error) => {
                paid.failed(&error).await;
                return Err(error);
            }
        };
        let pieces = stream::unfold((inner, paid), |(mut inner, mut paid)| async move {
            let piece = inner.next().await?;
            match &piece {
                Ok(StreamEvent::End { usage, .. }) => paid.answered(*usage).await,
                Ok(StreamEvent::Text(_) | StreamEvent::ToolUse(_)) => {}
                Err(error) => paid.failed(error).await,
            }
            Some((piece, (inner, paid)))
        });
        Ok(Box::pin(pieces))
    }
}

#[async_trait]
impl<M: Embedder> Embedder for Budgeted<M> {
    async fn embed(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        texts: &[Untrusted<String>],
        purpose: Purpose,
    ) -> Result<Embedded, ModelError> {
        let most = (link.price(&tenant.config.models), Usage::at_most_of(texts));
        self.paid(tenant, most, self.model.embed(tenant, link, texts, purpose), |embedded| embedded.usage).await
    }

    fn batch(&self, tenant: &Tenant, link: &EmbedLink) -> BatchLimits {
        self.model.batch(tenant, link)
    }
}
