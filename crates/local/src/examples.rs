use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    ports::{Added, Example, ExampleCounts, ExampleSource, ExampleStore, Page, TenantScope},
    time::Timestamp,
    untrusted::Untrusted,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows, time},
};

/// What became of one example.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    New,
    Replaced,
    Kept,
}

#[async_trait]
impl ExampleStore for SqliteStore {
    async fn add(&self, scope: &TenantScope, examples: Vec<Example>) -> Result<Added> {
        self.need_room()?;
        let tenant = scope.tenant().clone();
        self.db
            .writer
            .write(move |connection| {
                let mut added = Added::default();
                for example in &examples {
                    match add_one(connection, &tenant, example).map_err(explain)? {
                        Outcome::New => added.new += 1,
                        Outcome::Replaced => added.replaced += 1,
                        Outcome::Kept => added.kept += 1,
                    }
                }
                Ok(added)
            })
            .await
    }

    async fn examples(&self, scope: &TenantScope, cursor: Option<&str>, limit: u32) -> Result<Page<Example>> {
        let after = cursor.map_or(Ok((i64::MIN, i64::MIN)), parse_cursor)?;
        let tenant = scope.tenant().clone();
        self.db.read(move |connection| page(connection, &tenant, after, limit)).await
    }

    async fn counts(&self, scope: &TenantScope, since: Option<Timestamp>) -> Result<ExampleCounts> {
        let tenant = scope.tenant().clone();
        self.db
            .read(move |connection| {
                let count = |source, since: Option<Timestamp>| {
                    connection
                        .prepare_cached("SELECT count(*) FROM examples WHERE tenant = ?1 AND source = ?2 AND at >= ?3")?
                        .query_row(
                            params![
                                tenant.as_str(),
                                rows::code(ExampleSource::ALL, &source),
                                since.map_or(i64::MIN, Timestamp::as_millis)
                            ],
                            |row| row.get::<_, i64>(0).map(i64::unsigned_abs),
                        )
                };
                Ok(ExampleCounts {
                    imported: count(ExampleSource::Import, None)?,
                    reviewed: count(ExampleSource::Review, None)?,
                    reviewed_since: count(ExampleSource::Review, since)?,
                })
            })
            .await
    }

    async fn clear(&self, scope: &TenantScope, source: ExampleSource) -> Result<u64> {
        let tenant = scope.tenant().clone();
        self.db
            .writer
            .write(move |connection| {
                let removed = connection.execute(
                    "DELETE FROM examples WHERE tenant = ?1 AND source = ?2",
                    params![tenant.as_str(), rows::code(ExampleSource::ALL, &source)],
                );
                removed.map(|removed| removed as u64).map_err(explain)
            })
            .await
    }
}

/// Adds one example, or puts it in the place of the one with its id; an import never takes the place of a review.
pub(crate) fn add_one(connection: &Connection, tenant: &TenantId, example: &Example) -> rusqlite::Result<Outcome> {
    let code = |source| rows::code(ExampleSource::ALL, &source);
    let present: Option<i64> = connection
        .prepare_cached("SELECT source FROM examples WHERE tenant = ?1 AND example_id = ?2")?
        .query_row(params![tenant.as_str(), example.id.as_str()], |row| row.get(0))
        .optional()?;
    if example.source == ExampleSource::Import && present == Some(code(ExampleSource::Review)) {
        return Ok(Outcome::Kept);
    }
    connection
        .prepare_cached(
            "INSERT INTO examples (tenant, example_id, text, category, team, source, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (tenant, example_id) DO UPDATE SET
             text = excluded.text, category = excluded.category, team = excluded.team, source = excluded.source,
             at = excluded.at",
        )?
        .execute(params![
            tenant.as_str(),
            example.id.as_str(),
            example.text.for_storage(),
            example.category.as_ref().map(|category| category.as_str()),
            example.team.as_ref().map(|team| team.as_str()),
            code(example.source),
            example.at.as_millis(),
        ])?;
    Ok(if present.is_some() { Outcome::Replaced } else { Outcome::New })
}

fn page(
    connection: &Connection,
    tenant: &TenantId,
    (at, id): (i64, i64),
    limit: u32,
) -> rusqlite::Result<Page<Example>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, example_id, text, category, team, source, at FROM examples
         WHERE tenant = ?1 AND (at, id) > (?2, ?3) ORDER BY at, id LIMIT ?4",
    )?;
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>("id")?, example(row)?));
    let mut found = statement
        .query_map(params![tenant.as_str(), at, id, i64::from(limit) + 1], read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|(id, last)| format!("{}-{id}", last.at.as_millis()));
    Ok(Page { items: found.into_iter().map(|(_, example)| example).collect(), next_cursor })
}

fn example(row: &Row<'_>) -> rusqlite::Result<Example> {
    Ok(Example {
        id: rows::parsed(row, "example_id")?,
        text: Untrusted::new(row.get("text")?),
        category: rows::optional(row, "category")?,
        team: rows::optional(row, "team")?,
        source: rows::word(ExampleSource::ALL, row, "source")?.unwrap_or(ExampleSource::Import),
        at: time(row, "at")?,
    })
}

fn parse_cursor(cursor: &str) -> Result<(i64, i64)> {
    let parts = cursor.split_once('-').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    parts.ok_or_else(|| Error::new(ErrorKind::Invalid, "the cursor is not one that a page of this list gave"))
}
