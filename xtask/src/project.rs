//! This clone: where it is, and how programs are started in it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, Variables};

/// What every command needs to know about the clone it works on.
pub(crate) struct Project {
    /// The repository root.
    pub(crate) root: PathBuf,
    /// Where builds and tools go.
    pub(crate) cache: Cache,
    cargo: OsString,
    is_ci: bool,
    incremental_is_set: bool,
}

impl Project {
    /// The clone this tool was started from.
    pub(crate) fn find() -> Self {
        // At run time first: the compiled-in path is wrong after the clone was moved.
        let manifest_folder =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").to_owned().into());
        let manifest_folder = PathBuf::from(manifest_folder);
        let root = manifest_folder.parent().unwrap_or(&manifest_folder);
        Self::at(root, &|name| env::var_os(name))
    }

    /// The clone at `root`, in the environment `variables`.
    pub(crate) fn at(root: &Path, variables: Variables<'_>) -> Self {
        Self {
            root: root.to_owned(),
            cache: Cache::choose(root, variables),
            cargo: variables("CARGO").unwrap_or_else(|| "cargo".into()),
            is_ci: variables("CI").is_some_and(|value| !value.is_empty() && value != "false"),
            incremental_is_set: variables("CARGO_INCREMENTAL").is_some(),
        }
    }

    /// A cargo command at the root. `words` are its first arguments, divided by blanks.
    pub(crate) fn cargo(&self, words: &str) -> Command {
        let mut command = self.command(&self.cargo);
        command.args(words.split_whitespace()).env("CARGO_TARGET_DIR", &self.cache.target);
        if self.is_ci && !self.incremental_is_set {
            // CI builds each commit once: nobody reads the incremental data, which is as large as the build itself.
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }

    /// Any program at the root.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.root);
        // `cargo xtask` describes the xtask package in these. A build script that watches one of them (ring's does)
        // would run again, and so would everything above it, for each clone that shares the cache.
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }
}

#[cfg(test)]
mod tests;
