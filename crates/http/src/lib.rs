//! The HTTP door: an axum router over the core. It turns requests into core calls and results into JSON or problem
//! documents (RFC 9457), and decides nothing else. It knows the core and no adapter. Start at [`router`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod auth;
mod body;
mod correlation;
mod door;
mod headers;
mod openapi;
mod problem;
mod routes;
mod server;
mod shares;
mod state;
#[cfg(test)]
mod tests;

pub use auth::SignIn;
pub use door::{ClientAddressHeader, Connection, Limits, TrustedProxies};
pub use openapi::document;
pub use problem::Problem;
pub use routes::router;
pub use server::{Tls, TlsError, serve};
pub use state::{HttpState, Service};
