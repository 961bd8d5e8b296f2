//! The artifact of the Lambda functions: one zip with one program.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::claim;
use crate::commands::no_arguments;
use crate::process;
use crate::project::Project;

/// Below the root; not committed.
const ARTIFACT: &str = "dist/lambda.zip";
/// What a function may have, unzipped 250 MB in all, is far away; this is our own mark, because size is time at a cold start.
const LARGEST: u64 = 25 * 1024 * 1024;
/// The C library of the runtime `provided.al2023`.
const NEWEST_GLIBC: (u32, u32) = (2, 34);

/// `cargo xtask package-lambda`: builds it for this machine's processor and writes `dist/lambda.zip`.
pub(crate) fn package_lambda(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let _claim = claim::take(project)?;
    let artifact = package(project)?;
    println!("wrote {} ({} KiB)", artifact.display(), fs::metadata(&artifact)?.len() / 1024);
    Ok(())
}

/// Builds the program as it is shipped, checks that the runtime can start it, and zips it.
fn package(project: &Project) -> Result<PathBuf> {
    process::run(&mut project.cargo("build --profile lambda --package switchboard-lambda"))?;
    let (program, artifact) = (project.cache.target.join("lambda/bootstrap"), project.root.join(ARTIFACT));
    check_glibc(&fs::read(&program).with_context(|| format!("reading {}", program.display()))?)?;
    zip(project, &program, &artifact)?;
    let size = fs::metadata(&artifact)?.len();
    if size > LARGEST {
        bail!("{ARTIFACT} has {size} bytes, over {LARGEST}: look at what was linked in");
    }
    Ok(artifact)
}

/// The program of the development profile, for an emulator on this machine.
pub(crate) fn package_for_tests(project: &Project, artifact: &Path) -> Result<()> {
    // The whole workspace is named so that the dependencies are the ones `test` builds.
    process::run(&mut project.cargo("build --workspace --bin bootstrap"))?;
    zip(project, &project.cache.target.join("debug/bootstrap"), artifact)
}

fn zip(project: &Project, program: &Path, artifact: &Path) -> Result<()> {
    let folder = artifact.parent().context("the artifact has a folder")?;
    fs::create_dir_all(folder)?;
    let mut zip = project.command("python3");
    // From Python, because it is there and keeps the right to execute; a crate would make every command wait for it.
    zip.args(["-m", "zipfile", "-c"]).arg(artifact).arg("bootstrap");
    zip.current_dir(program.parent().context("the program has a folder")?);
    process::run(&mut zip)
}

/// A program that asks for a newer C library than the runtime's starts nowhere.
fn check_glibc(program: &[u8]) -> Result<()> {
    let newest = versions(program).max().unwrap_or_default();
    if newest > NEWEST_GLIBC {
        let ((major, minor), (our_major, our_minor)) = (newest, NEWEST_GLIBC);
        bail!(
            "the program needs glibc {major}.{minor}, the runtime has {our_major}.{our_minor}: build on an older system"
        );
    }
    Ok(())
}

/// The versions that the names of its symbols ask for: `GLIBC_2.34`.
fn versions(program: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    const MARK: &[u8] = b"GLIBC_";
    let starts = program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    starts.filter_map(|(at, _)| {
        let rest = &program[at + MARK.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(rest.len());
        let mut numbers = std::str::from_utf8(&rest[..end]).ok()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_c_library_than_the_runtimes_is_told() {
        assert!(check_glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE\0").is_ok());
        let error = check_glibc(b"\0GLIBC_2.17\0GLIBC_2.38\0").unwrap_err().to_string();
        assert!(error.starts_with("the program needs glibc 2.38"), "{error}");
    }
}
