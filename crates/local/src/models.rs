use std::{
    fs, io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::ModelVersion,
    learning::ModelRecord,
    ports::{ModelStore, TenantScope},
};

use crate::files::write_private;

/// Versions that are kept beside the one in force.
const KEPT: usize = 10;

/// Trained models in a folder: `{tenant}/{version}.model` with `{version}.json` beside it, and the version in force in
/// `{tenant}/active`. Each file appears whole or not at all; the record comes after the model, so that a listed version is
/// complete.
pub struct FolderModels {
    folder: PathBuf,
}

impl FolderModels {
    /// Models in `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn of(&self, scope: &TenantScope) -> PathBuf {
        self.folder.join(scope.tenant().as_str())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, "a thread of the model store died").caused_by(error))
    })
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("{} cannot be read or written", path.display())).caused_by(error)
}

fn present<T>(path: &Path, read: io::Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn list(folder: &Path) -> Result<Vec<ModelRecord>> {
    let Some(entries) = present(folder, fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(bytes) = present(&path, fs::read(&path))?
        {
            match serde_json::from_slice::<ModelRecord>(&bytes) {
                Ok(record) => records.push(record),
                // A record that cannot be read hides its version; the others are still there to be used.
                Err(error) => tracing::error!(path = %path.display(), %error, "the record of a model is broken"),
            }
        }
    }
    records.sort_by(|one: &ModelRecord, other| other.version.cmp(&one.version));
    Ok(records)
}

fn active(folder: &Path) -> Result<Option<ModelVersion>> {
    let path = folder.join("active");
    let Some(text) = present(&path, fs::read_to_string(&path))? else { return Ok(None) };
    match text.trim() {
        "" => Ok(None),
        version => version.parse().map(Some).map_err(|_| {
            let message =
                format!("{} names no version; write one there, or `switchboard models rollback`", path.display());
            Error::new(ErrorKind::Internal, message)
        }),
    }
}

fn save(folder: &Path, record: &ModelRecord, artifact: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| unreadable(folder, error))?;
    let file = |extension: &str| folder.join(format!("{}.{extension}", record.version));
    if file("json").exists() {
        return Err(Error::new(ErrorKind::Conflict, format!("model {} is there already", record.version)));
    }
    write_private(&file("model"), artifact).map_err(|error| unreadable(folder, error))?;
    // invariant: a record of numbers and strings always serialises
    let json = serde_json::to_vec_pretty(record).unwrap_or_default();
    write_private(&file("json"), &json).map_err(|error| unreadable(folder, error))?;
    let in_force = active(folder)?;
    for old in list(folder)?.into_iter().skip(KEPT).filter(|old| Some(&old.version) != in_force.as_ref()) {
        for extension in ["json", "model"] {
            let path = folder.join(format!("{}.{extension}", old.version));
            present(&path, fs::remove_file(&path))?;
        }
    }
    Ok(())
}

fn activate(folder: &Path, version: Option<&ModelVersion>) -> Result<()> {
    if let Some(version) = version
        && !folder.join(format!("{version}.json")).exists()
    {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no model {version}")));
    }
    fs::create_dir_all(folder).map_err(|error| unreadable(folder, error))?;
    let path = folder.join("active");
    let text = version.map_or_else(String::new, |version| format!("{version}\n"));
    write_private(&path, text.as_bytes()).map_err(|error| unreadable(&path, error))
}

#[async_trait]
impl ModelStore for FolderModels {
    async fn save(&self, scope: &TenantScope, record: &ModelRecord, artifact: &[u8]) -> Result<()> {
        let (folder, record, artifact) = (self.of(scope), record.clone(), artifact.to_vec());
        blocking(move || save(&folder, &record, &artifact)).await
    }

    async fn list(&self, scope: &TenantScope) -> Result<Vec<ModelRecord>> {
        let folder = self.of(scope);
        blocking(move || list(&folder)).await
    }

    async fn read(&self, scope: &TenantScope, version: &ModelVersion) -> Result<Option<Vec<u8>>> {
        let path = self.of(scope).join(format!("{version}.model"));
        blocking(move || present(&path, fs::read(&path))).await
    }

    async fn active(&self, scope: &TenantScope) -> Result<Option<ModelVersion>> {
        let folder = self.of(scope);
        blocking(move || active(&folder)).await
    }

    async fn activate(&self, scope: &TenantScope, version: Option<&ModelVersion>) -> Result<()> {
        let (folder, version) = (self.of(scope), version.cloned());
        blocking(move || activate(&folder, version.as_ref())).await
    }
}
