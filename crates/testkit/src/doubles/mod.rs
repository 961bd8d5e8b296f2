//! Doubles of other people's systems: real HTTP servers on `127.0.0.1` that speak the real API, can be told to fail, and
//! remember what was done to them.
//!
//! A double runs in tasks of the tokio runtime that starts it and dies when it is dropped, with all its connections. Each
//! one derefs to [`server::Server`], where the address and the faults are. Any process may use them: nothing here needs a
//! test around it.
#![allow(clippy::expect_used, reason = "a double that cannot be started ends the test")]

pub mod bedrock;
pub mod customers;
pub mod faults;
pub mod issuer;
pub mod openai;
pub mod raw;
pub mod server;
pub mod status;
pub mod webhook;
pub mod zendesk;

pub use bedrock::BedrockDouble;
pub use customers::CustomerDouble;
pub use faults::Fault;
pub use issuer::{IssuerDouble, SigningKey};
pub use openai::OpenAiDouble;
pub use raw::RawServer;
pub use server::Server;
pub use status::StatusDouble;
pub use webhook::WebhookDouble;
pub use zendesk::ZendeskDouble;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use serde_json::Value;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
}

fn has_authorization(headers: &HeaderMap, expected: &str) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes())
}
