//! x
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a failed expectation should stop the test"
)]
pub mod contracts;
pub mod doubles;
pub mod sample;
pub mod test_app;
pub mod world;
