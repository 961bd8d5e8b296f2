//! End-to-end tests of the real binary: each one starts `switchboard` as a process on a data folder of its own.
//!
//! The slow ones return early when `SWITCHBOARD_TEST_FAST` is set, and say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "test code: a failed expectation should stop the test, and it has the machine's own time"
)]

mod access;
mod api;
#[cfg(feature = "aws")]
mod aws;
mod bad_input;
mod batch;
mod certificates;
mod cli;
mod cli_route;
mod costs;
mod crash;
mod desk_failures;
mod desks;
mod disk;
mod door;
mod effects;
mod eval;
mod first_start;
mod fuzz;
mod in_process;
mod keeping;
mod keys;
mod learning;
mod models;
mod paging;
mod random;
mod reviews;
mod secrets;
mod server;
mod shutdown;
mod tenant;
mod tickets;
mod wait;
