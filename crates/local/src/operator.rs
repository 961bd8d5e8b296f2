//! The operator's password and sessions in SQLite.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use switchboard_core::{
    access::{
        audit::NewAuditEntry,
        password::PasswordHash,
        session::{SessionRecord, TokenHash},
    },
    error::Result,
    limits,
    ports::OperatorStore,
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows},
};

#[async_trait]
impl OperatorStore for SqliteStore {
    async fn password(&self) -> Result<Option<PasswordHash>> {
        self.db
            .look_up(|connection| {
                connection
                    .prepare_cached("SELECT salt, hash, memory_kib, passes, lanes FROM operator")?
                    .query_row([], |row| {
                        Ok(PasswordHash {
                            salt: row.get(0)?,
                            hash: row.get(1)?,
                            memory_kib: row.get(2)?,
                            passes: row.get(3)?,
                            lanes: row.get(4)?,
                        })
                    })
                    .optional()
            })
            .await
    }

    async fn set_password(&self, password: PasswordHash, act: NewAuditEntry) -> Result<()> {
        let seal = self.seal()?;
        self.db
            .writer
            .write(move |connection| {
                let PasswordHash { salt, hash, memory_kib, passes, lanes } = password;
                connection
                    .execute(
                        "INSERT INTO operator (one, salt, hash, memory_kib, passes, lanes) VALUES (1, ?1, ?2, ?3, ?4, ?5)
                         ON CONFLICT (one) DO UPDATE SET salt = ?1, hash = ?2, memory_kib = ?3, passes = ?4, lanes = ?5",
                        params![salt, hash, memory_kib, passes, lanes],
                    )
                    .map_err(explain)?;
                connection.execute("DELETE FROM sessions", []).map_err(explain)?;
                seal.append(connection, act).map(drop)
            })
            .await
    }

    async fn open_session(&self, session: SessionRecord, act: NewAuditEntry) -> Result<()> {
        let (seal, now) = (self.seal()?, self.clock.now());
        self.db
            .writer
            .write(move |connection| {
                let mut known: Vec<SessionRecord> = connection
                    .prepare_cached("SELECT * FROM sessions ORDER BY created_at DESC")
                    .and_then(|mut statement| statement.query_map([], read)?.collect())
                    .map_err(explain)?;
                let over: Vec<_> = known.extract_if(.., |known| known.is_over(now)).collect();
                let crowded = known.into_iter().skip(limits::SESSIONS.saturating_sub(1) as usize);
                for gone in over.into_iter().chain(crowded) {
                    connection.execute("DELETE FROM sessions WHERE token = ?1", [gone.token.0]).map_err(explain)?;
                }
                connection
                    .execute(
                        "INSERT INTO sessions (token, id, created_at, used_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                        params![
                            session.token.0,
                            session.id.as_str(),
                            session.created_at.as_millis(),
                            session.used_at.as_millis(),
                            session.expires_at.as_millis(),
                        ],
                    )
                    .map_err(explain)?;
                seal.append(connection, act).map(drop)
            })
            .await
    }

    async fn session(&self, token: &TokenHash) -> Result<Option<SessionRecord>> {
        let token = token.0;
        self.db
            .look_up(move |connection| {
                connection
                    .prepare_cached("SELECT * FROM sessions WHERE token = ?1")?
                    .query_row([token], read)
                    .optional()
            })
            .await
    }

    async fn touch_session(&self, token: &TokenHash, at: Timestamp) -> Result<()> {
        let token = token.0;
        self.db
            .writer
            .write(move |connection| {
                let sql = "UPDATE sessions SET used_at = max(used_at, ?2) WHERE token = ?1";
                connection.execute(sql, params![token, at.as_millis()]).map(drop).map_err(explain)
            })
            .await
    }

    async fn close_session(&self, token: &TokenHash, act: NewAuditEntry) -> Result<bool> {
        let (seal, token) = (self.seal()?, token.0);
        self.db
            .writer
            .write(move |connection| {
                if connection.execute("DELETE FROM sessions WHERE token = ?1", [token]).map_err(explain)? == 0 {
                    return Ok(false);
                }
                seal.append(connection, act).map(|_| true)
            })
            .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        id: rows::parsed(row, "id")?,
        token: TokenHash(row.get("token")?),
        created_at: rows::time(row, "created_at")?,
        used_at: rows::time(row, "used_at")?,
        expires_at: rows::time(row, "expires_at")?,
    })
}
