//! The table of commands, and how a command line finds its entry.

use std::fmt;

use anyhow::Result;

use crate::project::Project;
use crate::{check, contract, doubles, emulator, fuzz, infra, package, product, tidy, tools};

/// One `cargo xtask` command.
pub(crate) struct Command {
    /// The word that calls it.
    pub(crate) name: &'static str,
    /// What may follow the word, for the help text.
    pub(crate) arguments: &'static str,
    /// The line `help` prints.
    pub(crate) summary: &'static str,
    /// Does the work; receives what followed the word.
    pub(crate) run: fn(&Project, &[String]) -> Result<()>,
}

/// Every command, in the order a newcomer needs them.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "run",
        arguments: "[--release] [ARGS…]",
        summary: "build the product and serve it with the demo tenant",
        run: product::run,
    },
    Command {
        name: "cli",
        arguments: "ARGS…",
        summary: "build the product and run one of its commands, on the demo's data",
        run: product::cli,
    },
    Command { name: "test", arguments: "[--fast]", summary: "check everything, as CI does", run: check::test },
    Command { name: "tidy", arguments: "", summary: "check the house rules only", run: tidy::tidy },
    Command {
        name: "openapi",
        arguments: "",
        summary: "write the OpenAPI snapshot, crates/http/openapi.json",
        run: product::openapi,
    },
    Command {
        name: "contract",
        arguments: "",
        summary: "try the server against its OpenAPI document (a step of test)",
        run: contract::contract,
    },
    Command {
        name: "doubles",
        arguments: "",
        summary: "try the doubles of other systems by those systems' own clients (a step of test)",
        run: doubles::doubles,
    },
    Command {
        name: "emulator",
        arguments: "",
        summary: "emulate AWS, for tests that are run by hand",
        run: emulator::emulator,
    },
    Command {
        name: "package-lambda",
        arguments: "",
        summary: "build the Lambda functions' artifact, dist/lambda.zip",
        run: package::package_lambda,
    },
    Command {
        name: "fuzz",
        arguments: "[TARGET] [--seconds N]",
        summary: "try the parsers of outside input, guided by coverage",
        run: fuzz::fuzz,
    },
    Command {
        name: "infra",
        arguments: "[--update]",
        summary: "check the infrastructure's code (a step of test); --update writes its snapshots",
        run: infra::infra,
    },
    Command { name: "bench", arguments: "[ARGS…]", summary: "run the benchmarks", run: product::bench },
    Command {
        name: "advisories",
        arguments: "",
        summary: "check dependencies for known flaws (needs github.com)",
        run: check::advisories,
    },
    Command {
        name: "setup",
        arguments: "",
        summary: "install the pinned tools (the other commands do it as needed)",
        run: tools::setup,
    },
    Command { name: "help", arguments: "", summary: "print this list", run: help },
];

/// A command line that asks for something that does not exist. The process then ends with status 2.
#[derive(Debug)]
pub(crate) struct UsageError(String);

/// Runs the command that `arguments` begins with; without arguments, `help`.
pub(crate) fn dispatch(project: &Project, arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        return help(project, &[]);
    };
    let name = if matches!(name.as_str(), "--help" | "-h") { "help" } else { name };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(project, rest),
        None => Err(unknown_command(name).into()),
    }
}

/// Refuses arguments given to a command that takes none.
pub(crate) fn no_arguments(arguments: &[String]) -> Result<()> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(UsageError::unexpected(argument).into()),
    }
}

impl UsageError {
    /// The error for an argument the command does not take.
    pub(crate) fn unexpected(argument: &str) -> Self {
        Self(format!("unexpected argument `{argument}`; `cargo xtask help` lists what each command takes"))
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

fn help(_: &Project, _: &[String]) -> Result<()> {
    println!("usage: cargo xtask <command>\n");
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.arguments);
        println!("  {call:<24} {}", command.summary);
    }
    Ok(())
}

fn unknown_command(name: &str) -> UsageError {
    let mut nearest = COMMANDS[0].name;
    for command in COMMANDS {
        if strsim::damerau_levenshtein(name, command.name) < strsim::damerau_levenshtein(name, nearest) {
            nearest = command.name;
        }
    }
    UsageError(format!("there is no command `{name}`; the nearest is `{nearest}`, and `cargo xtask help` lists all"))
}

#[cfg(test)]
mod tests;
