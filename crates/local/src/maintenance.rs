//! What a server looks after each minute: retention ([`crate::retention`]), and what is unfinished and has no job.

use rusqlite::{Connection, params};
use switchboard_core::{error::Result, limits, time::Timestamp};
use ulid::Ulid;

use crate::{
    db::explain,
    store::{SqliteStore, usage},
};

/// Rows that one write removes or queues at most, so that others do not wait long.
pub(crate) const AT_ONCE: u32 = 500;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tickets whose time had come.
    pub expired: usize,
    /// Events whose archive time had come.
    pub unarchived: usize,
    /// Examples whose time had come.
    pub examples: usize,
    /// Customers that were looked up too long ago.
    pub customers: usize,
    /// Dead letters that nobody has looked at in their time.
    pub letters: usize,
    /// Counts of days that are over: of tickets, and of what was spent.
    pub uncounted: usize,
    /// Events queued again, because their ticket was unfinished and nothing was on its way.
    pub queued_again: usize,
}

impl Swept {
    /// Whether there may be more to do at once. What was only queued again does not say so: were its work to end without
    /// getting anywhere, sweep and worker would never rest.
    pub fn has_more(&self) -> bool {
        let queued_again = if self.queued_again < AT_ONCE as usize { 0 } else { self.queued_again };
        Self { queued_again, ..*self } != Self::default()
    }
}

impl SqliteStore {
    /// One sweep: a bounded part of what there is to do; call it again while it [has more](Swept::has_more).
    pub async fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept { queued_again: self.queue_unfinished().await?, ..Swept::default() };
        self.retain(&mut swept).await?;
        Ok(swept)
    }

    /// The first part of a sweep, in one write: queues what is unfinished and has no job, and says how much that was.
    pub async fn queue_unfinished(&self) -> Result<usize> {
        let now = self.clock.now();
        let count = self.db.writer.write(move |connection| queue_again(connection, now).map_err(explain)).await?;
        if count > 0 {
            tracing::warn!(count, "unfinished tickets without a job were queued again");
            self.queued.notify_one();
        }
        Ok(count)
    }
}

/// The table is the truth and the queue a hint: an old ticket that is not decided, or decided or reviewed and not written
/// back, gets the job of the event that leads on, when it has no job and that event is no dead letter. One from the future
/// counts as old: the clock was wrong then or is wrong now, and nobody knows for how long. One that an import holds, or
/// whose write-back a person has given up, is left alone.
fn queue_again(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO jobs (event, tenant, ticket_id)
             SELECT (SELECT e.id FROM events e WHERE e.tenant = t.tenant AND e.ticket_id = t.ticket_id
                     AND e.detail_type = iif(t.sync_of IS NOT NULL, 'TicketReviewed',
                                             iif(t.routed, 'TicketRouted', 'TicketReceived'))
                     AND (t.sync_of IS NULL OR t.sync_of = json_extract(e.detail, '$.review_id'))
                     ORDER BY e.id DESC LIMIT 1)
                    AS wanted, t.tenant, t.ticket_id
             FROM tickets t INDEXED BY tickets_unfinished
             WHERE t.sync = 0 AND t.dropped = 0 AND t.held = 0 AND (t.accepted_at <= ?1 OR t.accepted_at > ?3)
             AND wanted IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM effects f WHERE f.tenant = t.tenant
                             AND f.id = coalesce(t.sync_of, t.decision_id) AND f.state = 6)
             AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant = t.tenant AND j.ticket_id = t.ticket_id)
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.event = wanted)
             LIMIT ?2",
        )?
        .execute(params![now.minus(limits::UNFINISHED_AGE).as_millis(), AT_ONCE, now.as_millis()])
}

/// Yesterday's counts are kept: the clock may go back a little.
pub(crate) fn uncount(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let quotas = connection
        .prepare_cached(
            "DELETE FROM quota_counts WHERE (day, tenant, customer) IN
             (SELECT day, tenant, customer FROM quota_counts WHERE day < ?1 LIMIT ?2)",
        )?
        .execute(params![now.day() - 1, AT_ONCE])?;
    Ok(quotas + usage::forget(connection, now, AT_ONCE)?)
}

/// The smallest id that an event of that time can have: ids are ULIDs and sort by time.
pub(crate) fn first_id_of(time: Timestamp) -> String {
    Ulid::from_parts(u64::try_from(time.as_millis()).unwrap_or(0), 0).to_string()
}
