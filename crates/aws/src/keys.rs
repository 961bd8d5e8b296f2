use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use moka::sync::Cache;
use switchboard_core::{
    access::{KeyHash, audit::NewAuditEntry},
    error::{Error, ErrorKind, Result},
    ids::KeyId,
    limits,
    ports::{Clock, KeyRecord, KeyStore, TenantScope},
    time::Timestamp,
};

use crate::{
    audit::{Appended, DynamoAudit},
    db::{Db, Find, Item, Read, Write, b, corrupt, item, millis, s, to_json},
    looked::Looked,
};

const TABLE: &str = "keys";
/// Uses that are written side by side.
const USES_AT_ONCE: usize = 16;
/// Beginnings of one rotation, when somebody changes the key's end in between.
const ROTATE_TRIES: usize = 5;

/// API keys in DynamoDB, one item each, with the audit log that their changes are written to.
///
/// The list of a tenant's keys is found by an index, which is some milliseconds behind on AWS: a key that was made just now
/// may be missing there. Whether a key opens anything is read from the item itself.
pub struct DynamoKeys {
    db: Arc<Db>,
    clock: Arc<dyn Clock>,
    audit: DynamoAudit,
    known: Cache<KeyId, (Looked, Option<KeyRecord>)>,
}

impl DynamoKeys {
    /// The keys beside this log, to which their changes are written.
    pub fn new(audit: DynamoAudit, clock: Arc<dyn Clock>) -> Self {
        Self { db: audit.db(), clock, audit, known: Cache::new(limits::KEYS_CACHED) }
    }

    async fn read(&self, id: &KeyId) -> Result<Option<KeyRecord>> {
        self.db.get(TABLE, named(id)).await?.as_ref().map(key).transpose()
    }

    async fn of_tenant(&self, scope: &TenantScope, id: &KeyId) -> Result<Option<KeyRecord>> {
        Ok(self.read(id).await?.filter(|key| key.tenant == *scope.tenant()))
    }

    async fn record_use(&self, id: &KeyId, at: Timestamp) -> Result<()> {
        let later = "attribute_exists(#id) AND (attribute_not_exists(#used_at) OR #used_at < :at)";
        let write = Write::update(TABLE, named(id)).set("used_at", millis(at)).when(later, [("at", millis(at))]);
        // A later use, or none of a key that is gone, stays as it is.
        self.db.write("noting the use of a key", &write).await.map(drop)
    }

    /// The writes that remove those of these keys that are the tenant's.
    async fn forget(&self, scope: &TenantScope, ids: &[KeyId]) -> Result<Vec<Write>> {
        let found = self.db.fetch(TABLE, ids.iter().map(named).collect()).await?;
        let keys: Result<Vec<KeyRecord>> = found.iter().map(key).collect();
        let own = keys?.into_iter().filter(|key| key.tenant == *scope.tenant());
        Ok(own.map(|key| Write::delete(TABLE, named(&key.id))).collect())
    }

    fn forgotten<'a>(&self, ids: impl Iterator<Item = &'a KeyId>) {
        ids.for_each(|id| self.known.invalidate(id));
    }
}

#[async_trait]
impl KeyStore for DynamoKeys {
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>> {
        if let Some((looked, known)) = self.known.get(id)
            && looked.is_within(limits::KEY_CACHE_TIME, self.clock.as_ref())
        {
            return Ok(known);
        }
        let looked = Looked::now(self.clock.as_ref());
        let found = self.read(id).await?;
        self.known.insert(id.clone(), (looked, found.clone()));
        Ok(found)
    }

    async fn create_key(
        &self,
        scope: &TenantScope,
        key: KeyRecord,
        forget: &[KeyId],
        act: NewAuditEntry,
    ) -> Result<()> {
        let mut writes = vec![insert(scope, &key)?];
        writes.extend(self.forget(scope, forget).await?);
        let appended = self.audit.append_with(&act, &writes).await?;
        self.forgotten(forget.iter().chain([&key.id]));
        match appended {
            Appended::At(_) => Ok(()),
            Appended::Refused(_) => Err(KeyRecord::taken()),
        }
    }

    async fn list_keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>> {
        let find = Find::by(TABLE, "by_tenant", "tenant", scope.tenant().as_str());
        let ids = self.db.all(&find, usize::MAX).await?;
        let ids = ids.iter().map(|item| item.parsed("id").map(|id| named(&id))).collect::<Result<_>>()?;
        let items = self.db.fetch(TABLE, ids).await?;
        let keys: Result<Vec<KeyRecord>> = items.iter().map(key).collect();
        let mut keys = keys?;
        keys.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(keys)
    }

    async fn revoke_key(&self, scope: &TenantScope, id: &KeyId, at: Timestamp, act: NewAuditEntry) -> Result<bool> {
        let appended = self.audit.append_with(&act, &[update(scope, id, "revoked_at", at)]).await?;
        self.known.invalidate(id);
        match appended {
            Appended::At(_) => Ok(true),
            Appended::Refused(_) => Ok(self.of_tenant(scope, id).await?.is_some()),
        }
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
        let insert = insert(scope, &new)?;
        let gone = self.forget(scope, forget).await?;
        for _ in 0..ROTATE_TRIES {
            let found = self.of_tenant(scope, old).await?.filter(|key| key.revoked_at.is_none());
            let Some(found) = found else { return Ok(false) };
            if new.id == *old {
                return Err(KeyRecord::taken());
            }
            let end = found.expires_at.map_or(old_expires_at, |end| end.min(old_expires_at));
            let update = update(scope, old, "expires_at", end);
            let update = match found.expires_at {
                Some(before) => update.when("#expires_at = :before", [("before", millis(before))]),
                None => update.when("attribute_not_exists(#expires_at)", []),
            };
            let writes: Vec<_> = [update, insert.clone()].into_iter().chain(gone.iter().cloned()).collect();
            let appended = self.audit.append_with(&act, &writes).await?;
            self.forgotten(forget.iter().chain([old, &new.id]));
            match appended {
                Appended::At(_) => return Ok(true),
                // Somebody changed the old key since it was read.
                Appended::Refused(0) => {}
                Appended::Refused(_) => return Err(KeyRecord::taken()),
            }
        }
        Err(Error::new(ErrorKind::Overloaded, "others change the key at the same moment; try again"))
    }

    async fn record_uses(&self, uses: Vec<(KeyId, Timestamp)>) -> Result<()> {
        let mut outcome = Ok(());
        // One that fails keeps none of the others back.
        for some in uses.chunks(USES_AT_ONCE) {
            let written = join_all(some.iter().map(|(id, at)| self.record_use(id, *at))).await;
            outcome = written.into_iter().fold(outcome, |outcome: Result<()>, one| outcome.and(one));
        }
        outcome
    }
}

fn named(id: &KeyId) -> Item {
    item([("id", s(id.as_str()))])
}

fn insert(scope: &TenantScope, key: &KeyRecord) -> Result<Write> {
    key.must_be_of(scope)?;
    Ok(Write::put(TABLE, to_item(key)?).when("attribute_not_exists(#id)", []))
}

/// A change of a key that is the tenant's and not revoked.
fn update(scope: &TenantScope, id: &KeyId, name: &str, at: Timestamp) -> Write {
    let is_own = "#tenant = :tenant AND attribute_not_exists(#revoked_at)";
    Write::update(TABLE, named(id)).set(name, millis(at)).when(is_own, [("tenant", s(scope.tenant().as_str()))])
}

fn to_item(key: &KeyRecord) -> Result<Item> {
    let KeyRecord { id, tenant, name, scopes, hash, created_at, expires_at, revoked_at, used_at } = key;
    let mut item = item([
        ("id", s(id.as_str())),
        ("tenant", s(tenant.as_str())),
        ("name", s(name)),
        ("scopes", s(to_json(scopes)?)),
        ("hash", b(hash.0)),
        ("created_at", millis(*created_at)),
    ]);
    for (name, at) in [("expires_at", expires_at), ("revoked_at", revoked_at), ("used_at", used_at)] {
        item.extend(at.map(|at| (name.to_owned(), millis(at))));
    }
    Ok(item)
}

fn key(item: &Item) -> Result<KeyRecord> {
    let hash = item.bytes("hash").and_then(|hash| hash.try_into().ok()).ok_or_else(|| corrupt("hash"))?;
    Ok(KeyRecord {
        id: item.parsed("id")?,
        tenant: item.parsed("tenant")?,
        name: item.needed("name")?.to_owned(),
        scopes: item.json("scopes")?,
        hash: KeyHash(hash),
        created_at: item.needed_time("created_at")?,
        expires_at: item.optional_time("expires_at")?,
        revoked_at: item.optional_time("revoked_at")?,
        used_at: item.optional_time("used_at")?,
    })
}
