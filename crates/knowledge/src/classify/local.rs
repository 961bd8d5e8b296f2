use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use moka::sync::Cache;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{ConfigVersion, ModelVersion, TenantId},
    learning::{Lesson, Measured, TrainedModel},
    ports::{Classifier, Example, Learner},
    tenants::Tenant,
    tickets::{Certainty, Classification, DecidedBy, Ticket},
};

use super::{
    artifact::ArtifactError,
    corpus::LearnOptions,
    model::{Reading, TrainError},
    tenant_model::{Made, TenantModel, fingerprint},
    tone,
};
use crate::{embed::Embedder, text::detect_language};

/// Tenants whose starter models are kept in memory.
const STARTERS: u64 = 1_000;
/// The seed of splits and orders: the same examples give the same model.
const SEED: u64 = 1;

/// The classifier that needs no model provider. A tenant without a trained model is classified by what its configuration
/// alone teaches, learned at its first ticket; a trained one takes its place by [`Learner::install`].
pub struct LocalClassifier {
    starters: Cache<(TenantId, ConfigVersion), Arc<TenantModel>>,
    installed: RwLock<HashMap<TenantId, (ModelVersion, Arc<TenantModel>)>>,
    embedder: OnceLock<Arc<Embedder>>,
    threads: usize,
}

impl LocalClassifier {
    /// A classifier that trains on up to `threads` threads.
    pub fn new(threads: usize) -> Self {
        Self {
            starters: Cache::new(STARTERS),
            installed: RwLock::default(),
            embedder: OnceLock::new(),
            threads: threads.max(1),
        }
    }

    /// Gives it the embedding model, once; what was learned without it stays, and asks it where it has a second stage.
    pub fn with_embeddings(&self, embedder: Arc<Embedder>) {
        // A second one would be the same model.
        let _ = self.embedder.set(embedder);
    }

    fn embedder(&self) -> Option<&Embedder> {
        self.embedder.get().map(Arc::as_ref)
    }

    fn make(&self, tenant: &Tenant, examples: &[Example], progress: &(dyn Fn(&str, f64) + Sync)) -> Result<Made> {
        let embedded = |done: usize, all: usize| progress("embedding", done as f64 / all.max(1) as f64);
        progress("learning", 0.0);
        let options = LearnOptions {
            embedder: self.embedder(),
            vocabulary: None,
            threads: self.threads,
            seed: SEED,
            progress: &embedded,
        };
        TenantModel::train(tenant, examples, &options).map_err(refused)
    }

    fn starter(&self, tenant: &Tenant) -> Result<Arc<TenantModel>> {
        let key = (tenant.id.clone(), tenant.version.clone());
        self.starters
            .try_get_with(key, || self.make(tenant, &[], &|_, _| ()).map(|made| Arc::new(made.model)))
            .map_err(|error| Error::new(error.kind(), error.to_string()))
    }

    /// The model for the tenant with its name: the trained one, while it knows all of the tenant's categories.
    fn model(&self, tenant: &Tenant) -> Result<(Arc<TenantModel>, String)> {
        let installed = self.installed.read().unwrap_or_else(PoisonError::into_inner).get(&tenant.id).cloned();
        match installed {
            Some((version, model)) if model.knows(tenant) => Ok((model, format!("local/{version}"))),
            _ => Ok((self.starter(tenant)?, format!("local/configuration-{}", tenant.version))),
        }
    }
}

fn refused(error: TrainError) -> Error {
    Error::new(ErrorKind::Invalid, error.to_string())
}

fn damaged(error: ArtifactError) -> Error {
    Error::new(ErrorKind::Invalid, "the model is refused").caused_by(error)
}

impl Classifier for LocalClassifier {
    fn prepare(&self, tenant: &Tenant) {
        tone::prepare();
        if let Err(error) = self.model(tenant) {
            tracing::error!(tenant = %tenant.id, error = error.report(), "nothing can be learned from the configuration");
        }
    }

    fn looks_critical(&self, ticket: &Ticket) -> bool {
        ticket.text().read_as(|text| tone::speaks_of_danger(text))
    }

    fn classify(&self, tenant: &Tenant, ticket: &Ticket) -> Result<Classification> {
        let (model, name) = self.model(tenant)?;
        let confidence_needed = model.confidence_needed(tenant.config.review.precision);
        Ok(ticket.text().read_as(|text| {
            let reading = Reading::new(text);
            let opinion = model.opinion(tenant, &reading, self.embedder());
            let usual = opinion.categories.first().and_then(|top| tenant.category(&top.category));
            let (severity, severity_reason) = tone::severity(&reading, text, usual.map(|category| category.severity));
            let sentiment = tone::sentiment(&reading);
            let spam = tone::spam(&reading);
            let detected = match &ticket.language {
                Some(_) => None,
                None => detect_language(text, &tenant.config.languages),
            };
            Classification {
                confidence_needed,
                is_out_of_scope: opinion.is_out_of_scope,
                is_spam: tone::is_spam(spam),
                severity: severity.answer,
                severity_reason: severity_reason.to_owned(),
                sentiment: sentiment.answer,
                language: ticket.language.clone().or_else(|| detected.as_ref().map(|found| found.language.clone())),
                certainty: Some(Certainty {
                    severity: rounded(severity.probability),
                    sentiment: rounded(sentiment.probability),
                    language: detected.map(|found| rounded(found.probability)),
                    out_of_scope: rounded(opinion.out_of_scope),
                    spam: rounded(spam),
                }),
                categories: opinion.categories,
                teams: opinion.teams,
                decided_by: DecidedBy::Local,
                model: name,
            }
        }))
    }
}

fn rounded(probability: f64) -> f64 {
    (probability * 1e4).round() / 1e4
}

impl Learner for LocalClassifier {
    fn train(&self, tenant: &Tenant, lesson: &Lesson, progress: &(dyn Fn(&str, f64) + Sync)) -> Result<TrainedModel> {
        let made = self.make(tenant, &lesson.examples, progress)?;
        Ok(TrainedModel {
            artifact: made.model.to_artifact().map_err(damaged)?,
            learned_from: made.learned_from,
            left_out: made.left_out,
            cross_validated: made.cross_validated,
            has_embeddings: made.has_embeddings,
            fingerprint: fingerprint(tenant),
        })
    }

    fn measure(&self, tenant: &Tenant, artifact: Option<&[u8]>, examples: &[Example]) -> Result<Measured> {
        let model = match artifact {
            Some(artifact) => Arc::new(TenantModel::from_artifact(artifact).map_err(damaged)?),
            None => self.starter(tenant)?,
        };
        // A model that does not know a category of today answers as the classifier would: by the configuration.
        let model = if model.knows(tenant) { model } else { self.starter(tenant)? };
        Ok(model.measure(tenant, examples, self.embedder()))
    }

    fn install(&self, tenant: &TenantId, model: Option<(&ModelVersion, &[u8])>) -> Result<()> {
        let loaded = match model {
            Some((version, artifact)) => {
                Some((version.clone(), Arc::new(TenantModel::from_artifact(artifact).map_err(damaged)?)))
            }
            None => None,
        };
        let mut installed = self.installed.write().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Some(loaded) => installed.insert(tenant.clone(), loaded),
            None => installed.remove(tenant),
        };
        Ok(())
    }

    fn installed(&self, tenant: &TenantId) -> Option<ModelVersion> {
        let installed = self.installed.read().unwrap_or_else(PoisonError::into_inner);
        installed.get(tenant).map(|(version, _)| version.clone())
    }

    fn fingerprint(&self, tenant: &Tenant) -> String {
        fingerprint(tenant)
    }
}
