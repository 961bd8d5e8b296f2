//! The ports: what the core asks of the outside, each with its contract in the doc comment.
//!
//! A port is coarse, cut by access pattern and consistency. It is used as `Arc<dyn Port>`, has a contract suite in
//! `switchboard-testkit`, and every adapter runs that suite. To add one: the trait here, the suite there, the adapter in
//! `local`, `connect` or `aws`, the field in [`crate::app::App`].
//!
//! Rules for all: a look-up of something absent is `Ok(None)`; every call that touches a tenant's data takes a
//! [`TenantScope`]; a call that is dropped half-way has either happened wholly or not at all.

mod audit;
mod chat_model;
mod classifier;
mod customers;
mod desk;
mod effects;
mod embedder;
mod examples;
mod guardrail;
mod issuer;
mod keys;
mod models;
mod operator;
mod queue;
mod status;
mod store;
mod tenants;
mod usage;
mod world;

pub use audit::{AuditFilter, AuditLog};
pub use chat_model::ChatModel;
pub use classifier::Classifier;
pub use customers::{Customer, CustomerDirectory, CustomerStore, StoredCustomer};
pub use desk::{Desk, DeskReceipt, DeskUpdate, Repeats};
pub use effects::{Attempt, Effect, EffectFilter, EffectKind, EffectLedger, EffectState, Resolution};
pub use embedder::Embedder;
pub use examples::{Added, Example, ExampleCounts, ExampleSource, ExampleStore};
pub use guardrail::{Direction, Guardrail, Verdict};
pub use issuer::IssuerDocuments;
pub use keys::{KeyRecord, KeyStore};
pub use models::{Learner, ModelStore};
pub use operator::OperatorStore;
pub use queue::{Backlog, DeadLetter, EventFilter, EventQueue, Lane, Lease, Leased, QueueDepth};
pub use status::{Outage, ServiceStatus, StatusReport};
pub use store::{
    Accepted, Decided, NewReview, NewTicket, Page, PastDecision, Recorded, ReviewFilter, ReviewQueue, ReviewState,
    SyncChange, TicketFile, TicketFilter, TicketStatus, TicketStore, TicketSummary, WaitingReview,
};
pub use tenants::{TenantScope, TenantSource};
pub use usage::{Ceiling, Ceilings, Reservation, Reserved, Settlement, Spend, Spent, UsageCount, UsageLedger, Wanted};
pub use world::{Clock, Ids, Secrets};
