//! Writes that end a lease: the change, its event and the end of the lease are one.

use rusqlite::{Connection, OptionalExtension, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    ids::{DecisionId, TenantId, TicketId},
    ports::{Decided, EffectState, Lease, SyncChange},
    tickets::{Decision, PriorityLevel, Severity, SyncStatus},
    time::Timestamp,
};

use super::rows::code;
use crate::{db::explain, effects, queue};

pub(super) struct Decide {
    pub(super) tenant: TenantId,
    pub(super) decision: Decision,
    pub(super) record: String,
    pub(super) event: Event,
    pub(super) lease: Lease,
    pub(super) lease_clock: i64,
}

impl Decide {
    pub(super) fn run(self, connection: &Connection) -> Result<Decided> {
        queue::complete(connection, &self.lease, self.lease_clock)?;
        self.store(connection).map_err(explain)?.ok_or_else(|| Error::new(ErrorKind::NotFound, "the ticket is gone"))
    }

    fn store(&self, connection: &Connection) -> rusqlite::Result<Option<Decided>> {
        let decision = &self.decision;
        let found: Option<(i64, bool)> = connection
            .prepare_cached("SELECT id, routed FROM tickets WHERE tenant = ?1 AND ticket_id = ?2")?
            .query_row(params![self.tenant.as_str(), decision.ticket_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let row = match found {
            None => return Ok(None),
            Some((_, true)) => return Ok(Some(Decided::Already)),
            Some((row, false)) => row,
        };
        let issue = &decision.issue_classification;
        connection
            .prepare_cached(
                "UPDATE tickets SET routed = 1, decision_id = ?2, decided_at = ?3, team = ?4, category = ?5,
                 severity = ?6, priority = ?7, score = ?8, confidence = ?9, review = ?10 WHERE id = ?1",
            )?
            .execute(params![
                row,
                decision.decision_id.as_str(),
                decision.timestamp.as_millis(),
                decision.assigned_team.as_str(),
                issue.primary_category.as_str(),
                code(Severity::ALL, &issue.severity),
                code(PriorityLevel::ALL, &decision.priority_level),
                decision.priority_score,
                decision.confidence_score,
                decision.requires_manual_review,
            ])?;
        connection
            .prepare_cached("INSERT INTO decisions (ticket, record) VALUES (?1, ?2)")?
            .execute(params![row, self.record])?;
        queue::publish(connection, &self.event, self.event.detail.lane())?;
        effects::intend(connection, row, &self.event)?;
        Ok(Some(Decided::New))
    }
}

pub(super) struct RecordSync {
    pub(super) tenant: TenantId,
    pub(super) ticket: TicketId,
    pub(super) decision: DecisionId,
    pub(super) change: SyncChange,
    pub(super) event: Option<Event>,
    pub(super) lease: Lease,
    pub(super) now: Timestamp,
    pub(super) lease_clock: i64,
    pub(super) due: Option<queue::Due>,
}

impl RecordSync {
    pub(super) fn run(self, connection: &Connection) -> Result<()> {
        self.settle(connection)?;
        self.store(connection).map_err(explain)
    }

    fn settle(&self, connection: &Connection) -> Result<()> {
        let (lease, clock) = (&self.lease, self.lease_clock);
        match (&self.change, self.due) {
            (SyncChange::Retry { error, .. }, Some(due)) => queue::retry(connection, lease, clock, due, error),
            (SyncChange::Deferred { reason, .. }, Some(due)) => queue::defer(connection, lease, clock, due, reason),
            (SyncChange::Failed { error, .. }, _) => queue::bury(connection, lease, clock, error, self.now),
            _ => queue::complete(connection, lease, clock),
        }
    }

    fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (status, state, receipt, error, failures) = match &self.change {
            SyncChange::Succeeded { receipt } => (SyncStatus::Success, EffectState::Done, Some(receipt), None, 0),
            SyncChange::Retry { error, open, .. } => (SyncStatus::Pending, waiting(*open), None, Some(error), 1),
            SyncChange::Deferred { reason, open, .. } => (SyncStatus::Pending, waiting(*open), None, Some(reason), 0),
            SyncChange::Failed { error, open } => {
                let state = if *open { EffectState::Unknown } else { EffectState::Failed };
                (SyncStatus::Failed, state, None, Some(error), 1)
            }
            SyncChange::Superseded => {
                effects::settle(connection, &self.decision, EffectState::Superseded, None, None, self.now)?;
                return Ok(());
            }
        };
        effects::settle(connection, &self.decision, state, receipt, error, self.now)?;
        connection
            .prepare_cached(
                "UPDATE tickets SET sync = ?4, sync_receipt = ?5, sync_error = coalesce(?6, sync_error),
                 sync_failures = sync_failures + ?8, sync_changed_at = ?7
                 WHERE tenant = ?1 AND ticket_id = ?2 AND coalesce(sync_of, decision_id) = ?3",
            )?
            .execute(params![
                self.tenant.as_str(),
                self.ticket.as_str(),
                self.decision.as_str(),
                code(SyncStatus::ALL, &status),
                receipt,
                error,
                self.now.as_millis(),
                failures,
            ])?;
        match &self.event {
            Some(event) => queue::publish(connection, event, event.detail.lane()),
            None => Ok(()),
        }
    }
}

/// What an effect is while its next attempt waits.
fn waiting(open: bool) -> EffectState {
    if open { EffectState::Attempted } else { EffectState::Intended }
}
