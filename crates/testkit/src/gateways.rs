//! Gateways to language models for tests: their ledger is in memory.

use std::sync::Arc;

use switchboard_core::{
    models::{Gateway, ModelError, ModelErrorKind},
    ports::{ChatModel, Clock, Ids},
};

use crate::{
    memory_usage::MemoryUsage,
    scripted_model::{ScriptedModel, Turn},
};

/// A gateway to `model`.
pub fn gateway(model: impl ChatModel + 'static, clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Arc<Gateway> {
    let ledger = Arc::new(MemoryUsage::default());
    Arc::new(Gateway::new(Arc::new(model), ledger, Arc::clone(clock), Arc::clone(ids)))
}

/// A gateway behind which nobody is.
pub fn no_models(clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Arc<Gateway> {
    let nobody = |_: usize, _: &_, _: &_| Turn::Fails(ModelError::new(ModelErrorKind::Down, "there is no model here"));
    gateway(ScriptedModel::new(nobody), clock, ids)
}
