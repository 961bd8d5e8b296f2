//! Texts as vectors, by the tenant's one model for it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt, stream};

use super::{Answered, Gateway, Link, passed_over, within};
use crate::{
    ids::CustomerId,
    limits,
    models::{
        BatchLimits, Bill, Embedded, ModelError, ModelErrorKind, Purpose,
        embedding::{batches, check_texts},
    },
    ports::Embedder,
    tenants::{EmbedLink, Tenant},
    untrusted::Untrusted,
};

/// Texts whose vectors are wanted.
#[derive(Clone, Copy)]
pub struct ToEmbed<'a> {
    /// The texts, at most [`limits::EMBED_TEXTS`].
    pub texts: &'a [Untrusted<String>],
    /// What the vectors are for.
    pub purpose: Purpose,
    /// For whom, when it is for one of the tenant's customers: their budget pays, too.
    pub customer: Option<&'a CustomerId>,
}

impl Gateway {
    /// A vector for each text, in their order, as [`Embedder::embed`] says. They go out in as few calls as the provider takes,
    /// [`limits::EMBED_AT_ONCE`] at the same time. There is no second model: vectors of two cannot be compared. When a call
    /// fails for good, none is begun any more, and those that are on their way end.
    ///
    /// # Errors
    /// The first failure; [`ModelErrorKind::Invalid`] when the tenant has no model for it, and for more than
    /// [`limits::EMBED_TEXTS`].
    pub async fn embed(&self, tenant: &Tenant, wanted: &ToEmbed<'_>) -> Result<Answered<Vec<Vec<f32>>>, ModelError> {
        let Some(link) = &tenant.config.models.embed else {
            let message = "the tenant has no model that makes vectors; name one in `models.embed`";
            return Err(ModelError::new(ModelErrorKind::Invalid, message));
        };
        let bill = Bill::default();
        let embedded = self.embed_all(tenant, link, wanted, &bill).await;
        let Embedded { vectors: value, model, .. } =
            embedded.map_err(|error| passed_over(tenant, (&link.provider, &link.model), EMBED, error))?;
        let (usage, cost) = bill.sum();
        Ok(Answered { value, provider: link.provider.clone(), model, usage, cost })
    }

    /// The same, with what it came to on `bill` also when it fails.
    pub(super) async fn embed_all(
        &self,
        tenant: &Tenant,
        link: &EmbedLink,
        wanted: &ToEmbed<'_>,
        bill: &Bill,
    ) -> Result<Embedded, ModelError> {
        let ToEmbed { texts, purpose, customer } = *wanted;
        // Before anything is paid for, and not when a later call comes to it.
        check_texts(texts, BatchLimits { texts: limits::EMBED_TEXTS, bytes: usize::MAX })?;
        let model = self.embedder_link(customer, bill)?;
        let has_failed = AtomicBool::new(false);
        let calls = batches(texts, model.batch(tenant, link)).into_iter().map(|batch| {
            let (model, has_failed) = (&model, &has_failed);
            async move {
                if has_failed.load(Ordering::Relaxed) {
                    return None;
                }
                let asking = model.embed(tenant, link, batch, purpose);
                let outcome = within(self.clock.as_ref(), limits::MODEL_ASK_TIME, asking).await;
                has_failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                Some(outcome)
            }
        });
        // All of them are waited for, because the cost of a call that is dropped is never settled.
        let outcomes: Vec<_> = stream::iter(calls).buffered(limits::EMBED_AT_ONCE).collect().await;
        let mut all: Option<Embedded> = None;
        for outcome in outcomes.into_iter().flatten() {
            let batch = outcome?;
            match &mut all {
                None => all = Some(batch),
                Some(all) => {
                    let dimensions = |embedded: &Embedded| embedded.vectors.first().map(Vec::len);
                    if dimensions(all) != dimensions(&batch) {
                        let message = "the model answered vectors of another number of dimensions than before";
                        return Err(ModelError::new(ModelErrorKind::BadOutput, message).billed());
                    }
                    all.usage = all.usage.and(batch.usage);
                    all.vectors.extend(batch.vectors);
                }
            }
        }
        Ok(all.unwrap_or_else(|| Embedded::nothing(&link.model)))
    }

    fn embedder_link(&self, customer: Option<&CustomerId>, bill: &Bill) -> Result<Link<Arc<dyn Embedder>>, ModelError> {
        let embedder = self.embedder.clone().ok_or_else(|| {
            ModelError::new(ModelErrorKind::Invalid, "nobody makes vectors here, as where recorded calls are played")
        })?;
        Ok(self.layers(embedder, (EMBED, limits::EMBED_TIME), customer, bill))
    }
}

/// The role in metrics and logs.
const EMBED: &str = "embed";
