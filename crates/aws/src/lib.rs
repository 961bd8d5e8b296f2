//! AWS adapters of the ports: DynamoDB for what is kept and queued, EventBridge and SQS for who is woken, S3 for what is
//! large, Secrets Manager for secrets.
//!
//! The tables are the truth, the messages are hints (see `tables`): a message that is lost is made up for by the sweeper, one
//! that comes twice meets a lease.

mod clients;
mod error;
pub mod tables;

pub use clients::{Clients, Names, Settings};
