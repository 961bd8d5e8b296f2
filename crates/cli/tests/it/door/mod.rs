//! What stands before the routes: limits, time, connections, TLS, headers.

mod abuse;
mod connections;
mod headers;
mod rates;
mod socket;
mod tls;
