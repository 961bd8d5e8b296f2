//! Other people's systems over HTTP: ticketing systems, customer sources, service status, language models.
//!
//! Every call goes through the one client in [`outbound`], which keeps it away from the operator's own network. This crate
//! deliberately knows no storage and no HTTP server, and it decides nothing: it asks, checks the answer and tells the
//! outcome as [`switchboard_core::error::Error`]. Start at [`outbound`], then read one adapter, say [`webhook`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod address;
pub mod breaker_desk;
pub mod customers;
pub mod download;
pub mod issuer;
pub mod openai;
pub mod outbound;
mod retry_after;
mod secret;
pub mod status;
pub mod webhook;
pub mod zendesk;

use std::sync::Arc;

use switchboard_core::{
    by_tenant::{Connectors, EmbedderByProvider, ModelsByProvider},
    ports::{Clock, Secrets},
};

pub use breaker_desk::BreakerDesk;
pub use customers::HttpCustomers;
pub use issuer::HttpIssuer;
pub use openai::OpenAiModels;
pub use outbound::{Outbound, OutboundPolicy};
pub use status::HttpStatus;
pub use webhook::WebhookDesk;
pub use zendesk::ZendeskDesk;

/// All connectors over one client, each tenant's desk behind a breaker of its own.
pub fn connectors(outbound: &Arc<Outbound>, secrets: &Arc<dyn Secrets>, clock: &Arc<dyn Clock>) -> Connectors {
    let models = Arc::new(OpenAiModels::new(outbound.clone(), secrets.clone()));
    Connectors {
        models: ModelsByProvider { openai: models.clone(), bedrock: None, guardrail: None },
        embedder: EmbedderByProvider { openai: models, bedrock: None, local: None },
        customers: Arc::new(HttpCustomers::new(outbound.clone(), secrets.clone(), clock.clone())),
        status: Arc::new(HttpStatus::new(outbound.clone(), secrets.clone(), clock.clone())),
        webhook: Arc::new(BreakerDesk::new(
            WebhookDesk::new(outbound.clone(), secrets.clone(), clock.clone()),
            clock.clone(),
        )),
        zendesk: Arc::new(BreakerDesk::new(ZendeskDesk::new(outbound.clone(), secrets.clone()), clock.clone())),
    }
}
