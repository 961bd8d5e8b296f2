//! Who may do what: the session of the operator, API keys, the audit log.

pub(super) mod audit_log;
pub(super) mod keys;
pub(super) mod session;

use switchboard_core::{
    access::{
        Principal,
        audit::{Actor, By},
    },
    ids::CorrelationId,
};

/// The caller in this request, for the audit log.
fn by(principal: &Principal, correlation_id: CorrelationId) -> By {
    By { actor: Actor::from(principal), correlation_id: Some(correlation_id) }
}
