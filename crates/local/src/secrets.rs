use std::{
    env::{self, VarError},
    fs, io,
    path::PathBuf,
};

use async_trait::async_trait;
use secrecy::SecretString;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::SecretName,
    ports::Secrets,
};

/// Secrets from the environment (`SWITCHBOARD_SECRET_<NAME>`, upper case, `-` as `_`), else from a file of that name in
/// the folder. They are read each time, so a changed one is in force at once. White space at the end is left out: editors
/// and container platforms put a line end there.
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
        match env::var(variable) {
            Ok(secret) => return Ok(Some(secret.trim_end().into())),
            Err(VarError::NotPresent) => {}
            // Without its cause, which would quote the secret.
            Err(VarError::NotUnicode(_)) => {
                let message = format!("secret `{name}` in the environment is no UTF-8 text");
                return Err(Error::new(ErrorKind::Internal, message));
            }
        }
        match fs::read_to_string(self.folder.join(name.as_str())) {
            Ok(secret) => Ok(Some(secret.trim_end().into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, format!("secret `{name}` cannot be read")).caused_by(error))
            }
        }
    }
}
