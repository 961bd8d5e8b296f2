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
    ports::{Secrets, TenantScope},
};

/// Each tenant's secrets, from the environment (`SWITCHBOARD_SECRET_<TENANT>__<NAME>`, upper case), else from the file
/// `{tenant}/{name}` in the folder. They are read each time, so a changed one is in force at once. White space at the end
/// is left out: editors and container platforms put a line end there.
///
/// Names with `-` or `__` are looked for in the folder only: as variables, those of two tenants could be the same.
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
    async fn secret(&self, scope: &TenantScope, name: &SecretName) -> Result<Option<SecretString>> {
        let tenant = scope.tenant().as_str();
        if let Some(variable) = variable(tenant, name.as_str()) {
            match env::var(variable) {
                Ok(secret) => return Ok(Some(secret.trim_end().into())),
                Err(VarError::NotPresent) => {}
                // Without its cause, which would quote the secret.
                Err(VarError::NotUnicode(_)) => {
                    let message = format!("secret `{name}` in the environment is no UTF-8 text");
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            }
        }
        match fs::read_to_string(self.folder.join(tenant).join(name.as_str())) {
            Ok(secret) => Ok(Some(secret.trim_end().into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, format!("secret `{name}` cannot be read")).caused_by(error))
            }
        }
    }
}

fn variable(tenant: &str, name: &str) -> Option<String> {
    let plain =
        |text: &str| !text.contains('-') && !text.contains("__") && !text.starts_with('_') && !text.ends_with('_');
    (plain(tenant) && plain(name)).then(|| format!("SWITCHBOARD_SECRET_{tenant}__{name}").to_uppercase())
}
