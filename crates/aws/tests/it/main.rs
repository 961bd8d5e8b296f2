//! The adapters against an emulator of AWS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed expectation should stop the test")]

mod contracts;
mod emulator;
mod faults;
mod store;
mod tables;
