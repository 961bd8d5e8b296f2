//! What Switchboard knows and decides: the vocabulary, the path of a ticket, and the ports to the outside.
//!
//! It deliberately knows no HTTP framework, no database, no cloud and no async runtime: time, randomness, storage and
//! every other system come in through [`ports`], held by the one [`app::App`]. Start at [`tickets`] to follow a ticket,
//! at [`untrusted`] for the rule about text from outside, and at [`error`] for how failures are told.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access;
pub mod app;
pub mod breaker;
pub mod by_tenant;
pub mod deadline;
pub mod effects;
pub mod error;
pub mod event;
pub mod guard;
pub mod ids;
pub mod jobs;
pub mod json;
pub mod learning;
pub mod limits;
pub mod models;
pub mod ports;
pub mod tenants;
pub mod tickets;
pub mod time;
pub mod untrusted;
pub mod webhook;
mod words;
