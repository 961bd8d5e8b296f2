//! Telling the ticketing system of a decision.

use crate::{
    app::App,
    deadline,
    error::{Error, ErrorKind, Result},
    limits,
    ports::{DeskReceipt, DeskUpdate, TicketFile},
    tenants::Tenant,
    tickets::{Decision, SyncStatus},
};

/// What a write-back found to do.
#[derive(Debug)]
pub enum WriteBack {
    /// The ticketing system has it now.
    Done(DeskReceipt),
    /// It had it before; nothing was sent.
    DoneBefore,
}

/// Sends the ticket's decision to the tenant's ticketing system, unless that is done already.
pub async fn write_back(app: &App, tenant: &Tenant, file: &TicketFile) -> Result<WriteBack> {
    let decision =
        file.decision.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "a routed ticket has no decision"))?;
    if file.sync.status == SyncStatus::Success {
        return Ok(WriteBack::DoneBefore);
    }
    let update = update(decision);
    let sent = app.desk.update(tenant, &update);
    deadline::within(app.clock.as_ref(), limits::DESK_TIME, "the ticketing system", sent).await.map(WriteBack::Done)
}

/// What the ticketing system is told of a decision.
pub fn update(decision: &Decision) -> DeskUpdate {
    let issue = &decision.issue_classification;
    let mut tags = vec![
        "switchboard".to_owned(),
        format!("category_{}", issue.primary_category),
        format!("severity_{}", issue.severity),
    ];
    if decision.requires_manual_review {
        tags.push("needs_review".to_owned());
    }
    let mut note = decision.reasoning.clone();
    for reason in &decision.review_reasons {
        note.push_str("\nPlease review: ");
        note.push_str(reason);
    }
    DeskUpdate {
        decision_id: decision.decision_id.clone(),
        ticket_id: decision.ticket_id.clone(),
        team: decision.assigned_team.clone(),
        priority: decision.priority_level,
        priority_score: decision.priority_score,
        confidence: decision.confidence_score,
        requires_manual_review: decision.requires_manual_review,
        tags,
        note,
        decided_at: decision.timestamp,
        correlation_id: decision.correlation_id.clone(),
    }
}
