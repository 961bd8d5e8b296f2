//! Pinned tools that cargo does not bring along, installed beside the build cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::commands::no_arguments;
use crate::process;
use crate::project::Project;

const CARGO_DENY_VERSION: &str = "0.20.2";

/// `cargo xtask setup`: installs what the other commands would install when they need it.
pub(crate) fn setup(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let deny = cargo_deny(project)?;
    println!("cargo-deny {CARGO_DENY_VERSION}: {}", deny.display());
    Ok(())
}

/// The path of cargo-deny in its pinned version, which is installed first if it is missing.
pub(crate) fn cargo_deny(project: &Project) -> Result<PathBuf> {
    let program = project.cache.tools.join("bin/cargo-deny");
    if is_version(&program, &format!("cargo-deny {CARGO_DENY_VERSION}")) {
        return Ok(program);
    }
    println!("installing cargo-deny {CARGO_DENY_VERSION}, once, which takes some minutes");
    let mut install = project.cargo("install cargo-deny --locked --version");
    install.arg(CARGO_DENY_VERSION).arg("--root").arg(&project.cache.tools);
    // Without a target folder cargo takes a temporary one: no other build ever uses these files.
    install.env_remove("CARGO_TARGET_DIR");
    process::run(&mut install).context("installing cargo-deny")?;
    Ok(program)
}

fn is_version(program: &Path, expected: &str) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else {
        return false;
    };
    String::from_utf8_lossy(&output.stdout).trim() == expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_version_is_taken() {
        let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap());
        let version = process::output(Command::new(&cargo).arg("--version")).unwrap();
        let version = String::from_utf8(version).unwrap();

        assert!(is_version(&cargo, version.trim()));
        assert!(!is_version(&cargo, "cargo 0.0.1"));
        assert!(!is_version(Path::new("/no/such-program"), version.trim()));
    }
}
