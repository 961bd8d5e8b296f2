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
        Tenant::kept_as(id, &bytes).map(Some)
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
        let in_force = Tenant::in_force(id, known.as_ref().map(|known| known.tenant.as_ref()), self.check(id))?;
        let Some(tenant) = in_force else {
            self.loaded.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            return Ok(None);
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
