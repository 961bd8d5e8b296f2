//! What a message says about an event whose work is due.

use serde::Deserialize;
use switchboard_core::ids::{EventId, TenantId};

/// The part of a message that matters: EventBridge's envelope, and the same shape for retries that go straight to the queue.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) detail: Hint,
}

/// Whose event is due. The event itself is in the table.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Hint {
    #[serde(rename = "tenant_id")]
    pub(crate) tenant: TenantId,
    #[serde(rename = "event_id")]
    pub(crate) event: EventId,
    /// The lease that was given in advance, when there is one.
    #[serde(default, rename = "lease_token")]
    pub(crate) token: Option<u64>,
}

impl Message {
    pub(crate) fn parse(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }
}
