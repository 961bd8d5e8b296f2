use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_secretsmanager::{error::SdkError, operation::get_secret_value::GetSecretValueError};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use switchboard_core::{
    access::Pepper,
    error::{Error, ErrorKind, Result},
    ids::{SecretName, TenantId},
    ports::{Clock, Secrets, TenantScope},
};

use crate::{Clients, error::explain, looked::Looked};

/// How long a secret, or that there is none, is taken as it was found: each look is paid for and takes milliseconds.
pub const CACHE_TIME: Duration = Duration::from_secs(60);
/// Secrets that are remembered.
const CACHED: u64 = 1_000;

/// Each tenant's secrets in Secrets Manager, as text under `{prefix}/{tenant}/{name}`. A changed one is in force within a minute
/// ([`CACHE_TIME`]). White space at the end is left out, as in the one binary.
pub struct ManagedSecrets {
    clients: Clients,
    clock: Arc<dyn Clock>,
    known: Cache<(TenantId, SecretName), (Looked, Option<SecretString>)>,
}

impl ManagedSecrets {
    /// The secrets of this account and region.
    pub fn new(clients: Clients, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock, known: Cache::new(CACHED) }
    }

    async fn read(&self, scope: &TenantScope, name: &SecretName) -> Result<Option<SecretString>> {
        let id = format!("{}/{}/{name}", self.clients.names.prefix, scope.tenant());
        match self.clients.secrets.get_secret_value().secret_id(id).send().await {
            Ok(found) => match found.secret_string {
                Some(secret) => Ok(Some(secret.trim_end().into())),
                None => {
                    let message = format!("secret `{name}` is binary; keep it as text");
                    Err(Error::new(ErrorKind::Internal, message))
                }
            },
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => {
                // Without its cause: that quotes the answer, which may hold the secret.
                let told = explain("reading a secret", error);
                Err(Error::new(told.kind(), format!("secret `{name}` cannot be read: {told}")).with_retry(told.retry()))
            }
        }
    }
}

/// There is none, or it is on its way out: what is marked for deletion is given to nobody.
fn is_absent(error: &SdkError<GetSecretValueError>) -> bool {
    match error.as_service_error() {
        Some(GetSecretValueError::ResourceNotFoundException(_)) => true,
        Some(GetSecretValueError::InvalidRequestException(why)) => {
            why.message().is_some_and(|message| message.contains("marked for deletion"))
        }
        _ => false,
    }
}

/// Characters that the secret of the key hashes must have: fewer could be guessed. The infrastructure makes 64.
const PEPPER_CHARS: usize = 32;

/// The pepper of the key hashes, from the text secret of that name or ARN. Another text makes every key wrong.
pub async fn pepper(clients: &Clients, name: &str) -> Result<Pepper> {
    let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("the secret of the key hashes ({name}) {what}"));
    // Without its cause, as above.
    let found = clients.secrets.get_secret_value().secret_id(name).send().await;
    let found = found.map_err(|error| invalid(&explain("reading it", error).to_string()))?;
    let text = SecretString::from(found.secret_string.unwrap_or_default());
    if text.expose_secret().chars().count() < PEPPER_CHARS {
        return Err(invalid(&format!("must be a text of at least {PEPPER_CHARS} characters")));
    }
    Ok(Pepper::new(Sha256::digest(text.expose_secret()).into()))
}

#[async_trait]
impl Secrets for ManagedSecrets {
    async fn secret(&self, scope: &TenantScope, name: &SecretName) -> Result<Option<SecretString>> {
        let key = (scope.tenant().clone(), name.clone());
        if let Some((looked, known)) = self.known.get(&key)
            && looked.is_within(CACHE_TIME, self.clock.as_ref())
        {
            return Ok(known);
        }
        let looked = Looked::now(self.clock.as_ref());
        let found = self.read(scope, name).await?;
        self.known.insert(key, (looked, found.clone()));
        Ok(found)
    }
}
