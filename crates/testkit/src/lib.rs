//! For tests only: the contract suites of the ports, doubles of outside services that speak their real APIs, a clock that
//! stands still, an app that cannot be left with work undone, and the crash test of the real binary. It knows the core and no adapter.
#![cfg_attr(not(fuzzing_libfuzzer), forbid(unsafe_code))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a failed expectation should stop the test"
)]
pub mod contracts;
pub mod crash;
pub mod doubles;
pub mod fuzz;
pub mod gateways;
pub mod memory_audit;
pub mod memory_usage;
pub mod sample;
pub mod scripted_embedder;
pub mod scripted_model;
pub mod sim;
pub mod test_app;
pub mod world;
