//! Who may do what, and the record of it.

pub(super) mod admin;
pub(super) mod audit_log;
pub(super) mod keys;
