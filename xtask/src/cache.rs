//! Where compiled dependencies and tools are kept, so that a fresh clone does not build them again.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Looks up an environment variable; a parameter so that tests need not change the real environment.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The folders that outlive a clone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cache {
    /// What cargo is given as `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    /// The `--root` of `cargo install`; programs are in its `bin`.
    pub(crate) tools: PathBuf,
    /// Names the clone that last built into `target`, if other clones may build there too.
    pub(crate) owner: Option<PathBuf>,
}

impl Cache {
    /// Chooses the folders for the clone at `root`: `$SWITCHBOARD_CACHE`, else `$XDG_CACHE_HOME/switchboard`, else
    /// `~/.cache/switchboard`. A folder that cannot be written costs speed, not the build: the clone's own `target`
    /// serves instead. A `CARGO_TARGET_DIR` that is already set is kept.
    pub(crate) fn choose(root: &Path, variables: Variables<'_>) -> Self {
        let own = Self { target: root.join("target"), tools: root.join("target/tools"), owner: None };
        let mut cache = match shared_folder(root, variables) {
            Some(folder) if is_writable(&folder) => Self::shared(&folder),
            Some(folder) => {
                eprintln!("note: the build cache {} cannot be written; using target/ instead", folder.display());
                own
            }
            None => own,
        };
        if let Some(target) = set_and_not_empty(variables, "CARGO_TARGET_DIR") {
            cache.target = root.join(target);
            cache.owner = None;
        }
        cache
    }

    fn shared(folder: &Path) -> Self {
        Self { target: folder.join("target"), tools: folder.join("tools"), owner: Some(folder.join("target-owner")) }
    }
}

fn shared_folder(root: &Path, variables: Variables<'_>) -> Option<PathBuf> {
    if let Some(folder) = set_and_not_empty(variables, "SWITCHBOARD_CACHE") {
        return Some(root.join(folder));
    }
    if let Some(folder) = set_and_not_empty(variables, "XDG_CACHE_HOME") {
        return Some(root.join(folder).join("switchboard"));
    }
    set_and_not_empty(variables, "HOME").map(|home| Path::new(&home).join(".cache/switchboard"))
}

fn set_and_not_empty(variables: Variables<'_>, name: &str) -> Option<OsString> {
    variables(name).filter(|value| !value.is_empty())
}

/// Permission bits do not tell about read-only mounts and full disks, so this writes a file and removes it.
fn is_writable(folder: &Path) -> bool {
    let probe = folder.join(format!("probe-{}", std::process::id()));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&probe, "probe"));
    written.and_then(|()| fs::remove_file(&probe)).is_ok()
}

#[cfg(test)]
mod tests;
