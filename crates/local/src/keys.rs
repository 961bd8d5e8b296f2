use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use switchboard_core::{
    access::{KeyHash, Scope, audit::NewAuditEntry},
    error::Result,
    ids::KeyId,
    limits,
    ports::{KeyRecord, KeyStore, TenantScope},
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows},
};

const COLUMNS: &str = "id, tenant, name, scopes, hash, created_at, expires_at, revoked_at, used_at";

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>> {
        let now = self.clock.monotonic();
        if let Some((looked_up, known)) = self.keys.get(id)
            && now.saturating_sub(looked_up) < limits::KEY_CACHE_TIME
        {
            return Ok(known);
        }
        let wanted = id.clone();
        let found = self
            .db
            .look_up(move |connection| {
                connection
                    .prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?1"))?
                    .query_row([wanted.as_str()], key)
                    .optional()
            })
            .await?;
        self.keys.insert(id.clone(), (now, found.clone()));
        Ok(found)
    }

    async fn create_key(
        &self,
        scope: &TenantScope,
        key: KeyRecord,
        forget: &[KeyId],
        act: NewAuditEntry,
    ) -> Result<()> {
        let (seal, id) = (self.seal()?, key.id.clone());
        let (new, gone) = (NewKey::of(scope, key)?, forget.to_vec());
        self.db
            .writer
            .write(move |connection| {
                new.insert(connection, &gone)?;
                seal.append(connection, act).map(drop)
            })
            .await?;
        for id in forget.iter().chain([&id]) {
            self.keys.invalidate(id);
        }
        Ok(())
    }

    async fn list_keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>> {
        let tenant = scope.tenant().clone();
        self.db
            .read(move |connection| {
                let order = "ORDER BY created_at DESC, rowid DESC";
                connection
                    .prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE tenant = ?1 {order}"))?
                    .query_map([tenant.as_str()], key)?
                    .collect()
            })
            .await
    }

    async fn revoke_key(&self, scope: &TenantScope, id: &KeyId, at: Timestamp, act: NewAuditEntry) -> Result<bool> {
        let (seal, tenant, key) = (self.seal()?, scope.tenant().clone(), id.clone());
        let is_known = self
            .db
            .writer
            .write(move |connection| {
                let sql = "UPDATE api_keys SET revoked_at = ?3 WHERE tenant = ?1 AND id = ?2 AND revoked_at IS NULL";
                let named = [tenant.as_str(), key.as_str()];
                let revoked = connection.execute(sql, params![named[0], named[1], at.as_millis()]).map_err(explain)?;
                if revoked > 0 {
                    return seal.append(connection, act).map(|_| true);
                }
                connection
                    .query_row("SELECT count(*) FROM api_keys WHERE tenant = ?1 AND id = ?2", named, |row| row.get(0))
                    .map(|known: i64| known > 0)
                    .map_err(explain)
            })
            .await?;
        self.keys.invalidate(id);
        Ok(is_known)
    }

    async fn rotate_key(
        &self,
        scope: &TenantScope,
        old: &KeyId,
        old_expires_at: Timestamp,
        new: KeyRecord,
        forget: &[KeyId],
        act: NewAuditEntry,
    ) -> Result<bool> {
        let (seal, tenant, id, new_id) = (self.seal()?, scope.tenant().clone(), old.clone(), new.id.clone());
        let (new, gone) = (NewKey::of(scope, new)?, forget.to_vec());
        let is_done = self
            .db
            .writer
            .write(move |connection| {
                let ended = connection
                    .execute(
                        "UPDATE api_keys SET expires_at = min(coalesce(expires_at, ?3), ?3)
                         WHERE tenant = ?1 AND id = ?2 AND revoked_at IS NULL",
                        params![tenant.as_str(), id.as_str(), old_expires_at.as_millis()],
                    )
                    .map_err(explain)?;
                if ended == 0 {
                    return Ok(false);
                }
                new.insert(connection, &gone)?;
                seal.append(connection, act).map(|_| true)
            })
            .await?;
        for id in forget.iter().chain([old, &new_id]) {
            self.keys.invalidate(id);
        }
        Ok(is_done)
    }

    async fn record_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<()> {
        self.db
            .writer
            .write(move |connection| {
                let sql = "UPDATE api_keys SET used_at = max(coalesce(used_at, 0), ?2) WHERE id = ?1";
                let mut statement = connection.prepare_cached(sql).map_err(explain)?;
                for (id, at) in uses {
                    statement.execute(params![id.as_str(), at.as_millis()]).map_err(explain)?;
                }
                Ok(())
            })
            .await
    }
}

/// A key on its way into the table.
struct NewKey {
    key: KeyRecord,
    scopes: String,
}

impl NewKey {
    fn of(scope: &TenantScope, key: KeyRecord) -> Result<Self> {
        key.must_be_of(scope)?;
        Ok(Self { scopes: rows::to_json(&key.scopes)?, key })
    }

    /// Keeps the key, and removes those of its tenant that are to be forgotten.
    fn insert(self, connection: &Connection, forget: &[KeyId]) -> Result<()> {
        let Self { key, scopes } = self;
        let inserted = connection
            .execute(
                "INSERT INTO api_keys (id, tenant, name, scopes, hash, created_at, expires_at, revoked_at, used_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
                params![
                    key.id.as_str(),
                    key.tenant.as_str(),
                    key.name,
                    scopes,
                    key.hash.0,
                    key.created_at.as_millis(),
                    key.expires_at.map(Timestamp::as_millis),
                    key.revoked_at.map(Timestamp::as_millis),
                    key.used_at.map(Timestamp::as_millis),
                ],
            )
            .map_err(explain)?;
        if inserted == 0 {
            return Err(KeyRecord::taken());
        }
        let sql = "DELETE FROM api_keys WHERE tenant = ?1 AND id = ?2";
        let mut statement = connection.prepare_cached(sql).map_err(explain)?;
        for id in forget {
            statement.execute([key.tenant.as_str(), id.as_str()]).map_err(explain)?;
        }
        Ok(())
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let moment = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp::from_millis));
    Ok(KeyRecord {
        id: rows::parsed(row, "id")?,
        tenant: rows::parsed(row, "tenant")?,
        name: row.get("name")?,
        scopes: rows::from_json::<Vec<Scope>>("scopes", row.get_ref("scopes")?.as_str()?)?,
        hash: KeyHash(row.get("hash")?),
        created_at: rows::time(row, "created_at")?,
        expires_at: moment("expires_at")?,
        revoked_at: moment("revoked_at")?,
        used_at: moment("used_at")?,
    })
}
