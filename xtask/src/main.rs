//! The chores of this repository as one command-line tool: `cargo xtask help` lists them.
//!
//! It knows cargo, the folder layout and the house rules. It does not know the product: it builds and starts the
//! `switchboard` binary, but links to none of its crates, so it still works when they do not compile.
//! Start reading at [`commands::COMMANDS`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod cache;
mod check;
mod claim;
mod commands;
mod contract;
mod doubles;
mod emulator;
mod fuzz;
mod infra;
mod package;
mod process;
mod product;
mod project;
mod steps;
mod tidy;
mod tools;

use std::process::ExitCode;

use crate::commands::UsageError;
use crate::project::Project;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let project = Project::find();
    match commands::dispatch(&project, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<UsageError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
