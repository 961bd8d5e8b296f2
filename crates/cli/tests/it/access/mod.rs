//! Who may do what, and the record of it.

mod audit_log;
mod hooks;
mod keys;
mod oidc;
mod session;
