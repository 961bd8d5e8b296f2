use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError,
    types::{Delete, Put, TransactWriteItem, Update},
};
use futures_util::future::join_all;
use moka::sync::Cache;
use switchboard_core::{
    access::{KeyHash, audit::NewAuditEntry},
    error::{Error, ErrorKind, Result},
    ids::KeyId,
    ports::{Clock, KeyRecord, KeyStore, TenantScope},
    time::Timestamp,
};

use crate::{
    Clients,
    attributes::{Item, Row, bytes, item, json, text, time},
    audit::{Appended, DynamoAudit},
    bulk::{self, incomplete},
    error::explain,
    looked::Looked,
};

const TABLE: &str = "keys";
/// How long a key is taken as it was found, so that one revoked by another process is refused within this time.
const CACHE_TIME: Duration = Duration::from_secs(4);
/// Keys that are remembered, unknown ones too.
const CACHED: u64 = 10_000;
/// Uses that are written side by side.
const USES_AT_ONCE: usize = 16;
/// Beginnings of one rotation, when somebody changes the key's end in between.
const ROTATE_TRIES: usize = 5;

/// API keys in DynamoDB, one item each, with the audit log that their changes are written to.
///
/// The list of a tenant's keys is found by an index, which is some milliseconds behind on AWS: a key that was made just now
/// may be missing there. Whether a key opens anything is read from the item itself.
pub struct DynamoKeys {
    clients: Clients,
    clock: Arc<dyn Clock>,
    audit: DynamoAudit,
    known: Cache<KeyId, (Looked, Option<KeyRecord>)>,
}

impl DynamoKeys {
    /// The keys of these tables.
    pub fn new(clients: Clients, audit: DynamoAudit, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock, audit, known: Cache::new(CACHED) }
    }

    async fn read(&self, id: &KeyId) -> Result<Option<KeyRecord>> {
        let request = self.clients.dynamo.get_item().table_name(self.table()).key("id", text(id.as_str()));
        let found = request.consistent_read(true).send().await.map_err(|error| explain("reading a key", error))?;
        found.item.as_ref().map(key).transpose()
    }

    async fn of_tenant(&self, scope: &TenantScope, id: &KeyId) -> Result<Option<KeyRecord>> {
        Ok(self.read(id).await?.filter(|key| key.tenant == *scope.tenant()))
    }

    fn table(&self) -> String {
        self.clients.names.table(TABLE)
    }

    fn insert(&self, scope: &TenantScope, key: &KeyRecord) -> Result<TransactWriteItem> {
        if key.tenant != *scope.tenant() {
            return Err(Error::new(ErrorKind::Forbidden, "the key is for another tenant"));
        }
        let put = Put::builder().table_name(self.table()).set_item(Some(to_item(key)?));
        let put = put.condition_expression("attribute_not_exists(id)").build().map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// A change of a key that is the tenant's and not revoked.
    fn update(
        &self,
        scope: &TenantScope,
        id: &KeyId,
        set: &str,
        at: Timestamp,
    ) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(self.table())
            .key("id", text(id.as_str()))
            .update_expression(format!("SET {set} = :at"))
            .condition_expression("#tenant = :tenant AND attribute_not_exists(revoked_at)")
            .expression_attribute_names("#tenant", "tenant")
            .expression_attribute_values(":tenant", text(scope.tenant().as_str()))
            .expression_attribute_values(":at", time(at))
    }

    async fn record_use(&self, id: &KeyId, at: Timestamp) -> Result<()> {
        let request = self.clients.dynamo.update_item().table_name(self.table()).key("id", text(id.as_str()));
        let request = request
            .update_expression("SET used_at = :at")
            .condition_expression("attribute_exists(id) AND (attribute_not_exists(used_at) OR used_at < :at)")
            .expression_attribute_values(":at", time(at));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(error.as_service_error(), Some(UpdateItemError::ConditionalCheckFailedException(_))) =>
            {
                Ok(())
            }
            Err(error) => Err(explain("noting the use of a key", error)),
        }
    }
}

impl DynamoKeys {
    /// The writes that remove those of these keys that are the tenant's.
    async fn forget(&self, scope: &TenantScope, ids: &[KeyId]) -> Result<Vec<TransactWriteItem>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<_> = ids.iter().map(|id| item([("id", text(id.as_str()))])).collect();
        let found = bulk::get_all(&self.clients, self.clock.as_ref(), TABLE, &wanted).await?;
        let keys: Result<Vec<KeyRecord>> = found.iter().map(key).collect();
        let own = keys?.into_iter().filter(|key| key.tenant == *scope.tenant());
        own.map(|key| {
            let delete = Delete::builder().table_name(self.table()).key("id", text(key.id.as_str())).build();
            Ok(TransactWriteItem::builder().delete(delete.map_err(incomplete)?).build())
        })
        .collect()
    }

    fn forgotten<'a>(&self, ids: impl Iterator<Item = &'a KeyId>) {
        ids.for_each(|id| self.known.invalidate(id));
    }
}

#[async_trait]
impl KeyStore for DynamoKeys {
    async fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>> {
        if let Some((looked, known)) = self.known.get(id)
            && looked.is_within(CACHE_TIME, self.clock.as_ref())
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
        let mut writes = vec![self.insert(scope, &key)?];
        writes.extend(self.forget(scope, forget).await?);
        let appended = self.audit.append_with(&act, &writes).await?;
        self.forgotten(forget.iter().chain([&key.id]));
        match appended {
            Appended::At(_) => Ok(()),
            Appended::Refused(_) => Err(taken()),
        }
    }

    async fn list_keys(&self, scope: &TenantScope) -> Result<Vec<KeyRecord>> {
        let request = self.clients.dynamo.query().table_name(self.table()).index_name("by_tenant");
        let request = request
            .key_condition_expression("#tenant = :tenant")
            .expression_attribute_names("#tenant", "tenant")
            .expression_attribute_values(":tenant", text(scope.tenant().as_str()));
        let mut pages = request.into_paginator().send();
        let mut ids = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain("listing keys", error))?;
            for found in page.items() {
                ids.push(item([("id", text(Row { table: TABLE, item: found }.text("id")?))]));
            }
        }
        let items = bulk::get_all(&self.clients, self.clock.as_ref(), TABLE, &ids).await?;
        let keys: Result<Vec<KeyRecord>> = items.iter().map(key).collect();
        let mut keys = keys?;
        keys.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(keys)
    }

    async fn revoke_key(&self, scope: &TenantScope, id: &KeyId, at: Timestamp, act: NewAuditEntry) -> Result<bool> {
        let update = self.update(scope, id, "revoked_at", at).build().map_err(incomplete)?;
        let appended = self.audit.append_with(&act, &[TransactWriteItem::builder().update(update).build()]).await?;
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
        let insert = self.insert(scope, &new)?;
        let gone = self.forget(scope, forget).await?;
        for _ in 0..ROTATE_TRIES {
            let found = self.of_tenant(scope, old).await?.filter(|key| key.revoked_at.is_none());
            let Some(found) = found else { return Ok(false) };
            if new.id == *old {
                return Err(taken());
            }
            let end = found.expires_at.map_or(old_expires_at, |end| end.min(old_expires_at));
            let update = self.update(scope, old, "expires_at", end);
            let owned = "#tenant = :tenant AND attribute_not_exists(revoked_at)";
            let update = match found.expires_at {
                Some(before) => update
                    .condition_expression(format!("{owned} AND expires_at = :before"))
                    .expression_attribute_values(":before", time(before)),
                None => update.condition_expression(format!("{owned} AND attribute_not_exists(expires_at)")),
            };
            let update = TransactWriteItem::builder().update(update.build().map_err(incomplete)?).build();
            let writes: Vec<_> = [update, insert.clone()].into_iter().chain(gone.iter().cloned()).collect();
            let appended = self.audit.append_with(&act, &writes).await?;
            self.forgotten(forget.iter().chain([old, &new.id]));
            match appended {
                Appended::At(_) => return Ok(true),
                // Somebody changed the old key since it was read.
                Appended::Refused(0) => {}
                Appended::Refused(_) => return Err(taken()),
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

fn taken() -> Error {
    Error::new(ErrorKind::Conflict, "a key of this id is there already")
}

fn to_item(key: &KeyRecord) -> Result<Item> {
    let KeyRecord { id, tenant, name, scopes, hash, created_at, expires_at, revoked_at, used_at } = key;
    let mut item = item([
        ("id", text(id.as_str())),
        ("tenant", text(tenant.as_str())),
        ("name", text(name)),
        ("scopes", text(json(scopes)?)),
        ("hash", bytes(hash.0)),
        ("created_at", time(*created_at)),
    ]);
    for (name, at) in [("expires_at", expires_at), ("revoked_at", revoked_at), ("used_at", used_at)] {
        item.extend(at.map(|at| (name.to_owned(), time(at))));
    }
    Ok(item)
}

fn key(item: &Item) -> Result<KeyRecord> {
    let row = Row { table: TABLE, item };
    let hash = row.bytes("hash")?.try_into().map_err(|_| {
        Error::new(ErrorKind::Internal, format!("the hash of an item of table `{TABLE}` does not have 32 bytes"))
    })?;
    Ok(KeyRecord {
        id: row.parsed("id")?,
        tenant: row.parsed("tenant")?,
        name: row.text("name")?.to_owned(),
        scopes: row.json("scopes")?,
        hash: KeyHash(hash),
        created_at: row.time("created_at")?,
        expires_at: row.optional_time("expires_at")?,
        revoked_at: row.optional_time("revoked_at")?,
        used_at: row.optional_time("used_at")?,
    })
}
