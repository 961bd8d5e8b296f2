use std::cmp::Ordering;

use rusqlite::{Connection, OptionalExtension, Row, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{TenantId, TicketId},
    limits,
    ports::{ReviewFilter, ReviewQueue, WaitingReview},
    time::Timestamp,
    untrusted::Untrusted,
};

use super::rows;

/// The review queue as SQL. No index can hold the value, because a category's share moves with every ticket. But within one
/// pair of category and team the value falls as the confidence rises, and that an index does hold: so the best of each
/// pair are read, whose number is small, and merged.
pub(super) struct Query {
    tenant: TenantId,
    team: Option<String>,
    category: Option<String>,
    after: Option<(Place, TicketId)>,
    limit: u32,
    since: Timestamp,
}

/// A place in the queue: value, then confidence, then row.
#[derive(Clone, Copy)]
struct Place {
    value: f64,
    confidence: f64,
    row: i64,
}

/// Tickets of one category and team that wait.
struct Group {
    category: String,
    team: String,
    waiting: i64,
}

impl Query {
    pub(super) fn new(
        tenant: &TenantId,
        filter: &ReviewFilter,
        cursor: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Self> {
        let invalid = || Error::new(ErrorKind::Invalid, "the cursor is not one that a page of this list gave");
        Ok(Self {
            tenant: tenant.clone(),
            team: filter.team.as_ref().map(|team| team.as_str().to_owned()),
            category: filter.category.as_ref().map(|category| category.as_str().to_owned()),
            after: cursor.map(|cursor| Place::parse(cursor).ok_or_else(invalid)).transpose()?,
            limit,
            since: now.minus(limits::REVIEW_SHARE_TIME),
        })
    }

    pub(super) fn run(self, connection: &Connection) -> rusqlite::Result<ReviewQueue> {
        // One state of the data for all the reads.
        let transaction = connection.unchecked_transaction()?;
        let after = self.after(connection)?;
        let groups = self.groups(connection)?;
        let shares = if groups.is_empty() { Vec::new() } else { self.shares(connection)? };
        let share_of = |category: &str| {
            shares.iter().find(|(name, _)| name == category).map_or(0.0, |(_, share): &(String, f64)| *share)
        };
        let mut best = Vec::new();
        for group in &groups {
            best.extend(self.best(connection, group, share_of(&group.category), after)?);
        }
        best.sort_by(Place::order);
        let more = best.len() > self.limit as usize;
        best.truncate(self.limit as usize);
        let last = best.last().filter(|_| more).copied();
        let items = best.into_iter().map(|place| item(connection, place)).collect::<rusqlite::Result<Vec<_>>>()?;
        let next_cursor = last.zip(items.last()).map(|(place, last)| place.cursor(&last.ticket.ticket_id));
        let waiting = groups.iter().map(|group| group.waiting.unsigned_abs()).sum();
        transaction.finish()?;
        Ok(ReviewQueue { waiting, items, next_cursor })
    }

    fn groups(&self, connection: &Connection) -> rusqlite::Result<Vec<Group>> {
        let sql = format!(
            "SELECT category, team, count(*) FROM tickets INDEXED BY tickets_by_doubt
             WHERE tenant = ?1 AND {} AND category = coalesce(?2, category) AND team = coalesce(?3, team)
             GROUP BY category, team",
            rows::WAITS_FOR_REVIEW
        );
        let read = |row: &Row<'_>| Ok(Group { category: row.get(0)?, team: row.get(1)?, waiting: row.get(2)? });
        let values = params![self.tenant.as_str(), self.category, self.team];
        connection.prepare_cached(&sql)?.query_map(values, read)?.collect()
    }

    /// The part that each category has of the tickets decided lately. The categories are found by steps through the index,
    /// so that only the tickets counted are read.
    fn shares(&self, connection: &Connection) -> rusqlite::Result<Vec<(String, f64)>> {
        let counts: Vec<(String, f64)> = connection
            .prepare_cached(
                "WITH RECURSIVE names (name) AS (
                    SELECT min(category) FROM tickets WHERE tenant = ?1 AND category IS NOT NULL
                    UNION ALL
                    SELECT (SELECT min(category) FROM tickets WHERE tenant = ?1 AND category > name)
                    FROM names WHERE name IS NOT NULL)
                 SELECT name, (SELECT count(*) FROM tickets INDEXED BY tickets_by_category
                               WHERE tenant = ?1 AND category = name AND accepted_at >= ?2)
                 FROM names WHERE name IS NOT NULL",
            )?
            .query_map(params![self.tenant.as_str(), self.since.as_millis()], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)? as f64))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let all = counts.iter().map(|(_, count)| count).sum::<f64>().max(1.0);
        Ok(counts.into_iter().map(|(category, count)| (category, count / all)).collect())
    }

    /// The cursor's place. A ticket that is gone stood before all others of its value: some may come again, none is left out.
    fn after(&self, connection: &Connection) -> rusqlite::Result<Place> {
        let Some((place, ticket)) = &self.after else {
            return Ok(Place { value: f64::INFINITY, confidence: 0.0, row: 0 });
        };
        let row = connection
            .prepare_cached("SELECT id FROM tickets WHERE tenant = ?1 AND ticket_id = ?2")?
            .query_row(params![self.tenant.as_str(), ticket.as_str()], |row| row.get(0))
            .optional()?;
        Ok(Place { row: row.unwrap_or(0), ..*place })
    }

    /// The group's first tickets behind the cursor, one more than fit on the page.
    fn best(&self, connection: &Connection, group: &Group, share: f64, after: Place) -> rusqlite::Result<Vec<Place>> {
        // Spares reading what stands before the cursor; a little less, because the exact test is the one on the value.
        let from = if share > 0.0 { 1.0 - after.value / share - 1e-9 } else { f64::NEG_INFINITY };
        let sql = format!(
            "SELECT (1.0 - confidence) * ?4 AS value, confidence, id FROM tickets INDEXED BY tickets_by_doubt
             WHERE tenant = ?1 AND category = ?2 AND team = ?3 AND {} AND confidence >= ?5
             AND (value < ?6 OR (value = ?6 AND (confidence, id) > (?7, ?8))) ORDER BY confidence, id LIMIT ?9",
            rows::WAITS_FOR_REVIEW
        );
        let read = |row: &Row<'_>| Ok(Place { value: row.get(0)?, confidence: row.get(1)?, row: row.get(2)? });
        let values = params![
            self.tenant.as_str(),
            group.category,
            group.team,
            share,
            from,
            after.value,
            after.confidence,
            after.row,
            i64::from(self.limit) + 1
        ];
        connection.prepare_cached(&sql)?.query_map(values, read)?.collect()
    }
}

fn item(connection: &Connection, place: Place) -> rusqlite::Result<WaitingReview> {
    let sql = format!(
        "SELECT {}, (SELECT json_extract(r.record, '$.subject') FROM ticket_records r WHERE r.ticket = id) AS subject,
         (SELECT json_extract(d.record, '$.review_reasons') FROM decisions d WHERE d.ticket = id) AS reasons
         FROM tickets WHERE id = ?1",
        rows::SUMMARY_COLUMNS
    );
    connection.prepare_cached(&sql)?.query_row([place.row], |row| {
        Ok(WaitingReview {
            ticket: rows::summary(row)?,
            subject: Untrusted::new(row.get("subject")?),
            review_reasons: rows::from_json("review reasons", row.get_ref("reasons")?.as_str()?)?,
            value: place.value,
        })
    })
}

impl Place {
    /// The highest value first, then the least sure, then the oldest.
    fn order(&self, other: &Self) -> Ordering {
        let value = other.value.total_cmp(&self.value);
        value.then(self.confidence.total_cmp(&other.confidence)).then(self.row.cmp(&other.row))
    }

    /// The bits of both numbers, so that they come back as they were.
    fn cursor(&self, ticket: &TicketId) -> String {
        format!("{:016x}-{:016x}-{}", self.value.to_bits(), self.confidence.to_bits(), rows::ticket_mark(ticket))
    }

    /// The place but for its row, and the ticket that stands there.
    fn parse(cursor: &str) -> Option<(Self, TicketId)> {
        let mut parts = cursor.splitn(3, '-');
        let mut number =
            || Some(f64::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?)).filter(|n| n.is_finite());
        let (value, confidence) = (number()?, number()?);
        Some((Self { value, confidence, row: 0 }, rows::ticket_of_mark(parts.next()?)?))
    }
}
