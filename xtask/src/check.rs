//! The commands that judge the repository.

use anyhow::{Context as _, Result};

use crate::commands::{UsageError, no_arguments};
use crate::emulator::{self, Emulator};
use crate::infra::Deployment;
use crate::process::run;
use crate::project::Project;
use crate::steps::{Step, run_all};
use crate::{claim, contract, doubles, infra, package, tidy, tools};

// Cheap checks first. All cargo steps take the whole workspace: a build for one package would choose other features
// for the shared dependencies and compile them again.
const STEPS: &[Step] = &[
    Step { name: "tidy", run: tidy::check },
    Step { name: "format", run: |project| run(&mut project.cargo("fmt --all --check")) },
    Step { name: "lint", run: lint },
    Step { name: "test", run: all_tests },
    Step { name: "contract", run: contract::check },
    Step { name: "doubles", run: doubles::check },
    Step { name: "infra", run: infra::check },
    Step { name: "deny", run: deny },
];

fn lint(project: &Project) -> Result<()> {
    run(&mut project.cargo("clippy --workspace --all-targets --features switchboard/aws -- -D warnings"))
}

const FAST_STEPS: &[Step] = &[
    Step { name: STEPS[0].name, run: STEPS[0].run },
    Step { name: STEPS[1].name, run: STEPS[1].run },
    Step { name: STEPS[2].name, run: STEPS[2].run },
    Step { name: STEPS[3].name, run: fast_tests },
];

/// `cargo xtask test`: everything, as CI runs it. `--fast` leaves out AWS, schemathesis, other people's clients and the check of licences and sources, and
/// tells slow tests to return early.
pub(crate) fn test(project: &Project, arguments: &[String]) -> Result<()> {
    let steps = match arguments {
        [] => STEPS,
        [flag] if flag == "--fast" => FAST_STEPS,
        [flag, other, ..] if flag == "--fast" => return Err(UsageError::unexpected(other).into()),
        [other, ..] => return Err(UsageError::unexpected(other).into()),
    };
    let _claim = claim::take(project)?;
    run_all(project, steps)
}

/// `cargo xtask advisories`: known flaws in dependencies. Not part of `test`, because the list of flaws is a Git
/// repository on github.com, and the result changes without a change here.
pub(crate) fn advisories(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let deny = tools::cargo_deny(project)?;
    // Two calls, so that a list that cannot be fetched is not mistaken for a flaw that was found.
    run(project.command(&deny).args(["fetch", "db"])).context(
        "the advisory database could not be fetched, so nothing was checked; this command must reach github.com",
    )?;
    run(project.command(&deny).args(["check", "--disable-fetch", "advisories"]))
}

/// Runs of the simulation in CI; a plain `cargo test` has fewer.
const SEEDS: &str = "2000";

fn all_tests(project: &Project) -> Result<()> {
    let emulator = Emulator::start(project)?;
    let in_folder = |name: &str| emulator.folder().join(name);
    let (artifact, outputs, throttled) =
        (in_folder("lambda.zip"), in_folder("outputs.json"), in_folder("throttled.json"));
    package::package_for_tests(project, &artifact)?;
    let port = emulator::free_port()?;
    for (prefix, tables_at, outputs) in [("switchboard", None, &outputs), ("throttled", Some(port), &throttled)] {
        infra::deploy(project, &emulator, &artifact, &Deployment { prefix, tables_at }, outputs)?;
    }
    let mut tests = project.cargo("test --workspace --features switchboard/aws");
    tests.envs(emulator.variables()).env("SWITCHBOARD_TEST_AWS_OUTPUTS", &outputs);
    tests.env("SWITCHBOARD_TEST_AWS_THROTTLED_OUTPUTS", &throttled);
    tests.env("SWITCHBOARD_TEST_AWS_THROTTLED_PORT", port.to_string());
    if std::env::var_os("SWITCHBOARD_TEST_SEEDS").is_none() {
        tests.env("SWITCHBOARD_TEST_SEEDS", SEEDS);
    }
    run(&mut tests)
}

fn fast_tests(project: &Project) -> Result<()> {
    // Without the rooms of AWS: their SDK takes minutes to compile.
    let rooms = "test --workspace --exclude switchboard-aws --exclude switchboard-lambda";
    run(project.cargo(rooms).env("SWITCHBOARD_TEST_FAST", "1"))
}

fn deny(project: &Project) -> Result<()> {
    let deny = tools::cargo_deny(project)?;
    // Offline: all packages are here since `tidy` read the metadata, and the advisories are a command of their own.
    // Without the graphs, because the tree above each duplicate is a page; `cargo tree --invert <crate>` shows one.
    let checks = ["check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    run(project.command(deny).arg("--offline").args(checks))
}
