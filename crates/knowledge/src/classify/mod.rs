//! `classify_issue` without a model: nearest examples for the category, cues for severity and sentiment.

mod corpus;
mod cues;
mod features;
mod model;
mod nearest;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use moka::sync::Cache;
use switchboard_core::{
    error::Result,
    ids::{ConfigVersion, TenantId},
    ports::Classifier,
    tenants::Tenant,
    tickets::{CategoryProbability, Classification, Ticket},
};

pub use corpus::{Corpus, LearnOptions, Learned, Meaning, is_out_of_scope};
pub use model::*;
use nearest::Model;

/// Tenants whose models are kept in memory.
const MODELS: u64 = 1_000;

/// Compares a ticket with the tenant's examples and descriptions by their words and parts of words. The temperature of its
/// probabilities is fitted on the tenant's own examples, each left out in turn, so that it claims no more than it keeps.
pub struct NearestExample {
    models: Cache<(TenantId, ConfigVersion), Arc<Model>>,
}

impl NearestExample {
    /// A classifier that learns each tenant at its first ticket.
    pub fn new() -> Self {
        Self { models: Cache::new(MODELS) }
    }
}

impl Default for NearestExample {
    fn default() -> Self {
        Self::new()
    }
}

impl NearestExample {
    fn model(&self, tenant: &Tenant) -> Arc<Model> {
        let key = (tenant.id.clone(), tenant.version.clone());
        self.models.get_with(key, || Arc::new(Model::learn(tenant)))
    }
}

impl Classifier for NearestExample {
    fn prepare(&self, tenant: &Tenant) {
        self.model(tenant);
    }

    fn classify(&self, tenant: &Tenant, ticket: &Ticket) -> Result<Classification> {
        let model = self.model(tenant);
        Ok(ticket.text().read_as(|text| {
            let probabilities = model.probabilities(text);
            let mut categories: Vec<_> = tenant
                .config
                .categories
                .iter()
                .zip(probabilities)
                .map(|(category, probability)| CategoryProbability { category: category.id.clone(), probability })
                .collect();
            categories.sort_by(|one, other| other.probability.total_cmp(&one.probability));
            let usual = categories.first().and_then(|top| tenant.category(&top.category)).map(|top| top.severity);
            let (severity, severity_reason) = cues::severity(text, usual.unwrap_or_default());
            Classification {
                categories,
                severity,
                severity_reason,
                sentiment: cues::sentiment(text),
                language: ticket.language.clone().or_else(|| {
                    crate::text::detect_language(text, &tenant.config.languages).map(|found| found.language)
                }),
                model: format!("nearest-example/1 temperature {:.3}", model.temperature()),
            }
        }))
    }
}
