use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{
    config::timeout::TimeoutConfig, error::SdkError, operation::put_object::PutObjectError, primitives::ByteStream,
};
use futures_util::future::try_join_all;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::ModelVersion,
    learning::ModelRecord,
    ports::{ModelStore, TenantScope},
};

use crate::{Clients, error::explain};

/// Versions that are kept beside the one in force.
const KEPT: usize = 10;
/// Records that are read side by side.
const SIDE_BY_SIDE: usize = 8;
/// The longest that one try to move an artifact may take: it has megabytes.
const ARTIFACT_TIME: Duration = Duration::from_secs(60);

/// Trained models in the bucket: `models/{tenant}/{version}.model` with `{version}.json` beside it, and the version in force in
/// `models/{tenant}/active`. The record comes after the model and goes before it, so that a listed version is complete; neither
/// is ever written twice.
pub struct S3Models {
    clients: Clients,
}

impl S3Models {
    /// The models of the bucket.
    pub fn new(clients: Clients) -> Self {
        Self { clients }
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let request = self.clients.s3.get_object().bucket(&self.clients.names.bucket).key(key);
        let object = match request.customize().config_override(patient()).send().await {
            Ok(object) => object,
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(None),
            Err(error) => return Err(explain("reading a model", error)),
        };
        let bytes =
            object.body.collect().await.map_err(|error| {
                Error::new(ErrorKind::Unavailable, "a model was cut off on its way").caused_by(error)
            })?;
        Ok(Some(bytes.to_vec()))
    }

    /// Whether it was put; not when something is there already.
    async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<bool> {
        let request = self.clients.s3.put_object().bucket(&self.clients.names.bucket).key(key).if_none_match("*");
        let sent = request.body(ByteStream::from(bytes)).customize().config_override(patient()).send().await;
        match sent {
            Ok(_) => Ok(true),
            Err(error) if is_there(&error) => Ok(false),
            Err(error) => Err(explain("keeping a model", error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let request = self.clients.s3.delete_object().bucket(&self.clients.names.bucket).key(key);
        request.send().await.map(drop).map_err(|error| explain("removing an old model", error))
    }

    async fn exists(&self, key: &str) -> Result<bool> {
        match self.clients.s3.head_object().bucket(&self.clients.names.bucket).key(key).send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_not_found() => Ok(false),
            Err(error) => Err(explain("looking for a model", error)),
        }
    }

    async fn record(&self, key: &str) -> Result<Option<ModelRecord>> {
        let Some(bytes) = self.get(key).await? else { return Ok(None) };
        // A record that cannot be read hides its version; the others are still there to be used.
        let broken = |error| tracing::error!(key, %error, "the record of a model is broken");
        Ok(serde_json::from_slice(&bytes).map_err(broken).ok())
    }

    async fn remove_old(&self, scope: &TenantScope) -> Result<()> {
        let in_force = self.active(scope).await?;
        let versions = self.versions(scope).await?;
        for old in versions.into_iter().skip(KEPT).filter(|old| Some(old) != in_force.as_ref()) {
            self.delete(&record_key(scope, &old)).await?;
            self.delete(&artifact_key(scope, &old)).await?;
        }
        Ok(())
    }

    /// The versions that have a record, newest first.
    async fn versions(&self, scope: &TenantScope) -> Result<Vec<ModelVersion>> {
        let prefix = folder(scope);
        let request = self.clients.s3.list_objects_v2().bucket(&self.clients.names.bucket).prefix(&prefix);
        let mut pages = request.into_paginator().send();
        let mut versions: Vec<ModelVersion> = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain("listing models", error))?;
            let names = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&prefix));
            versions.extend(names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()));
        }
        versions.sort_by(|one, other| other.cmp(one));
        Ok(versions)
    }
}

#[async_trait]
impl ModelStore for S3Models {
    async fn save(&self, scope: &TenantScope, record: &ModelRecord, artifact: &[u8]) -> Result<()> {
        let version = &record.version;
        let there = || Error::new(ErrorKind::Conflict, format!("model {version} is there already"));
        let key = artifact_key(scope, version);
        // Bytes that are there already may be ours: of a save that got no further, or of a try whose answer was lost.
        if !self.put_new(&key, artifact.to_vec()).await? && self.get(&key).await?.is_none_or(|bytes| bytes != artifact)
        {
            return Err(there());
        }
        let json = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::new(ErrorKind::Internal, "the record of a model is no JSON").caused_by(error))?;
        if !self.put_new(&record_key(scope, version), json).await? {
            return Err(there());
        }
        // The version is kept by now; an old one too many is no reason to say that it is not.
        if let Err(error) = self.remove_old(scope).await {
            tracing::warn!(tenant = %scope.tenant(), error = error.report(), "old models were not removed");
        }
        Ok(())
    }

    async fn list(&self, scope: &TenantScope) -> Result<Vec<ModelRecord>> {
        let keys: Vec<_> = self.versions(scope).await?.iter().map(|version| record_key(scope, version)).collect();
        let mut records = Vec::with_capacity(keys.len());
        for some in keys.chunks(SIDE_BY_SIDE) {
            let read = try_join_all(some.iter().map(|key| self.record(key))).await?;
            records.extend(read.into_iter().flatten());
        }
        Ok(records)
    }

    async fn read(&self, scope: &TenantScope, version: &ModelVersion) -> Result<Option<Vec<u8>>> {
        self.get(&artifact_key(scope, version)).await
    }

    async fn active(&self, scope: &TenantScope) -> Result<Option<ModelVersion>> {
        let key = active_key(scope);
        let Some(bytes) = self.get(&key).await? else { return Ok(None) };
        match String::from_utf8_lossy(&bytes).trim() {
            "" => Ok(None),
            version => version.parse().map(Some).map_err(|_| {
                let message = format!("{key} names no version; write one there, or `switchboard models rollback`");
                Error::new(ErrorKind::Internal, message)
            }),
        }
    }

    async fn activate(&self, scope: &TenantScope, version: Option<&ModelVersion>) -> Result<()> {
        if let Some(version) = version
            && !self.exists(&record_key(scope, version)).await?
        {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no model {version}")));
        }
        let text = version.map_or_else(String::new, |version| format!("{version}\n"));
        let request = self.clients.s3.put_object().bucket(&self.clients.names.bucket).key(active_key(scope));
        let sent = request.body(ByteStream::from(text.into_bytes())).send().await;
        sent.map(drop).map_err(|error| explain("putting a model in force", error))
    }
}

fn folder(scope: &TenantScope) -> String {
    format!("models/{}/", scope.tenant())
}

fn artifact_key(scope: &TenantScope, version: &ModelVersion) -> String {
    format!("{}{version}.model", folder(scope))
}

fn record_key(scope: &TenantScope, version: &ModelVersion) -> String {
    format!("{}{version}.json", folder(scope))
}

fn active_key(scope: &TenantScope) -> String {
    format!("{}active", folder(scope))
}

/// Something is there already (412), or is being put there at this moment (409).
fn is_there(error: &SdkError<PutObjectError>) -> bool {
    error.raw_response().is_some_and(|response| matches!(response.status().as_u16(), 409 | 412))
}

fn patient() -> aws_sdk_s3::config::Builder {
    let times = TimeoutConfig::builder().operation_attempt_timeout(ARTIFACT_TIME).operation_timeout(2 * ARTIFACT_TIME);
    aws_sdk_s3::config::Builder::new().timeout_config(times.build())
}
