//! A tenant as JSON lines, out and in again: `docs/backup.md` has the format.
//!
//! First the header, then the files of its configuration, then the rows of each table that [`crate::tables`] names, at last a
//! line with the number of lines and a hash of all bytes before it. What is exported, imported into an empty tenant and
//! exported again is the same, byte by byte.

mod export;
mod import;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use switchboard_core::ids::TenantId;

pub use export::export;
pub use import::{ExportReader, ImportOptions, ImportRow, Imported, ReadExport};

/// The word by which the first line of an export is known.
pub const EXPORT_FORMAT: &str = "switchboard-tenant";
/// The version of the format that is written, and the newest that is read.
pub const EXPORT_VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    /// Always [`EXPORT_FORMAT`].
    pub format: String,
    /// The version of the format.
    pub version: u32,
    /// The tenant that was exported.
    pub tenant: TenantId,
}

/// A file of the tenant's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantFile {
    /// Its path within the folder.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    kind: String,
    lines: BTreeMap<String, u64>,
    sha256: String,
}

const END: &str = "end";
const FILE: &str = "file";

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
