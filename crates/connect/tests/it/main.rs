//! The adapters against doubles of the systems that they talk to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod breaker_desk;
mod common;
mod customers;
mod desk_contract;
mod embeddings;
mod lying;
mod oidc;
mod openai;
mod outbound;
mod source_contracts;
mod status;
mod webhook;
mod zendesk;
