use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use switchboard_core::{
    access::{KeyHash, Scope},
    error::{Error, ErrorKind, Result},
    ids::KeyId,
    ports::{KeyRecord, KeyStore, TenantScope},
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows},
};

/// How long a key is taken as it was found, so that one revoked by another process is refused within this time.
const CACHE_TIME: Duration = Duration::from_secs(4);

const COLUMNS: &str = "id, tenant, name, scopes, hash, created_at, expires_at, revoked_at";

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>> {
        let now = self.clock.monotonic();
        if let Some((looked_up, known)) = self.keys.get(id)
            && now.saturating_sub(looked_up) < CACHE_TIME
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

    async fn create_key(&self, scope: &TenantScope, key: KeyRecord) -> Result<()> {
        if key.tenant != *scope.tenant() {
            return Err(Error::new(ErrorKind::Forbidden, "the key is for another tenant"));
        }
        let (id, scopes) = (key.id.clone(), rows::to_json(&key.scopes)?);
        self.db
            .writer
            .write(move |connection| {
                let inserted = connection
                    .execute(
                        "INSERT INTO api_keys (id, tenant, name, scopes, hash, created_at, expires_at, revoked_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
                        params![
                            key.id.as_str(),
                            key.tenant.as_str(),
                            key.name,
                            scopes,
                            key.hash.0,
                            key.created_at.as_millis(),
                            key.expires_at.map(Timestamp::as_millis),
                            key.revoked_at.map(Timestamp::as_millis),
                        ],
                    )
                    .map_err(explain)?;
                match inserted {
                    0 => Err(Error::new(ErrorKind::Conflict, "a key of this id is there already")),
                    _ => Ok(()),
                }
            })
            .await?;
        self.keys.invalidate(&id);
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

    async fn revoke_key(&self, scope: &TenantScope, id: &KeyId, at: Timestamp) -> Result<bool> {
        let (tenant, key) = (scope.tenant().clone(), id.clone());
        let revoked = self
            .db
            .writer
            .write(move |connection| {
                connection
                    .execute(
                        "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?3) WHERE tenant = ?1 AND id = ?2",
                        params![tenant.as_str(), key.as_str(), at.as_millis()],
                    )
                    .map_err(explain)
            })
            .await?;
        self.keys.invalidate(id);
        Ok(revoked > 0)
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
    })
}
