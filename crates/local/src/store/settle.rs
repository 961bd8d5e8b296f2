//! Writes that end a lease: the change, its event and the end of the lease are one.

use rusqlite::{Connection, OptionalExtension, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    event::Event,
    ids::{DecisionId, TenantId, TicketId},
    ports::{Decided, Lease, SyncChange},
    tickets::{Decision, PriorityLevel, Severity, SyncStatus},
    time::Timestamp,
};

use super::rows::code;
use crate::{db::explain, queue};

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
        queue::publish(connection, &self.event)?;
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
}

impl RecordSync {
    pub(super) fn run(self, connection: &Connection) -> Result<()> {
        let (lease, clock) = (&self.lease, self.lease_clock);
        let (status, receipt, error) = match &self.change {
            SyncChange::Succeeded { receipt } => {
                queue::complete(connection, lease, clock)?;
                (SyncStatus::Success, Some(receipt), None)
            }
            SyncChange::Retry { at, error } => {
                queue::retry(connection, lease, clock, *at, error)?;
                (SyncStatus::Pending, None, Some(error))
            }
            SyncChange::Failed { error } => {
                queue::bury(connection, lease, clock, error, self.now)?;
                (SyncStatus::Failed, None, Some(error))
            }
        };
        let update = || -> rusqlite::Result<()> {
            connection
                .prepare_cached(
                    "UPDATE tickets SET sync = ?4, sync_receipt = ?5, sync_error = coalesce(?6, sync_error),
                     sync_failures = sync_failures + (?6 IS NOT NULL), sync_changed_at = ?7
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
                ])?;
            match &self.event {
                Some(event) => queue::publish(connection, event),
                None => Ok(()),
            }
        };
        update().map_err(explain)
    }
}
