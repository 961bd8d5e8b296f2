//! Retention: what goes when its time has come, and whether the clock that says so can be believed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, params, params_from_iter};
use switchboard_core::{
    error::Result,
    ids::{EventId, TenantId},
    limits,
    ports::{EventQueue, TenantScope},
    tenants::RetentionPolicy,
    time::Timestamp,
};

use crate::{
    db::{corrupt, explain},
    maintenance::{AT_ONCE, Swept, first_id_of, uncount},
    store::SqliteStore,
    tables::{TABLES, Table},
};

/// Events that one look goes through, on a reader.
const EVENTS_AT_ONCE: u32 = 5_000;
/// Looks of one sweep that find nothing to remove.
const LOOKS: u32 = 20;
/// How often the archive is gone through from its beginning.
const ARCHIVE_EVERY: Duration = Duration::from_secs(3600);
/// A clock that has jumped runs evenly when it moves no more than this between two sweeps.
const EVEN_STEP: Duration = Duration::from_secs(3600);

/// What is to be kept, and how far the archive was gone through.
#[derive(Default)]
pub(crate) struct Keeper {
    policy: Mutex<RetentionPolicy>,
    archive: Mutex<Archive>,
}

/// The state of a walk through the archive in the order of its ids: tenants keep events for different times, so the oldest
/// that may go can lie behind many that may not, and each is looked at once an hour only.
#[derive(Clone, Default)]
struct Archive {
    after: String,
    rests_until: Option<Duration>,
}

/// Whether retention works, and what it leaves alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionState {
    /// The wall clock has jumped ahead: nothing is deleted until an operator confirms it or it has run evenly for
    /// [`limits::CLOCK_PROOF`] from this time on.
    pub clock_suspect_since: Option<Timestamp>,
    /// Tickets whose time has come but that are not finished, and so are kept.
    pub overdue: u64,
}

impl SqliteStore {
    /// From now on, this is kept; until this is called, what [`RetentionPolicy::default`] says.
    pub fn set_retention(&self, policy: RetentionPolicy) {
        *self.keeper.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    fn policy(&self) -> RetentionPolicy {
        self.keeper.policy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether retention works, and what it leaves alone.
    pub async fn retention_state(&self) -> Result<RetentionState> {
        let (now, policy) = (self.clock.now(), self.policy());
        self.db
            .read(move |connection| {
                let mut overdue = 0;
                for tenant in tenants_of(connection)? {
                    if let Some(end) = policy.of(&tenant).tickets_days.end(now) {
                        let rows: i64 = connection
                            .prepare_cached(
                                "SELECT count(*) FROM tickets INDEXED BY tickets_unfinished
                                 WHERE sync = 0 AND dropped = 0 AND accepted_at <= ?2 AND tenant = ?1",
                            )?
                            .query_row(params![tenant.as_str(), end.as_millis()], |row| row.get(0))?;
                        overdue += rows.unsigned_abs();
                    }
                }
                // As the next sweep will see it: the sweeps of a server that does not run say nothing.
                let (judged, believed) = Seen::read(connection)?.judge(now);
                let clock_suspect_since = if believed { None } else { judged.suspect.map(Timestamp::from_millis) };
                Ok(RetentionState { clock_suspect_since, overdue })
            })
            .await
    }

    /// An operator says that the wall clock is right: retention goes on.
    pub async fn confirm_clock(&self) -> Result<()> {
        let now = self.clock.now().as_millis();
        let confirmed = Seen { trusted: Some(now), suspect: None, last: Some(now) };
        self.db.writer.write(move |connection| confirmed.store(connection).map_err(explain)).await
    }

    /// Removes a bounded part of what has passed its time, when the clock can be believed.
    pub async fn retain(&self, swept: &mut Swept) -> Result<()> {
        let now = self.clock.now();
        let judge = move |connection: &Connection| {
            let seen = Seen::read(connection)?;
            let (judged, believed) = seen.judge(now);
            judged.store(connection)?;
            Ok((believed, !believed && seen.suspect.is_none()))
        };
        let (believed, is_news) = self.db.writer.write(move |connection| judge(connection).map_err(explain)).await?;
        if !believed {
            if is_news {
                tracing::warn!(
                    "the clock has moved by more than a day since the last sweep: nothing is deleted until it has run evenly \
                     for a day; if it is right, `switchboard retention confirm` spares the wait"
                );
            }
            return Ok(());
        }
        let policy = self.policy();
        for tenant in self.db.read(tenants_of).await? {
            self.retain_tenant(&tenant, &policy, now, swept).await?;
        }
        swept.unarchived += self.unarchive(policy, now).await?;
        swept.uncounted += self.db.writer.write(move |connection| uncount(connection, now).map_err(explain)).await?;
        Ok(())
    }

    async fn retain_tenant(
        &self,
        tenant: &TenantId,
        policy: &RetentionPolicy,
        now: Timestamp,
        swept: &mut Swept,
    ) -> Result<()> {
        let rule = policy.of(tenant);
        if let Some(end) = rule.tickets_days.end(now) {
            swept.expired += self.expire(tenant, end).await?;
        }
        if let Some(end) = rule.examples_days.end(now) {
            swept.examples += self.forget(tenant, end, "examples", "id", "at").await?;
        }
        if let Some(end) = rule.customers_days.end(now) {
            swept.customers += self.forget(tenant, end, "customers", "customer_id", "fetched_at").await?;
        }
        if let Some(end) = rule.dead_letters_days.end(now) {
            let dropped = self.drop_letters(tenant, end).await?;
            if dropped > 0 {
                tracing::warn!(%tenant, dropped, "dead letters were dropped: nobody has looked at them in their time");
            }
            swept.letters += dropped;
        }
        Ok(())
    }

    /// A ticket that is not written back yet is kept however old it is: its time is counted by a clock that may be wrong,
    /// and somebody waits for it.
    async fn expire(&self, tenant: &TenantId, end: Timestamp) -> Result<usize> {
        let owner = tenant.clone();
        let found: Vec<(i64, String)> = self
            .db
            .read(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT id, ticket_id FROM tickets WHERE tenant = ?1 AND accepted_at <= ?2 AND {FINISHED}
                         ORDER BY accepted_at LIMIT {AT_ONCE}"
                    ))?
                    .query_map(params![owner.as_str(), end.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
        if found.is_empty() {
            return Ok(0);
        }
        let owner = tenant.clone();
        self.db.writer.write(move |connection| remove_tickets(connection, &owner, &found).map_err(explain)).await
    }

    /// Removes rows whose time column says that they are old; those without a time have none.
    async fn forget(
        &self,
        tenant: &TenantId,
        end: Timestamp,
        table: &'static str,
        key: &'static str,
        time: &'static str,
    ) -> Result<usize> {
        let some = format!("SELECT {key} FROM {table} WHERE tenant = ?1 AND {time} <= ?2 LIMIT {AT_ONCE}");
        let (owner, probe) = (tenant.clone(), some.clone());
        let any = move |connection: &Connection| {
            connection.prepare_cached(&probe)?.exists(params![owner.as_str(), end.as_millis()])
        };
        if !self.db.read(any).await? {
            return Ok(0);
        }
        let (owner, sql) = (tenant.clone(), format!("DELETE FROM {table} WHERE tenant = ?1 AND {key} IN ({some})"));
        self.db
            .writer
            .write(move |connection| {
                connection
                    .prepare_cached(&sql)
                    .and_then(|mut delete| delete.execute(params![owner.as_str(), end.as_millis()]))
                    .map_err(explain)
            })
            .await
    }

    async fn drop_letters(&self, tenant: &TenantId, end: Timestamp) -> Result<usize> {
        let owner = tenant.clone();
        let found: Vec<EventId> = self
            .db
            .read(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT event FROM dead_letters WHERE tenant = ?1 AND at <= ?2 LIMIT {AT_ONCE}"
                    ))?
                    .query_map(params![owner.as_str(), end.as_millis()], |row| {
                        crate::store::rows::parsed(row, "event")
                    })?
                    .collect()
            })
            .await?;
        let scope = TenantScope::of_operator(tenant.clone());
        let mut dropped = 0;
        for id in found {
            dropped += usize::from(self.discard(&scope, &id).await?);
        }
        Ok(dropped)
    }

    /// Events leave the archive after their time, but never while somebody has to work on them.
    async fn unarchive(&self, policy: RetentionPolicy, now: Timestamp) -> Result<usize> {
        let Some(end) = policy.events_end(now) else { return Ok(0) };
        let mut archive = self.keeper.archive.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if archive.rests_until.is_some_and(|until| self.clock.monotonic() < until) {
            return Ok(0);
        }
        let mut removed = 0;
        for _ in 0..LOOKS {
            let (policy, after) = (policy.clone(), archive.after.clone());
            let (old, reached) =
                self.db.read(move |connection| old_events(connection, &policy, now, end, &after)).await?;
            if !old.is_empty() {
                removed +=
                    self.db.writer.write(move |connection| remove_events(connection, &old).map_err(explain)).await?;
            }
            archive = match reached {
                Some(after) => Archive { after, rests_until: None },
                // Those that were kept because of open work are looked at again then.
                None => Archive { after: String::new(), rests_until: Some(self.clock.monotonic() + ARCHIVE_EVERY) },
            };
            if removed > 0 || archive.rests_until.is_some() {
                break;
            }
        }
        *self.keeper.archive.lock().unwrap_or_else(PoisonError::into_inner) = archive;
        Ok(removed)
    }
}

/// Nothing more is to be done for the ticket.
const FINISHED: &str = "(sync <> 0 OR dropped = 1)";

/// All tenants that have rows which can grow old, configured or not: one look into an index each.
fn tenants_of(connection: &Connection) -> rusqlite::Result<BTreeSet<TenantId>> {
    let mut tenants = BTreeSet::new();
    for table in ["tickets", "examples", "customers", "dead_letters"] {
        let sql = format!(
            "WITH RECURSIVE found(tenant) AS (
                 SELECT min(tenant) FROM {table}
                 UNION ALL
                 SELECT (SELECT min(t.tenant) FROM {table} t WHERE t.tenant > found.tenant) FROM found
                 WHERE found.tenant IS NOT NULL)
             SELECT tenant FROM found WHERE tenant IS NOT NULL"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        for tenant in statement.query_map([], |row| crate::store::rows::parsed(row, "tenant"))? {
            tenants.insert(tenant?);
        }
    }
    Ok(tenants)
}

/// Removes those that are still finished, with all that goes with them.
fn remove_tickets(connection: &Connection, tenant: &TenantId, tickets: &[(i64, String)]) -> rusqlite::Result<usize> {
    let mut removed = 0;
    for (row, ticket) in tickets {
        let sql = format!("DELETE FROM tickets WHERE id = ?1 AND {FINISHED}");
        if connection.prepare_cached(&sql)?.execute([row])? == 0 {
            continue;
        }
        removed += 1;
        for child in TABLES.iter().flat_map(|table| table.children) {
            connection.prepare_cached(&format!("DELETE FROM {} WHERE ticket = ?1", child.name))?.execute([row])?;
        }
        for Table { name, .. } in TABLES.iter().filter(|table| table.goes_with_ticket) {
            connection
                .prepare_cached(&format!("DELETE FROM {name} WHERE tenant = ?1 AND ticket_id = ?2"))?
                .execute([tenant.as_str(), ticket])?;
        }
    }
    Ok(removed)
}

/// Events past their tenant's time that come after this id, and how far it was looked; `None` when that was the end.
fn old_events(
    connection: &Connection,
    policy: &RetentionPolicy,
    now: Timestamp,
    end: Timestamp,
    after: &str,
) -> rusqlite::Result<(Vec<String>, Option<String>)> {
    let mut statement =
        connection.prepare_cached("SELECT id, tenant FROM events WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
    let mut rows = statement.query(params![after, first_id_of(end), EVENTS_AT_ONCE])?;
    let (mut old, mut reached, mut looked) = (Vec::new(), None, 0);
    let mut ends: BTreeMap<String, Option<String>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (id, tenant): (String, String) = (row.get(0)?, row.get(1)?);
        looked += 1;
        if !ends.contains_key(&tenant) {
            let parsed: TenantId = tenant.parse().map_err(|error| corrupt("tenant", error))?;
            ends.insert(tenant.clone(), policy.of(&parsed).events_days.end(now).map(first_id_of));
        }
        if ends.get(&tenant).and_then(Option::as_ref).is_some_and(|end| id < *end) {
            old.push(id.clone());
        }
        reached = Some(id);
        if old.len() >= AT_ONCE as usize {
            return Ok((old, reached));
        }
    }
    Ok((old, reached.filter(|_| looked >= EVENTS_AT_ONCE)))
}

fn remove_events(connection: &Connection, ids: &[String]) -> rusqlite::Result<usize> {
    let places = vec!["?"; ids.len()].join(", ");
    let sql = format!(
        "DELETE FROM events AS e WHERE e.id IN ({places})
         AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.event = e.id)
         AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.event = e.id)
         AND NOT EXISTS (SELECT 1 FROM tickets t WHERE t.tenant = e.tenant AND t.ticket_id = e.ticket_id
                         AND t.sync = 0 AND t.dropped = 0)"
    );
    connection.execute(&sql, params_from_iter(ids))
}

/// The wall clock as the sweeps have seen it, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    trusted: Option<i64>,
    suspect: Option<i64>,
    last: Option<i64>,
}

impl Seen {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        // Before the first sweep, the oldest event says what the clock was when there first was something to do: the newest one may
        // be from after a jump.
        let sql = "SELECT coalesce(trusted_at, (SELECT at FROM events ORDER BY id LIMIT 1)), suspect_at, seen_at
                   FROM retention_clock";
        connection.query_row(sql, [], |row| Ok(Self { trusted: row.get(0)?, suspect: row.get(1)?, last: row.get(2)? }))
    }

    fn store(self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE retention_clock SET trusted_at = ?1, suspect_at = ?2, seen_at = ?3")?
            .execute(params![self.trusted, self.suspect, self.last])
            .map(|_| ())
    }

    /// Whether deletions may go by `now`. A clock that is more than a day away from the last one believed is a wrong clock, or
    /// one set right, or a server that was off for long; which of them, time tells: one that goes on evenly for a day is
    /// believed. One that is behind is no better than one that is ahead: what came in while it was further behind looks old.
    fn judge(self, now: Timestamp) -> (Self, bool) {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let now = now.as_millis();
        let believed = Self { trusted: Some(now), suspect: None, last: Some(now) };
        let Some(trusted) = self.trusted else { return (believed, true) };
        if now.abs_diff(trusted) <= millis(limits::CLOCK_JUMP).unsigned_abs() {
            return (believed, true);
        }
        let step = self.last.map(|last| now.saturating_sub(last));
        let runs_evenly = step.is_some_and(|step| (0..=millis(EVEN_STEP)).contains(&step));
        match self.suspect {
            Some(since) if runs_evenly && now.saturating_sub(since) >= millis(limits::CLOCK_PROOF) => (believed, true),
            Some(_) if runs_evenly => (Self { last: Some(now), ..self }, false),
            _ => (Self { suspect: Some(now), last: Some(now), ..self }, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const START: i64 = 1_795_161_600_000;

    /// What the sweeps at these hours after the start say, one after the other.
    fn judged(hours: &[i64]) -> Vec<bool> {
        let mut seen = Seen::default();
        let judge = |hour: &i64| {
            let believed;
            (seen, believed) = seen.judge(Timestamp::from_millis(START + hour * HOUR));
            believed
        };
        hours.iter().map(judge).collect()
    }

    #[test]
    fn a_clock_is_believed_that_moves_by_a_day_at_most() {
        assert_eq!(judged(&[0, 1, 25, 49, 30, 6, 7]), [true; 7]);
        assert_eq!(judged(&[0, 1, -30, -29, 1]), [true, true, false, false, true]);
    }

    #[test]
    fn a_clock_that_has_jumped_is_believed_when_it_has_run_evenly_for_a_day() {
        let jump = 100 * 24;
        let hours: Vec<i64> = std::iter::once(0).chain(jump..=jump + 24).collect();
        let says = judged(&hours);
        assert_eq!(says.iter().filter(|believed| !**believed).count(), 24, "{says:?}");
        assert_eq!((says[0], says[25]), (true, true));
    }

    #[test]
    fn a_clock_that_jumps_on_or_stands_after_a_jump_is_not_believed_and_one_that_comes_back_is() {
        assert_eq!(judged(&[0, 2_400, 2_424, 2_450, 2_500]), [true, false, false, false, false]);
        assert_eq!(judged(&[0, 2_400, 2_400, 2_400]), [true, false, false, false]);
        assert_eq!(judged(&[0, 2_400, 1]), [true, false, true]);
    }
}
