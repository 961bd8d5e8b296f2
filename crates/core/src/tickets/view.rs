//! A ticket as people and programs read it: the record, its decision, the write-back, and what happened when.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Decision, SyncState, SyncStatus, TicketRecord};
use crate::{
    ports::{TicketFile, TicketStatus},
    time::Timestamp,
};

/// Everything that is known of a ticket.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    /// The ticket as accepted.
    pub ticket: TicketRecord,
    /// How far it is.
    pub status: TicketStatus,
    /// Its decision, once it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// How the write-back goes.
    pub sync_status: SyncStatus,
    /// The write-back in detail.
    pub sync: SyncState,
    /// What happened when, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// Something that happened to a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// What: `accepted`, `routed`, `sync_retrying`, `synced` or `sync_failed`.
    pub what: &'static str,
    /// In words.
    pub detail: String,
}

impl From<TicketFile> for TicketView {
    fn from(file: TicketFile) -> Self {
        let timeline = timeline(&file);
        Self {
            ticket: file.ticket.to_record(),
            status: if file.decision.is_some() { TicketStatus::Routed } else { TicketStatus::Accepted },
            decision: file.decision,
            sync_status: file.sync.status,
            sync: file.sync,
            timeline,
        }
    }
}

fn timeline(file: &TicketFile) -> Vec<TimelineEntry> {
    let mut entries = vec![TimelineEntry {
        at: file.ticket.accepted_at,
        what: "accepted",
        detail: format!("accepted with correlation id {}", file.ticket.correlation_id),
    }];
    if let Some(decision) = &file.decision {
        let (team, level) = (&decision.assigned_team, decision.priority_level);
        let detail = format!("assigned to {team} with priority {level}, decided by {}", decision.decided_by);
        entries.push(TimelineEntry { at: decision.created_at, what: "routed", detail });
    }
    if let Some(at) = file.sync.changed_at {
        let error = file.sync.last_error.as_deref().unwrap_or("no reason recorded");
        let tries = file.sync.failed_attempts;
        let (what, detail) = match file.sync.status {
            SyncStatus::Pending => {
                ("sync_retrying", format!("write-back failed {tries} times, will try again: {error}"))
            }
            SyncStatus::Success => ("synced", file.sync.receipt.clone().unwrap_or_default()),
            SyncStatus::Failed => ("sync_failed", format!("write-back failed {tries} times, given up: {error}")),
        };
        entries.push(TimelineEntry { at, what, detail });
    }
    entries
}
