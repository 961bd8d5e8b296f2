use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    ports::{Clock, TenantSource},
    tenants::Tenant,
};

/// How long a configuration is used before the file's date is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Tenants in a folder: `{tenant_id}/config.json` each. A changed file counts within seconds; a broken one leaves the last
/// good version in force.
pub struct FolderTenants {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    loaded: Mutex<HashMap<TenantId, Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    tenant: Arc<Tenant>,
    looked_at: Duration,
    stamp: Stamp,
}

/// What tells one state of the file from another.
type Stamp = Option<(SystemTime, u64)>;

impl FolderTenants {
    /// The tenants of `folder`.
    pub fn new(folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self { folder, clock, loaded: Mutex::new(HashMap::new()) }
    }

    /// Reads and checks one tenant's file, without remembering it.
    pub fn check(&self, id: &TenantId) -> Result<Option<Tenant>> {
        let bytes = match fs::read(self.file(id)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(id, error)),
        };
        let tenant = Tenant::from_json(&bytes).map_err(|mistakes| {
            Error::new(ErrorKind::Invalid, format!("the configuration of tenant `{id}` is not valid"))
                .caused_by(mistakes)
        })?;
        if tenant.id != *id {
            let message = format!("the file of tenant `{id}` has tenant_id `{}`; they must be the same", tenant.id);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Some(tenant))
    }

    fn file(&self, id: &TenantId) -> PathBuf {
        self.folder.join(id.as_str()).join("config.json")
    }

    fn reload(&self, id: &TenantId, known: Option<Loaded>) -> Result<Option<Arc<Tenant>>> {
        let looked_at = self.clock.monotonic();
        let stamp = stamp(&self.file(id));
        if let Some(known) = known.as_ref().filter(|known| known.stamp == stamp) {
            let tenant = Arc::clone(&known.tenant);
            let again = Loaded { looked_at, ..known.clone() };
            self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), again);
            return Ok(Some(tenant));
        }
        let tenant = match (known, self.check(id)) {
            (_, Ok(Some(tenant))) => {
                tracing::info!(tenant = %id, version = %tenant.version, "tenant configuration loaded");
                Arc::new(tenant)
            }
            (None, Ok(None)) => return Ok(None),
            (Some(_), Ok(None)) => {
                tracing::warn!(tenant = %id, "tenant configuration removed");
                self.loaded.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                return Ok(None);
            }
            (None, Err(error)) => return Err(error),
            (Some(known), Err(error)) => {
                let problem = error.report();
                tracing::error!(tenant = %id, problem, "new tenant configuration refused, the last good one stays");
                Arc::new(known.tenant.with_problem(problem))
            }
        };
        let loaded = Loaded { tenant: Arc::clone(&tenant), looked_at, stamp };
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), loaded);
        Ok(Some(tenant))
    }
}

#[async_trait]
impl TenantSource for FolderTenants {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>> {
        let known = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        match known {
            Some(known) if self.clock.monotonic().saturating_sub(known.looked_at) < LOOK_AGAIN => {
                Ok(Some(known.tenant))
            }
            known => self.reload(id, known),
        }
    }

    async fn list(&self) -> Result<Vec<TenantId>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Error::new(ErrorKind::Internal, "the tenants' folder cannot be read").caused_by(error));
            }
        };
        let mut ids: Vec<TenantId> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|id| self.file(id).exists())
            .collect();
        ids.sort();
        Ok(ids)
    }
}

fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn unreadable(id: &TenantId, error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("the configuration of tenant `{id}` cannot be read")).caused_by(error)
}
