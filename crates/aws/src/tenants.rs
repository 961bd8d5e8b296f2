use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::error::SdkError;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    limits,
    ports::{Clock, TenantSource},
    tenants::Tenant,
};

use crate::{Clients, error::explain, looked::Looked};

/// How long a configuration is used before the bucket is asked whether there is a newer one.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const PREFIX: &str = "tenants/";

/// Tenants in the bucket: `tenants/{tenant_id}/config.json`, or else `{tenant_id}-config.json`. A changed object counts within
/// seconds, an unchanged one is not downloaded again; a broken one leaves the last good version in force, and so does a
/// bucket that cannot be reached.
///
/// It takes `s3:ListBucket` beside `s3:GetObject`: without it S3 answers "forbidden" for what is not there.
pub struct S3Tenants {
    clients: Clients,
    clock: Arc<dyn Clock>,
    loaded: Mutex<HashMap<TenantId, Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    tenant: Arc<Tenant>,
    looked: Looked,
    key: String,
    etag: Option<String>,
}

/// What the bucket says of a configuration.
enum Found {
    Nothing,
    Unchanged,
    Object { key: String, etag: Option<String>, tenant: Box<Result<Tenant>> },
}

impl S3Tenants {
    /// The tenants of the bucket.
    pub fn new(clients: Clients, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock, loaded: Mutex::default() }
    }

    /// Puts a configuration, which its caller has checked, where it is looked for.
    pub async fn put(clients: &Clients, id: &TenantId, config: Vec<u8>) -> Result<()> {
        let key = format!("{PREFIX}{id}/config.json");
        let request = clients.s3.put_object().bucket(&clients.names.bucket).key(key).content_type("application/json");
        let put = request.body(config.into()).send().await;
        put.map(drop).map_err(|error| explain("writing a tenant's configuration", error))
    }

    fn loaded(&self) -> MutexGuard<'_, HashMap<TenantId, Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reload(&self, id: &TenantId, known: Option<Loaded>) -> Result<Option<Arc<Tenant>>> {
        let looked = Looked::now(self.clock.as_ref());
        if let Some(known) = &known {
            // Whoever comes meanwhile takes what is known: one looks for all.
            self.loaded().insert(id.clone(), Loaded { looked, ..known.clone() });
        }
        let (key, etag, found) = match (self.find(id, known.as_ref()).await, &known) {
            (Ok(Found::Unchanged), Some(known)) => return Ok(Some(Arc::clone(&known.tenant))),
            (Err(error), Some(known)) => {
                tracing::error!(tenant = %id, error = error.report(), "tenant configuration cannot be looked at");
                return Ok(Some(Arc::clone(&known.tenant)));
            }
            (Err(error), None) => return Err(error),
            (Ok(Found::Object { key, etag, tenant }), _) => (key, etag, (*tenant).map(Some)),
            (Ok(Found::Nothing | Found::Unchanged), _) => (String::new(), None, Ok(None)),
        };
        let in_force = Tenant::in_force(id, known.as_ref().map(|known| known.tenant.as_ref()), found)?;
        match &in_force {
            Some(tenant) => {
                let loaded = Loaded { tenant: Arc::clone(tenant), looked, key, etag };
                self.loaded().insert(id.clone(), loaded);
            }
            None => {
                self.loaded().remove(id);
            }
        }
        Ok(in_force)
    }

    async fn find(&self, id: &TenantId, known: Option<&Loaded>) -> Result<Found> {
        for key in [format!("{PREFIX}{id}/config.json"), format!("{id}-config.json")] {
            let etag = known.filter(|known| known.key == key).and_then(|known| known.etag.clone());
            match self.get(id, key, etag).await? {
                Found::Nothing => {}
                found => return Ok(found),
            }
        }
        Ok(Found::Nothing)
    }

    async fn get(&self, id: &TenantId, key: String, etag: Option<String>) -> Result<Found> {
        let request = self.clients.s3.get_object().bucket(&self.clients.names.bucket).key(&key);
        let object = match request.set_if_none_match(etag).send().await {
            Ok(object) => object,
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(Found::Nothing),
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 304 => return Ok(Found::Unchanged),
            Err(error) => return Err(explain("reading a tenant's configuration", error)),
        };
        let etag = object.e_tag;
        let length = object.content_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        if length > limits::TENANT_CONFIG_BYTES {
            let most = limits::TENANT_CONFIG_BYTES;
            let message = format!("the configuration of tenant `{id}` has {length} bytes; at most {most} are allowed");
            return Ok(Found::Object { key, etag, tenant: Box::new(Err(Error::new(ErrorKind::Invalid, message))) });
        }
        let bytes = object.body.collect().await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "a tenant's configuration was cut off on its way").caused_by(error)
        })?;
        Ok(Found::Object { key, etag, tenant: Box::new(Tenant::kept_as(id, &bytes.to_vec())) })
    }

    /// The keys under a prefix; with a delimiter only those that do not go further down.
    async fn keys(&self, prefix: &str, delimiter: Option<&str>) -> Result<Vec<String>> {
        let request = self.clients.s3.list_objects_v2().bucket(&self.clients.names.bucket).prefix(prefix);
        let mut pages = request.set_delimiter(delimiter.map(str::to_owned)).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain("listing the tenants", error))?;
            keys.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
        }
        Ok(keys)
    }
}

#[async_trait]
impl TenantSource for S3Tenants {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>> {
        let known = self.loaded().get(id).cloned();
        match known {
            Some(known) if known.looked.is_within(LOOK_AGAIN, self.clock.as_ref()) => Ok(Some(known.tenant)),
            known => self.reload(id, known).await,
        }
    }

    async fn list(&self) -> Result<Vec<TenantId>> {
        let in_folders = self.keys(PREFIX, None).await?;
        let in_folders = in_folders.iter().filter_map(|key| key.strip_prefix(PREFIX)?.strip_suffix("/config.json"));
        let beside = self.keys("", Some("/")).await?;
        let beside = beside.iter().filter_map(|key| key.strip_suffix("-config.json"));
        let ids: BTreeSet<TenantId> = in_folders.chain(beside).filter_map(|id| id.parse().ok()).collect();
        Ok(ids.into_iter().collect())
    }
}
