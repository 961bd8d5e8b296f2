//! AWS adapters of the ports: DynamoDB for what is kept and queued, EventBridge and SQS for who is woken, S3 for what is
//! large, Secrets Manager for secrets.
//!
//! The tables are the truth, the messages are hints (see `tables`): a message that is lost is made up for by the sweeper, one
//! that comes twice meets a lease.

mod attributes;
mod audit;
mod bell;
mod bulk;
mod clients;
mod customers;
pub mod doctor;
pub mod emf;
mod error;
mod keys;
mod looked;
mod models;
mod secrets;
pub mod tables;
mod tenants;

pub use audit::DynamoAudit;
pub use bell::{Bell, Doorbell, Hint, Ring};
pub use clients::{Clients, Names, Settings};
pub use customers::DynamoCustomers;
pub use keys::DynamoKeys;
pub use models::S3Models;
pub use secrets::{CACHE_TIME as SECRET_CACHE_TIME, ManagedSecrets};
pub use tenants::S3Tenants;
