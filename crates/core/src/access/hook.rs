//! Who sends a web hook: nobody has a key, the signature says which tenant's system it is.

use std::sync::Arc;

use crate::{
    app::App,
    error::{Error, ErrorKind, Result},
    ids::{IdempotencyKey, TenantId},
    ports::{Secrets, TenantScope},
    tenants::Tenant,
    time::Timestamp,
    webhook::{Delivery, SigningKey},
};

/// Refuses what cannot be signed whatever its body is, before that is read: without an id, a timestamp of now, and a signature
/// of the version that is known. The answer is that of [`authenticate`], and nothing of the tenant is looked at, so that who
/// sends no body learns nothing either.
pub fn check_headers(delivery: &Delivery<'_>, now: Timestamp) -> Result<()> {
    let may_be_signed = delivery.may_be_signed(now) && IdempotencyKey::of_webhook(delivery.id).is_ok();
    if may_be_signed { Ok(()) } else { Err(not_signed()) }
}

fn not_signed() -> Error {
    Error::new(ErrorKind::Unauthorized, "the web hook is not signed as its tenant asks, or not now")
}

/// Checks a delivery of `POST /hooks/generic` for `tenant`. What it gives makes a repetition harmless: a replay within the
/// time that the timestamp allows is answered as the first one was.
///
/// Whatever is wrong (no such tenant, no hook, no secret, a signature of something else, a timestamp of another time) gives
/// the same answer, [`ErrorKind::Unauthorized`], so that nobody learns which tenants there are.
pub async fn authenticate(
    app: &App,
    secrets: &dyn Secrets,
    tenant: &TenantId,
    delivery: &Delivery<'_>,
) -> Result<(Arc<Tenant>, IdempotencyKey)> {
    let found = app.tenants.tenant(tenant).await.unwrap_or_else(|error| {
        tracing::warn!(%tenant, error = error.report(), "a web hook's tenant cannot be read");
        None
    });
    let keys = match &found {
        Some(found) => keys(secrets, found).await,
        None => Vec::new(),
    };
    let is_signed = delivery.is_signed_by(&keys, app.clock.now());
    match (found, IdempotencyKey::of_webhook(delivery.id)) {
        (Some(found), Ok(key)) if is_signed => Ok((found, key)),
        _ => Err(not_signed()),
    }
}

/// The keys that there are. What keeps one from being used is for the log: the other one may do.
async fn keys(secrets: &dyn Secrets, tenant: &Tenant) -> Vec<SigningKey> {
    let names = tenant.config.hooks.generic.iter().flat_map(|hook| &hook.secrets);
    let mut keys = Vec::new();
    for name in names {
        let reason = match secrets.secret(&TenantScope::of_tenant(tenant), name).await {
            Ok(Some(secret)) => match SigningKey::new(&secret) {
                Ok(key) => {
                    keys.push(key);
                    continue;
                }
                Err(reason) => reason.to_string(),
            },
            Ok(None) => "is not there".to_owned(),
            Err(error) => error.report(),
        };
        tracing::warn!(tenant = %tenant.id, secret = %name, reason, "a secret of the web hook cannot be used");
    }
    keys
}
