//! Secrets on their way into a header.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::SecretName,
    ports::{Secrets, TenantScope},
    tenants::Tenant,
};

/// The tenant's secret of that name. One that is not there is `Invalid`: somebody has to put it there.
pub(crate) async fn required(
    secrets: &dyn Secrets,
    tenant: &Tenant,
    name: &SecretName,
    who: &str,
) -> Result<SecretString> {
    // Nothing is sent yet.
    match secrets.secret(&TenantScope::of_tenant(tenant), name).await.map_err(Error::not_applied)? {
        Some(secret) if !secret.expose_secret().is_empty() => Ok(secret),
        Some(_) => Err(Error::new(ErrorKind::Invalid, format!("the secret `{name}` for {who} is empty"))),
        None => Err(Error::new(ErrorKind::Invalid, format!("the secret `{name}` for {who} is not there"))),
    }
}

/// `Bearer {token}`.
pub(crate) fn bearer(name: &SecretName, token: &SecretString) -> Result<HeaderValue> {
    sensitive(name, &SecretString::from(format!("Bearer {}", token.expose_secret())))
}

/// `Basic {base64 of user:password}`.
pub(crate) fn basic(name: &SecretName, user: &str, password: &SecretString) -> Result<HeaderValue> {
    let pair = SecretString::from(format!("{user}:{}", password.expose_secret()));
    sensitive(name, &SecretString::from(format!("Basic {}", BASE64_STANDARD.encode(pair.expose_secret()))))
}

fn sensitive(name: &SecretName, text: &SecretString) -> Result<HeaderValue> {
    // The cause is left out: it could tell which character of the secret is wrong.
    let mut value = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
        Error::new(ErrorKind::Invalid, format!("the secret `{name}` has characters that a header cannot carry"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}
