//! AWS adapters of the ports: DynamoDB for what is kept and queued, EventBridge and SQS for who is woken, S3 for what is
//! large, Secrets Manager for secrets.
//!
//! The tables are the truth, the messages are hints (see `tables`): a message that is lost is made up for by the sweeper, one
//! that comes twice meets a lease.

mod body;
mod clients;
mod db;
mod doorbell;
mod effects;
mod error;
mod examples;
mod queue;
mod store;
pub mod tables;

pub use clients::{Clients, Names, Settings};
pub use db::Requests;
pub use doorbell::{Doorbell, Ring};
pub use queue::UNFINISHED_AT_ONCE;
pub use store::DynamoStore;
