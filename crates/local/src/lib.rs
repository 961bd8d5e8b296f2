//! The embedded adapters: one SQLite file for tickets, decisions, events, the queue, keys and customers; folders for
//! tenants, secrets, and the desk of systems that import files; the machine's clock and randomness.
//!
//! It knows the core and nothing of HTTP. Start at [`SqliteStore`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod audit;
mod customers;
mod db;
mod desk;
mod examples;
mod files;
mod keys;
mod maintenance;
mod models;
mod operator;
mod pepper;
mod queue;
mod secrets;
mod status;
mod store;
mod tenants;
mod world;

pub use db::{DataError, Integrity, Role};
pub use desk::FolderDesk;
pub use maintenance::Swept;
pub use models::FolderModels;
pub use pepper::load_or_make_pepper;
pub use secrets::FolderSecrets;
pub use status::FileStatus;
pub use store::SqliteStore;
pub use tenants::FolderTenants;
pub use world::{SystemClock, SystemIds};
