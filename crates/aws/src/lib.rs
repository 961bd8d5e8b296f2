//! AWS adapters of the ports: DynamoDB for what is kept and queued, EventBridge and SQS for who is woken, S3 for what is
//! large, Secrets Manager for secrets, Bedrock for language
//! models.
//!
//! The tables are the truth, the messages are hints (see `tables`): a message that is lost is made up for by the sweeper, one
//! that comes twice meets a lease.

mod audit;
pub mod bedrock;
mod bell;
mod body;
mod clients;
mod customers;
mod db;
mod deployment;
pub mod doctor;
mod doorbell;
mod effects;
pub mod emf;
mod error;
mod examples;
mod keys;
mod looked;
mod models;
mod queue;
mod secrets;
mod store;
pub mod tables;
mod tenants;

pub use audit::DynamoAudit;
pub use bedrock::{BedrockClients, BedrockModels};
pub use bell::{Bell, Message};
pub use clients::{Clients, Names, Settings};
pub use customers::DynamoCustomers;
pub use db::Requests;
pub use deployment::Deployment;
pub use doorbell::{Doorbell, Ring};
pub use keys::DynamoKeys;
pub use models::S3Models;
pub use queue::UNFINISHED_AT_ONCE;
pub use secrets::{CACHE_TIME as SECRET_CACHE_TIME, ManagedSecrets, pepper};
pub use store::DynamoStore;
pub use tenants::S3Tenants;
