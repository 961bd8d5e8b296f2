//! Rules about folders and files.

use std::collections::BTreeMap;

use super::Violation;
use super::workspace::Workspace;

const ROOMS: &[&str] =
    &["core", "knowledge", "http", "local", "aws", "connect", "testkit", "faultdisk", "cli", "lambda"];
const LONGEST_FILE: usize = 500;
const LARGEST_FOLDER: usize = 20;

/// A new crate under `crates/` is a decision about the architecture, not a place to put things.
pub(crate) fn rooms_are_known(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in workspace.packages.values() {
        let Some(folder) = &package.folder else { continue };
        let Some(room) = folder.strip_prefix("crates/") else { continue };
        if !ROOMS.contains(&room) {
            violations.push(Violation {
                path: format!("{folder}/Cargo.toml"),
                line: 1,
                rule: "unknown-room",
                advice:
                    "a tenth crate needs a written reason: put the code in a room that exists, or write the reason \
                         in ARCHITECTURE.md and add the room to xtask/src/tidy/layout.rs and direction.rs"
                        .to_owned(),
            });
        }
    }
    violations
}

/// A file that does not fit in the head is cut by what its parts do.
pub(crate) fn files_are_short(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        let lines = file.text.lines().count();
        if file.is_source() && lines > LONGEST_FILE {
            violations.push(Violation {
                path: file.path.clone(),
                line: LONGEST_FILE + 1,
                rule: "long-file",
                advice: format!("{lines} lines, and {LONGEST_FILE} are the most: split it by what its parts do"),
            });
        }
    }
    violations
}

/// The same for a folder.
pub(crate) fn folders_are_small(workspace: &Workspace) -> Vec<Violation> {
    let mut sources_in = BTreeMap::new();
    for file in &workspace.files {
        if file.is_source() {
            *sources_in.entry(file.folder()).or_insert(0) += 1;
        }
    }
    let mut violations = Vec::new();
    for (folder, sources) in sources_in {
        if sources > LARGEST_FOLDER {
            violations.push(Violation {
                path: folder.to_owned(),
                line: 1,
                rule: "large-folder",
                advice: format!("{sources} source files, and {LARGEST_FOLDER} are the most: group them in folders"),
            });
        }
    }
    violations
}

/// The first lines of a crate tell what it is and what it does not know.
pub(crate) fn crate_roots_are_described(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        let is_root = matches!(file.name(), "lib.rs" | "main.rs") || file.folder().ends_with("src/bin");
        if file.is_source() && is_root && !file.text.starts_with("//!") {
            violations.push(Violation {
                path: file.path.clone(),
                line: 1,
                rule: "crate-root",
                advice: "begin with `//!`: what the crate is, what it does not know, where to start reading".to_owned(),
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests;
