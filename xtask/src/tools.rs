//! Pinned tools that cargo does not bring along, installed beside the build cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::commands::no_arguments;
use crate::process;
use crate::project::Project;

const CARGO_DENY_VERSION: &str = "0.20.2";
/// schemathesis with its whole dependency tree, pinned by hash.
const SCHEMATHESIS_REQUIREMENTS: &str = "xtask/schemathesis/requirements.txt";
/// ministack likewise.
const MINISTACK_REQUIREMENTS: &str = "xtask/ministack/requirements.txt";
/// OpenAI's client likewise.
const OPENAI_REQUIREMENTS: &str = "xtask/openai/requirements.txt";
/// AWS's client likewise.
const BOTO3_REQUIREMENTS: &str = "xtask/bedrock/requirements.txt";
/// cfn-lint likewise.
const CFN_LINT_REQUIREMENTS: &str = "infra/requirements.txt";
/// The gateways to language models beside which ours is measured, likewise.
const LITELLM_REQUIREMENTS: &str = "bench/peers/litellm/requirements.txt";
const TENSORZERO_REQUIREMENTS: &str = "bench/peers/tensorzero/requirements.txt";

/// `cargo xtask setup`: installs what the other commands would install when they need it.
pub(crate) fn setup(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let deny = cargo_deny(project)?;
    println!("cargo-deny {CARGO_DENY_VERSION}: {}", deny.display());
    println!("schemathesis: {}", schemathesis(project)?.display());
    println!("ministack: {}", ministack(project)?.display());
    println!("openai: {}", openai_client(project)?.display());
    println!("boto3: {}", aws_client(project)?.display());
    println!("cfn-lint: {}", cfn_lint(project)?.display());
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

/// The path of schemathesis, which is installed first if it is missing.
pub(crate) fn schemathesis(project: &Project) -> Result<PathBuf> {
    python_tool(project, "schemathesis", SCHEMATHESIS_REQUIREMENTS)
}

/// The path of ministack, the emulator of AWS, which is installed first if it is missing.
pub(crate) fn ministack(project: &Project) -> Result<PathBuf> {
    python_tool(project, "ministack", MINISTACK_REQUIREMENTS)
}

/// The path of a Python that has OpenAI's client, which is installed first if it is missing.
pub(crate) fn openai_client(project: &Project) -> Result<PathBuf> {
    Ok(python_tool(project, "openai", OPENAI_REQUIREMENTS)?.with_file_name("python"))
}

/// The path of a Python that has AWS's client, which is installed first if it is missing.
pub(crate) fn aws_client(project: &Project) -> Result<PathBuf> {
    Ok(python_tool(project, "boto3", BOTO3_REQUIREMENTS)?.with_file_name("python"))
}

/// The path of cfn-lint, which is installed first if it is missing.
pub(crate) fn cfn_lint(project: &Project) -> Result<PathBuf> {
    python_tool(project, "cfn-lint", CFN_LINT_REQUIREMENTS)
}

/// The path of a Python that has LiteLLM's proxy, which is installed first if it is missing. For the benchmark only.
pub(crate) fn litellm(project: &Project) -> Result<PathBuf> {
    Ok(python_tool(project, "litellm", LITELLM_REQUIREMENTS)?.with_file_name("python"))
}

/// The path of a Python that has TensorZero's gateway, likewise.
pub(crate) fn tensorzero(project: &Project) -> Result<PathBuf> {
    Ok(python_tool(project, "tensorzero", TENSORZERO_REQUIREMENTS)?.with_file_name("python"))
}

/// The path of a Python program that is installed first, into a Python environment of its own, if it is missing or of other
/// versions than the requirements say.
fn python_tool(project: &Project, name: &str, requirements: &str) -> Result<PathBuf> {
    let file = project.root.join(requirements);
    let wanted = fs::read_to_string(&file).with_context(|| format!("reading {requirements}"))?;
    let environment = project.cache.tools.join(name);
    let (program, installed) = (environment.join("bin").join(name), environment.join("requirements.txt"));
    if fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(program);
    }
    println!("installing {name}, once, which takes some seconds");
    let mut venv = project.command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&environment);
    process::run(&mut venv)
        .context("making a Python environment; it needs python3 3.11 or newer with its module venv")?;
    let mut install = project.command(environment.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    install.args(["--require-hashes", "--no-deps", "--requirement"]).arg(&file);
    process::run(&mut install).with_context(|| format!("installing {name} from PyPI"))?;
    // Last, so that an installation that stopped half-way is done again.
    fs::write(&installed, wanted)?;
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
