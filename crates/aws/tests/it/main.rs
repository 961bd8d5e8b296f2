//! The adapters against an emulator of AWS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation should stop the test")]

mod audit;
mod bedrock;
mod bell;
mod contracts;
mod contracts_access;
mod doctor;
mod emulator;
mod faults;
mod infrastructure;
mod store;
mod tables;
mod ttl;
