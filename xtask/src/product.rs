//! The commands that build the product and start it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::claim;
use crate::commands::no_arguments;
use crate::process;
use crate::project::Project;
use crate::tools;

const OPENAPI_SNAPSHOT: &str = "crates/http/openapi.json";

/// `cargo xtask run`: builds the binary and becomes it, so that signals and the process id are the server's.
pub(crate) fn run(project: &Project, arguments: &[String]) -> Result<()> {
    // Given back when this process becomes the server.
    let _claim = claim::take(project)?;
    let (binary, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "--release" => (build_release(project)?, rest),
        _ => (build(project)?, arguments),
    };
    let mut server = project.command(&binary);
    server.args(serve_arguments(arguments));
    println!("{}", process::describe(&server));
    let error = server.exec();
    Err(error).with_context(|| format!("starting {}", binary.display()))
}

/// `cargo xtask cli`: any command of the product, by default on the data that `run` serves.
pub(crate) fn cli(project: &Project, arguments: &[String]) -> Result<()> {
    let _claim = claim::take(project)?;
    let binary = build(project)?;
    let mut command = project.command(&binary);
    command.args(arguments).args(default_data(arguments));
    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", binary.display()))
}

/// `cargo xtask openapi`: the binary describes its own API, and the description is committed as a snapshot.
pub(crate) fn openapi(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let _claim = claim::take(project)?;
    let binary = build(project)?;
    let description = process::output(project.command(&binary).arg("openapi"))?;
    fs::write(project.root.join(OPENAPI_SNAPSHOT), description)
        .with_context(|| format!("writing {OPENAPI_SNAPSHOT}"))?;
    println!("wrote {OPENAPI_SNAPSHOT}");
    Ok(())
}

/// `cargo xtask bench`: the benchmarks against the release binary, built first so that they do not measure a build. The gateways
/// of others are installed only for the one that measures them.
pub(crate) fn bench(project: &Project, arguments: &[String]) -> Result<()> {
    let _claim = claim::take(project)?;
    let mut run = project.cargo("run --release --package switchboard-bench --");
    if arguments.iter().any(|argument| argument == "--gateway") {
        run.env("SWITCHBOARD_BENCH_LITELLM", tools::litellm(project)?);
        run.env("SWITCHBOARD_BENCH_TENSORZERO", tools::tensorzero(project)?);
    }
    build_release(project)?;
    process::run(run.args(arguments))
}

/// The development profile, because the first start of a fresh clone is the one somebody waits for. The whole
/// workspace is named so that the dependencies are the ones `test` builds.
pub(crate) fn build(project: &Project) -> Result<PathBuf> {
    process::run(&mut project.cargo("build --workspace --bin switchboard"))?;
    Ok(project.cache.target.join("debug/switchboard"))
}

/// As it is shipped: only the features the binary itself asks for.
fn build_release(project: &Project) -> Result<PathBuf> {
    process::run(&mut project.cargo("build --release --package switchboard"))?;
    Ok(project.cache.target.join("release/switchboard"))
}

fn serve_arguments(arguments: &[String]) -> Vec<String> {
    let mut all = vec!["serve".to_owned()];
    if !arguments.iter().any(|argument| argument == "--no-demo") {
        all.push("--demo".to_owned());
    }
    all.extend(default_data(arguments));
    for argument in arguments {
        if argument != "--demo" {
            all.push(argument.clone());
        }
    }
    all
}

fn default_data(arguments: &[String]) -> Vec<String> {
    if arguments.iter().any(|argument| argument == "--data" || argument.starts_with("--data=")) {
        return Vec::new();
    }
    vec!["--data".to_owned(), ".switchboard".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &str, expected: &str) {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        assert_eq!(serve_arguments(&arguments).join(" "), expected);
    }

    #[test]
    fn the_demo_is_served_unless_told_otherwise() {
        check("", "serve --demo --data .switchboard");
        check("--port 9000", "serve --demo --data .switchboard --port 9000");
        check("--data /tmp/x", "serve --demo --data /tmp/x");
        check("--demo --data=/tmp/x", "serve --demo --data=/tmp/x");
        check("--no-demo", "serve --data .switchboard --no-demo");
    }
}
