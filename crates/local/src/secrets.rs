use std::{fs, io, path::PathBuf};

use async_trait::async_trait;
use secrecy::SecretString;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::SecretName,
    ports::Secrets,
};

/// Secrets from the environment (`SWITCHBOARD_SECRET_<NAME>`, upper case, `-` as `_`), else from a file of that name in
/// the folder. They are read each time, so a changed one is in force at once.
pub struct FolderSecrets {
    folder: PathBuf,
}

impl FolderSecrets {
    /// Secrets in `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

#[async_trait]
impl Secrets for FolderSecrets {
    async fn secret(&self, name: &SecretName) -> Result<Option<SecretString>> {
        let variable = format!("SWITCHBOARD_SECRET_{}", name.as_str().to_uppercase().replace('-', "_"));
        if let Ok(secret) = std::env::var(variable) {
            return Ok(Some(secret.into()));
        }
        match fs::read_to_string(self.folder.join(name.as_str())) {
            Ok(secret) => Ok(Some(secret.trim_end().to_owned().into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, format!("secret `{name}` cannot be read")).caused_by(error))
            }
        }
    }
}
