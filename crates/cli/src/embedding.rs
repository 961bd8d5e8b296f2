//! Where the optional embedding model lies.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use switchboard_knowledge::embed::{Embedder, LocalEmbedder, MODEL_NAME, Missing};

use crate::data::DataFolder;

/// Names another folder of the embedding model than the data folder's own.
pub(crate) const FOLDER_VARIABLE: &str = "SWITCHBOARD_EMBEDDING_MODEL";

/// The folder of the embedding model: named by [`FOLDER_VARIABLE`], or in the data folder.
pub(crate) fn folder(data: &DataFolder) -> PathBuf {
    match std::env::var_os(FOLDER_VARIABLE).filter(|named| !named.is_empty()) {
        Some(named) => PathBuf::from(named),
        None => data.models().join(MODEL_NAME),
    }
}

/// The embedding model, when it is installed; a broken one is an error.
pub(crate) fn open(data: &DataFolder) -> Result<Option<Embedder>> {
    let folder = folder(data);
    if !is_installed(&folder) {
        return Ok(None);
    }
    let embedder = Embedder::open(&folder).with_context(|| {
        format!(
            "the embedding model in {} is broken; run `switchboard models install` again, or remove it",
            folder.display()
        )
    })?;
    Ok(Some(embedder))
}

/// Whether somebody has installed the model there.
pub(crate) fn is_installed(folder: &Path) -> bool {
    folder.is_dir()
}

/// The embedding model of a data folder, read once for all who want it. A clone is the same.
#[derive(Clone)]
pub(crate) struct InstalledModel {
    data: DataFolder,
    read: Arc<Mutex<Option<Arc<Embedder>>>>,
}

impl InstalledModel {
    pub(crate) fn of(data: &DataFolder) -> Self {
        Self { data: data.clone(), read: Arc::default() }
    }

    /// As [`open`]; who comes while it is being read waits.
    pub(crate) fn open(&self) -> Result<Option<Arc<Embedder>>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_none() {
            *read = open(&self.data)?.map(Arc::new);
        }
        Ok(read.clone())
    }

    /// The provider `local` of tenants' configurations.
    pub(crate) fn embedder(&self) -> Result<LocalEmbedder> {
        let model = self.clone();
        let load = move || match model.open() {
            Ok(Some(embedder)) => Ok(embedder),
            Ok(None) => Err(Missing(format!(
                "the program's own {MODEL_NAME} is not installed in {}; run `switchboard models install`",
                folder(&model.data).display()
            ))),
            Err(error) => Err(Missing(format!("{error:#}"))),
        };
        LocalEmbedder::new(load).context("the thread of the embedding model cannot start")
    }
}
