//! A ticket as people and programs read it: the record, its decision, the write-back, and what happened when.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Decision, PriorityLevel, SyncState, SyncStatus, TicketRecord,
    review::{Assignment, Review},
};
use crate::{
    ids::{CategoryId, TeamId},
    ports::{ReviewState, TicketFile, TicketStatus},
    time::Timestamp,
};

/// Everything that is known of a ticket.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TicketView {
    /// The ticket as accepted.
    pub ticket: TicketRecord,
    /// How far it is.
    pub status: TicketStatus,
    /// The team that has it: the review's when there is one, else the decision's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_team: Option<TeamId>,
    /// How urgent it is, as reviewed or decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_level: Option<PriorityLevel>,
    /// What it is about, as reviewed or decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_category: Option<CategoryId>,
    /// Whether a person should look, or has looked.
    pub review_state: ReviewState,
    /// Its decision, once it is made. A review leaves it as it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What a person made of the decision, once somebody has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
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
    /// What: `accepted`, `routed`, `reviewed`, `sync_retrying`, `synced` or `sync_failed`.
    pub what: &'static str,
    /// In words.
    pub detail: String,
}

impl From<TicketFile> for TicketView {
    fn from(file: TicketFile) -> Self {
        let timeline = timeline(&file);
        let assignment = file.assignment();
        Self {
            review_state: file.review_state(),
            ticket: file.ticket.to_record(),
            status: if file.decision.is_some() { TicketStatus::Routed } else { TicketStatus::Accepted },
            assigned_team: assignment.as_ref().map(|now| now.team.clone()),
            priority_level: assignment.as_ref().map(|now| now.priority),
            primary_category: assignment.map(|now| now.category),
            decision: file.decision,
            review: file.review,
            sync_status: file.sync.status,
            sync: file.sync,
            timeline,
        }
    }
}

impl TicketFile {
    /// Where the ticket is now: as reviewed, else as decided.
    pub fn assignment(&self) -> Option<Assignment> {
        let reviewed = self.review.as_ref().map(|review| review.assignment.clone());
        reviewed.or_else(|| self.decision.as_ref().map(Assignment::of))
    }

    /// Whether a person should look, or has looked.
    pub fn review_state(&self) -> ReviewState {
        match (&self.review, &self.decision) {
            (Some(_), _) => ReviewState::Done,
            (None, Some(decision)) if decision.requires_manual_review => ReviewState::Waiting,
            (None, _) => ReviewState::NotNeeded,
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
    if let Some(review) = &file.review {
        entries.push(TimelineEntry { at: review.at, what: "reviewed", detail: review.summary() });
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
    // A review that changes nothing at the desk comes after the write-back.
    entries.sort_by_key(|entry| entry.at);
    entries
}
