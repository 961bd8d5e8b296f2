//! The embedded adapters against the contract suites of their ports, and what only they promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation should stop the test")]

mod agent;
mod audit;
mod cascade;
mod contracts;
mod disk;
mod filled;
mod keeping;
mod learning;
mod maintenance;
mod models;
mod path;
mod process;
mod reviews;
mod secrets;
mod sim;
mod status;
mod tenants;
mod transfer;
mod trial;
