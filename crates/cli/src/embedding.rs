//! Where the optional embedding model lies.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use switchboard_knowledge::embed::{Embedder, MODEL_NAME};

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
