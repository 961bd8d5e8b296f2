//! The tables, as forward-only steps. A step that was released is never changed.

use std::path::Path;

use rusqlite::Connection;

use super::DataError;

/// The steps. Tests put files of older versions together with them.
#[doc(hidden)]
pub const STEPS: &[&str] = &[
    include_str!("0001_tickets.sql"),
    include_str!("0002_reviews.sql"),
    include_str!("0003_effects.sql"),
    include_str!("0004_quotas.sql"),
    include_str!("0005_access.sql"),
    include_str!("0006_retention.sql"),
    include_str!("0007_retry_waits.sql"),
    include_str!("0008_usage.sql"),
];

/// Brings the file to the newest version, each step in its own transaction, so that a kill in between leaves a whole
/// version. A file of a newer program is refused.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), DataError> {
    let failed = |source| DataError::Open { path: path.to_owned(), source };
    let found = version(connection).map_err(failed)?;
    if found > STEPS.len() {
        return Err(DataError::TooNew { path: path.to_owned(), found, known: STEPS.len() });
    }
    for (n, step) in STEPS.iter().enumerate().skip(found) {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        // Another process may have done it while this one waited for the lock.
        if version(&transaction).map_err(failed)? == n {
            transaction.execute_batch(step).map_err(failed)?;
            transaction.pragma_update(None, "user_version", to_version(n + 1)).map_err(failed)?;
            transaction.commit().map_err(failed)?;
        }
    }
    Ok(())
}

/// The newest version that this program knows.
pub(crate) fn newest() -> usize {
    STEPS.len()
}

/// The version of the tables.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}

fn to_version(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}
