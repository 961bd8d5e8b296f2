//! The fuzz targets, guided by coverage: libFuzzer in the tests themselves, on the compiler that builds everything else.
//!
//! The targets are the calls of `testkit::fuzz::fuzz` in the crates' tests. `cargo test` gives each a short run without
//! coverage; compiled with [`FLAGS`] the same call hands the target to libFuzzer (`testkit/src/fuzz/guided.rs`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::claim;
use crate::commands::UsageError;
use crate::process;
use crate::project::Project;

/// What cargo-fuzz asks of the compiler, without the sanitizers, which need a nightly one. Programs without a target link
/// no libFuzzer, so the functions that count its coverage are missing there; they are not run.
const FLAGS: &str = "--cfg fuzzing_libfuzzer -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-arg=-Wl,--unresolved-symbols=ignore-all";
/// The packages whose tests have targets.
const PACKAGES: &str = "-p switchboard -p switchboard-connect -p switchboard-knowledge";
/// A part of the names of all tests that have targets, and of no others.
const TESTS: &str = "fuzz";
/// Before the name of a target and its test, as `guided.rs` writes them.
const MARK: &str = "fuzz target ";
/// No single input may take longer.
const HANGS: Duration = Duration::from_secs(10);
/// Nor may the process grow beyond this.
const MEGABYTES: u32 = 2_048;
const SECONDS: u64 = 60;

/// One target in one test.
struct Target {
    name: String,
    test: String,
    program: PathBuf,
}

/// `cargo xtask fuzz`: builds the targets and runs one or all, each for some seconds.
pub(crate) fn fuzz(project: &Project, arguments: &[String]) -> Result<()> {
    let (wanted, seconds) = parse(arguments)?;
    let _claim = claim::take(project)?;
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    process::output(project.command(&compiler).arg("--version"))
        .context("libFuzzer is C++ and is compiled first: install a C++ compiler, or name one in CXX")?;
    let mut targets = Vec::new();
    for program in build(project)? {
        targets.extend(list(&program)?);
    }
    targets.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(wanted) = wanted {
        let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
        targets.retain(|target| target.name == wanted);
        if targets.is_empty() {
            bail!("there is no target `{wanted}`; there are: {}", names.join(", "));
        }
    }
    println!("{:<20} {:>12} {:>9} {:>9} {:>7}", "target", "executions", "edges", "features", "corpus");
    let mut failed = Vec::new();
    for target in &targets {
        let folder = project.cache.target.join("fuzz").join(&target.name);
        if !run(target, &folder, seconds)? {
            failed.push(format!("{}: see {}", target.name, folder.display()));
        }
    }
    if !failed.is_empty() {
        bail!(
            "these targets failed; the log tells why, and the input is the newest crash-, oom- or timeout- file beside it. \
             Once it is mended, keep the input in crates/testkit/corpus/<target>/\n{}",
            failed.join("\n")
        );
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(Option<&str>, u64)> {
    let (mut target, mut seconds) = (None, SECONDS);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seconds" => {
                let number = rest.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
                seconds = number.context("--seconds needs a number over 0")?;
            }
            name if target.is_none() && !name.starts_with('-') => target = Some(name),
            other => return Err(UsageError::unexpected(other).into()),
        }
    }
    Ok((target, seconds))
}

/// The test programs, instrumented. The triple is named so that build scripts and macros are not.
fn build(project: &Project) -> Result<Vec<PathBuf>> {
    let version = process::output(project.command("rustc").arg("-vV"))?;
    let version = String::from_utf8_lossy(&version).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let mut build = project.cargo("test --no-run --message-format=json-render-diagnostics --lib --bins --test it");
    build.args(PACKAGES.split(' ')).args(["--target", host]).env("RUSTFLAGS", FLAGS);
    // Unoptimised, the product's own code would take most of the time; what debug builds check is checked all the same.
    build.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    let messages = process::output(&mut build)?;
    let messages = messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let tests = messages.filter(|message| message["profile"]["test"] == true);
    Ok(tests.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).collect())
}

/// The targets of a program, told by its tests, which run nothing but that.
fn list(program: &Path) -> Result<Vec<Target>> {
    let output = Command::new(program).arg(TESTS).args(["--nocapture", "--test-threads=1"]).output();
    let output = output.with_context(|| format!("starting {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} ended with {} when asked for its targets:\n{said}", program.display(), output.status);
    }
    let targets = said.lines().filter_map(|line| line.strip_prefix(MARK)?.split_once(" of "));
    Ok(targets
        .map(|(name, test)| Target { name: name.to_owned(), test: test.to_owned(), program: program.to_owned() })
        .collect())
}

/// Runs a target in its folder, which keeps its inputs for the next time; false when an input failed.
fn run(target: &Target, folder: &Path, seconds: u64) -> Result<bool> {
    fs::create_dir_all(folder.join("corpus")).with_context(|| format!("making {}", folder.display()))?;
    let log = folder.join("log");
    let options = format!(
        "corpus -max_total_time={seconds} -timeout={} -rss_limit_mb={MEGABYTES} -print_final_stats=1",
        HANGS.as_secs()
    );
    let mut command = Command::new(&target.program);
    command.args(["--exact", &target.test, "--nocapture", "--test-threads=1"]).current_dir(folder);
    command.env("SWITCHBOARD_FUZZ_TARGET", &target.name).env("SWITCHBOARD_FUZZ_OPTIONS", options);
    command.stdout(File::create(folder.join("output"))?).stderr(File::create(&log)?);
    let status = command.status().with_context(|| format!("starting {}", target.program.display()))?;
    let said = fs::read(&log)?;
    let figures = Figures::of(&String::from_utf8_lossy(&said));
    let verdict = if status.success() { "" } else { "  FAILED" };
    println!(
        "{:<20} {:>12} {:>9} {:>9} {:>7}{verdict}",
        target.name, figures.executions, figures.edges, figures.features, figures.corpus
    );
    Ok(status.success())
}

/// What libFuzzer said last.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    executions: u64,
    edges: u64,
    features: u64,
    corpus: u64,
}

impl Figures {
    fn of(log: &str) -> Self {
        let mut figures = Self::default();
        for line in log.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let after = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                words.get(at + 1)?.split('/').next()?.parse().ok()
            };
            if line.starts_with('#') {
                figures.executions = words[0].trim_start_matches('#').parse().unwrap_or(figures.executions);
                figures.edges = after("cov:").unwrap_or(figures.edges);
                figures.features = after("ft:").unwrap_or(figures.features);
                figures.corpus = after("corp:").unwrap_or(figures.corpus);
            }
            figures.executions = after("stat::number_of_executed_units:").unwrap_or(figures.executions);
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_ones() {
        let log = "INFO: Seed: 1\n#2\tINITED cov: 10 ft: 11 corp: 1/10b exec/s: 0 rss: 40Mb\n\
            #4096\tNEW    cov: 812 ft: 2301 corp: 91/4Kb lim: 43 exec/s: 2048 rss: 55Mb L: 9/43 MS: 1 ShuffleBytes-\n\
            #9000\tDONE   cov: 813 ft: 2302 corp: 92/4Kb lim: 43 exec/s: 2048 rss: 55Mb\nstat::number_of_executed_units: 9001\n";
        assert_eq!(Figures::of(log), Figures { executions: 9_001, edges: 813, features: 2_302, corpus: 92 });
        assert_eq!(Figures::of("no figures"), Figures::default());
    }

    #[test]
    fn arguments_are_a_target_and_seconds() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parse(&[]).unwrap(), (None, SECONDS));
        assert_eq!(parse(&words("ticket --seconds 5")).unwrap(), (Some("ticket"), 5));
        for bad in ["ticket tenant", "--second 5", "--seconds", "--seconds 0", "--seconds x"] {
            assert!(parse(&words(bad)).is_err(), "{bad}");
        }
    }
}
