//! The infrastructure's code (`infra/`, AWS CDK in TypeScript): compiled, linted, tested against its snapshots, synthesised
//! with the rules of cdk-nag, and its templates read by cfn-lint. All of it offline, once npm and pip have fetched.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::claim;
use crate::commands::no_arguments;
use crate::emulator::Emulator;
use crate::process;
use crate::project::Project;
use crate::tools;

const FOLDER: &str = "infra";
const LOCK: &str = "package-lock.json";
/// What the packages were installed from, beside them.
const INSTALLED: &str = "node_modules/.installed-from";
/// The oldest major version of Node.js that the packages run on.
const NODE: u32 = 20;
/// The choices that make other templates; the rest only changes values.
const VARIANTS: [(&str, &[&str]); 2] =
    [("http", &[]), ("rest", &["front=rest", "alarmEmail=a@example.com", "slackHookUrl=https://hooks.slack.com/a"])];

/// `cargo xtask infra`: this step alone. `--update` writes the snapshots instead of comparing with them.
pub(crate) fn infra(project: &Project, arguments: &[String]) -> Result<()> {
    let (update, rest) = match arguments {
        [flag, rest @ ..] if flag == "--update" => (true, rest),
        rest => (false, rest),
    };
    no_arguments(rest)?;
    let _claim = claim::take(project)?;
    all(project, update)
}

/// Checks everything about the infrastructure that can be checked without an account.
pub(crate) fn check(project: &Project) -> Result<()> {
    all(project, false)
}

/// One of the deployments in an emulator.
pub(crate) struct Deployment {
    /// What the names of its resources begin with.
    pub(crate) prefix: &'static str,
    /// The port of this machine at which its functions ask for the tables: a test listens there, and is in their way.
    pub(crate) tables_at: Option<u16>,
}

/// Deploys the stacks to an emulator with `artifact`, as they are deployed to AWS, and writes their outputs to `outputs` as JSON.
pub(crate) fn deploy(
    project: &Project,
    emulator: &Emulator,
    artifact: &Path,
    deployment: &Deployment,
    outputs: &Path,
) -> Result<()> {
    let folder = packages(project)?;
    process::run(project.command("node").current_dir(&folder).args(["node_modules/typescript/bin/tsc", "-p", "."]))?;
    let mut deploy = project.command("node");
    deploy.current_dir(&folder).envs(emulator.variables()).arg("dist/scripts/deploy-local.js");
    deploy.args(["--endpoint", &emulator.endpoint(), "--artifact"]).arg(artifact);
    deploy.args(["--prefix", deployment.prefix]);
    // The tests' desks are on this machine.
    let mut variables = r#""SWITCHBOARD_OUTBOUND__ALLOW_HOSTS":"127.0.0.1""#.to_owned();
    if let Some(port) = deployment.tables_at {
        variables.push_str(&format!(r#","AWS_ENDPOINT_URL_DYNAMODB":"http://127.0.0.1:{port}""#));
    }
    deploy.args(["-c", &format!("variables={{{variables}}}")]);
    let told = process::output(&mut deploy).context("deploying to the emulator")?;
    fs::write(outputs, told).with_context(|| format!("writing {}", outputs.display()))
}

fn all(project: &Project, update: bool) -> Result<()> {
    let folder = packages(project)?;
    let node = |words: &[&str]| {
        let mut command = project.command("node");
        command.current_dir(&folder).args(words);
        command
    };
    process::run(&mut node(&["node_modules/typescript/bin/tsc", "-p", "."]))?;
    process::run(&mut node(&["node_modules/eslint/bin/eslint.js", "."]))?;
    let mut tests = node(&["--test", "--test-reporter", "spec"]);
    tests.args(test_files(&folder)?);
    if update {
        tests.env("SNAPSHOTS", "write");
    }
    process::run(&mut tests).context("if the templates are meant to change: cargo xtask infra --update")?;
    process::run(&mut node(&["dist/scripts/placeholder.js", "dist/placeholder.zip"]))?;
    let mut lint = project.command(tools::cfn_lint(project)?);
    lint.current_dir(&folder).arg("--");
    for (name, choices) in VARIANTS {
        let output = format!("dist/cdk.out/{name}");
        let mut synth =
            node(&["node_modules/aws-cdk/bin/cdk", "synth", "--quiet", "--no-notices", "--output", &output]);
        synth.args(["-c", "artifact=dist/placeholder.zip"]);
        synth.args(choices.iter().flat_map(|choice| ["-c", choice]));
        process::run(&mut synth)?;
        lint.args(templates(&folder.join(output))?);
    }
    process::run(&mut lint)
}

/// The folder of the code, with its packages: installed in the cache, where a fresh clone finds them, unless somebody has
/// installed them here.
fn packages(project: &Project) -> Result<PathBuf> {
    let folder = project.root.join(FOLDER);
    let linked = folder.join("node_modules");
    let is_own = fs::symlink_metadata(&linked).is_ok_and(|found| found.is_dir());
    let place = if is_own { folder.clone() } else { project.cache.tools.join(FOLDER) };
    install(project, &folder, &place)?;
    if !is_own && fs::read_link(&linked).ok() != Some(place.join("node_modules")) {
        // A link to elsewhere, when there is one.
        let _ = fs::remove_file(&linked);
        symlink(place.join("node_modules"), &linked).with_context(|| format!("linking {}", linked.display()))?;
    }
    Ok(folder)
}

fn install(project: &Project, folder: &Path, place: &Path) -> Result<()> {
    let wanted = fs::read_to_string(folder.join(LOCK)).with_context(|| format!("reading {FOLDER}/{LOCK}"))?;
    let installed = place.join(INSTALLED);
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    node_is_new(project)?;
    println!("installing the packages of {FOLDER}, once, which takes some seconds");
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    if place != folder {
        for name in ["package.json", LOCK] {
            fs::copy(folder.join(name), place.join(name)).with_context(|| format!("copying {name}"))?;
        }
    }
    let mut install = project.command("npm");
    install.current_dir(place).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
    process::run(&mut install).context("installing from npm")?;
    // Last, so that an installation that stopped half-way is done again.
    fs::write(&installed, wanted).with_context(|| format!("writing {}", installed.display()))
}

fn node_is_new(project: &Project) -> Result<()> {
    let version = process::output(project.command("node").arg("--version"))
        .with_context(|| format!("{FOLDER} needs Node.js {NODE} or newer, with npm"))?;
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE) {
        bail!("{FOLDER} needs Node.js {NODE} or newer, and this is {version}");
    }
    Ok(())
}

fn test_files(folder: &Path) -> Result<Vec<OsString>> {
    files(&folder.join("dist/test"), ".test.js")
}

fn templates(folder: &Path) -> Result<Vec<OsString>> {
    files(folder, ".template.json")
}

/// The files of a folder with that ending. None at all would mean that nothing is checked.
fn files(folder: &Path, ending: &str) -> Result<Vec<OsString>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(ending) {
            found.push(entry.path().into_os_string());
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("there is no {ending} in {}", folder.display());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_none_is_an_error() {
        let folder = std::env::temp_dir().join(format!("switchboard-infra-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for name in ["b.test.js", "a.test.js", "support.js"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let names = files(&folder, ".test.js").unwrap();
        let error = files(&folder, ".template.json").unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();

        assert_eq!(names, [folder.join("a.test.js").into_os_string(), folder.join("b.test.js").into_os_string()]);
        assert!(error.starts_with("there is no .template.json in "), "{error}");
    }
}
