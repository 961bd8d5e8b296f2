//! The contracts of the ports of access: the audit log, the operator's store, an issuer's documents.

pub mod audit_log;
pub mod issuer_documents;
pub mod operator_store;
