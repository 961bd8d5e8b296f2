//! The embedded adapters: one SQLite file for tickets, decisions, events, the queue, keys and customers; folders for
//! tenants, secrets, and the desk of systems that import files; the machine's clock and randomness.
//!
//! It knows the core and nothing of HTTP. Start at [`SqliteStore`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod audit;
mod backup;
mod customers;
mod db;
mod desk;
mod effects;
mod examples;
mod files;
mod keys;
mod maintenance;
mod models;
mod operator;
mod pepper;
mod queue;
mod retention;
mod secrets;
mod status;
mod store;
mod tables;
mod tenants;
mod transfer;
mod wipe;
mod world;

pub use backup::{DatabaseCopy, check_database, companions, copy_database, end_sessions};
pub use db::{DataError, Integrity, Role, is_older};
#[doc(hidden)]
pub use db::{MIGRATIONS, Spare, Volume};
pub use desk::FolderDesk;
pub use maintenance::Swept;
pub use models::FolderModels;
pub use pepper::load_or_make_pepper;
pub use retention::RetentionState;
pub use secrets::FolderSecrets;
pub use status::FileStatus;
pub use store::SqliteStore;
pub use tenants::FolderTenants;
pub use transfer::{
    EXPORT_FORMAT, EXPORT_VERSION, ExportHeader, ExportReader, ImportOptions, ImportRow, Imported, ReadExport,
    TenantFile, export,
};
pub use wipe::Wiped;
pub use world::{SystemClock, SystemIds};
