//! Backups: one file with everything that a restore needs. `docs/backup.md` has the format.

mod create;
mod new_file;
mod place;
mod restore;

use std::path::Path;

use serde::{Deserialize, Serialize};
use switchboard_core::time::Timestamp;

pub(crate) use create::backup;
pub(crate) use new_file::{NewFile, is_standard};
pub(crate) use place::{finish_interrupted, finish_under};
pub(crate) use restore::restore;

const FORMAT: &str = "switchboard-backup";
/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;
/// The name of the manifest in the archive.
const MANIFEST: &str = "manifest.json";

/// What of the data folder is in a backup: files, and folders with everything in them. What is not here is made anew (lock,
/// reserve) or installed again (the embedding model).
const PARTS: [&str; 6] = [DATABASE, PEPPER, "switchboard.toml", "tenants", "models/tenants", SECRETS];
const DATABASE: &str = "switchboard.db";
const PEPPER: &str = "pepper";
const SECRETS: &str = "secrets";

/// What a backup says of itself: its last file.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// Always [`FORMAT`].
    format: String,
    /// The version of the format.
    format_version: u32,
    /// The program that wrote it.
    product_version: String,
    /// The version of the database's tables.
    schema_version: usize,
    /// The moment whose data it has.
    created_at: Timestamp,
    /// Tickets of all tenants.
    tickets: u64,
    /// Whether the tenants' secrets are in it.
    with_secrets: bool,
    /// Every other file of the archive.
    parts: Vec<Part>,
}

/// A file of the archive.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    /// Its path in the data folder.
    path: String,
    bytes: u64,
    /// In hexadecimal.
    sha256: String,
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a path of an archive lies in one of the parts, without a way out of the data folder.
fn is_part(path: &str) -> bool {
    let plain = path.split('/').all(|name| !matches!(name, "" | "." | "..") && !name.contains(['\\', '\0']));
    let is_of = |part: &&str| path == *part || path.strip_prefix(*part).is_some_and(|rest| rest.starts_with('/'));
    plain && PARTS.iter().any(is_of) && Path::new(path).is_relative()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_archive_leaves_the_parts_of_the_data_folder() {
        for good in
            ["switchboard.db", "pepper", "tenants/acme/config.json", "models/tenants/acme/active", "secrets/a/b"]
        {
            assert!(is_part(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "tenants/../../x",
            "tenants//x",
            "tenants/./x",
            "server.lock",
            "models/embedding/x",
            "tenantsx/y",
            "tenants\\..\\x",
            "switchboard.db-wal",
            "tenants/a\0b",
        ] {
            assert!(!is_part(bad), "{bad}");
        }
    }
}
