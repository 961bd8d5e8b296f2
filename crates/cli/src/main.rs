//! Switchboard in one binary. `switchboard serve` starts the server; the other commands look at its data, change it, or
//! route tickets without it. This crate wires the core to its adapters and talks to the terminal; it decides nothing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]

mod access;
mod args;
#[cfg(feature = "aws")]
mod aws;
mod cassettes;
mod commands;
mod data;
mod demo;
mod embedding;
mod history;
mod learning;
mod measuring;
mod operator;
mod output;
mod report;
mod settings;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// Measured against the system's: fewer processor cycles for each ticket, and memory that does not creep.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    // `switchboard … | head` ends the program, as it does others; a server goes on when nobody reads its words.
    if !matches!(args.command, Command::Serve { .. }) {
        sigpipe::reset();
    }
    match commands::run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
