use rusqlite::{Connection, OptionalExtension, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    ports::{NewReview, Recorded},
    tickets::{PriorityLevel, SyncStatus},
};

use super::rows::code;
use crate::{db::explain, effects, examples, queue};

/// A review, its event and its example in one write.
pub(super) struct Record {
    pub(super) tenant: TenantId,
    pub(super) record: String,
    pub(super) new: NewReview,
}

impl Record {
    pub(super) fn run(self, connection: &Connection) -> Result<Recorded> {
        let gone = || Error::new(ErrorKind::NotFound, "the ticket is gone, or has no decision");
        self.store(connection).map_err(explain)?.ok_or_else(gone)
    }

    fn store(&self, connection: &Connection) -> rusqlite::Result<Option<Recorded>> {
        let review = &self.new.review;
        let found: Option<(i64, Option<String>)> = connection
            .prepare_cached(
                "SELECT t.id, v.review_id FROM tickets t LEFT JOIN reviews v ON v.ticket = t.id
                 WHERE t.tenant = ?1 AND t.ticket_id = ?2 AND t.routed = 1",
            )?
            .query_row(params![self.tenant.as_str(), review.ticket_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((row, newest)) = found else { return Ok(None) };
        if newest.as_deref() != self.new.replaces.as_ref().map(|id| id.as_str()) {
            return Ok(Some(Recorded::Overtaken));
        }
        let now = &review.assignment;
        connection
            .prepare_cached("UPDATE tickets SET reviewed = 1, team = ?2, category = ?3, priority = ?4 WHERE id = ?1")?
            .execute(params![row, now.team.as_str(), now.category.as_str(), code(PriorityLevel::ALL, &now.priority)])?;
        if self.new.event.detail.makes_work() {
            effects::supersede(connection, row, self.new.event.at)?;
            connection
                .prepare_cached(
                    "UPDATE tickets SET sync_of = ?2, sync = ?3, sync_failures = 0, sync_receipt = NULL, sync_error = NULL,
                     sync_changed_at = NULL, dropped = 0 WHERE id = ?1",
                )?
                .execute(params![row, review.review_id.as_str(), code(SyncStatus::ALL, &SyncStatus::Pending)])?;
        }
        connection
            .prepare_cached(
                "INSERT INTO reviews (ticket, review_id, record) VALUES (?1, ?2, ?3)
                 ON CONFLICT (ticket) DO UPDATE SET review_id = excluded.review_id, record = excluded.record",
            )?
            .execute(params![row, review.review_id.as_str(), self.record])?;
        examples::add_one(connection, &self.tenant, &self.new.example)?;
        queue::publish(connection, &self.new.event, self.new.event.detail.lane())?;
        effects::intend(connection, row, &self.new.event)?;
        Ok(Some(Recorded::New))
    }
}
