//! What stands before the routes: limits, time, connections, TLS, headers.

mod abuse;
mod socket;
