//! Lets several clones build into one target folder, one clone at a time.
//!
//! Cargo names what it builds from a member by the member's path *inside* the workspace, and takes it for fresh by file
//! times. So in a shared folder clone B can be handed the binary of clone A. The dependencies are the same in every
//! clone and stay; what belongs to members is forgotten whenever the folder changes hands.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;
use crate::project::Project;

/// The right to build into the target folder. Commands of the same clone share it, other clones wait; it ends when
/// dropped, or when the process ends or becomes another program.
pub(crate) struct Claim {
    _locked: Option<File>,
}

/// Waits until no other clone builds, and takes the target folder over.
pub(crate) fn take(project: &Project) -> Result<Claim> {
    let Some(owner) = &project.cache.owner else {
        return Ok(Claim { _locked: None });
    };
    let locked =
        lock_as_owner(project, owner).with_context(|| format!("claiming the build cache, {}", owner.display()))?;
    Ok(Claim { _locked: Some(locked) })
}

fn lock_as_owner(project: &Project, owner: &Path) -> Result<File> {
    let root = project.root.to_string_lossy();
    loop {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(owner)?;
        file.lock_shared()?;
        if read(&mut file)? == root {
            return Ok(file);
        }
        file.unlock()?;

        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("waiting for the build cache, in use by {}", read(&mut file)?);
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Another command of this clone may have taken the folder over in the meantime.
        if read(&mut file)? != root {
            forget_members(project)?;
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(root.as_bytes())?;
        }
        // A lock cannot be weakened without a gap in which another clone may come first: look again.
    }
}

fn read(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Makes cargo build the members again, in each profile that is used here.
fn forget_members(project: &Project) -> Result<()> {
    if project.cache.target.exists() {
        for profile in ["dev", "release"] {
            process::run(project.cargo("clean --quiet --workspace --profile").arg(profile))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
