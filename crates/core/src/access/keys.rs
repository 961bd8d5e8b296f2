//! API keys: checked, made, rotated and revoked. Each change takes its entry for the audit log along.

use std::time::Duration;

use super::{
    ApiKey, NotAKey, Pepper, Principal, Scope, Who,
    audit::{Action, Actor, By, Details, Label},
};
use crate::{
    app::App,
    error::{Error, ErrorKind, FieldError, Result},
    ids::KeyId,
    limits,
    ports::{KeyRecord, TenantScope},
    time::Timestamp,
};

/// Checks a key as it came with a request. Every way of being wrong gives the same answer: [`ErrorKind::Unauthorized`].
pub async fn authenticate(app: &App, pepper: &Pepper, presented: &str) -> Result<Principal> {
    let wrong = || Error::new(ErrorKind::Unauthorized, "the API key is not valid, has expired or was revoked");
    let key: ApiKey = presented.parse().map_err(|NotAKey| wrong())?;
    let record = app.keys.key(key.id()).await?.ok_or_else(wrong)?;
    if !key.matches(pepper, &record.hash) || !record.is_in_force(app.clock.now()) {
        return Err(wrong());
    }
    let KeyRecord { id, tenant, name, scopes, .. } = record;
    Ok(Principal { who: Who::Key(id), name, tenant, role: None, scopes })
}

/// What a new key shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is refused; never by itself when absent.
    pub expires_at: Option<Timestamp>,
}

impl Wish {
    /// All mistakes: no scopes, a name that is too long, an end that lies in the past, or after `latest`, the end of the key that
    /// asks ([`end_of`]).
    pub fn mistakes(&self, now: Timestamp, latest: Option<Timestamp>) -> Vec<FieldError> {
        let mut mistakes = Vec::new();
        if self.scopes.is_empty() {
            mistakes.push(FieldError::new("/scopes", "is empty; a key without scopes may do nothing"));
        }
        if self.name.chars().count() > limits::KEY_NAME_CHARS {
            mistakes.push(FieldError::new("/name", format!("may have at most {} characters", limits::KEY_NAME_CHARS)));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            mistakes.push(FieldError::new("/expires_at", "lies in the past"));
        }
        if let (Some(end), Some(latest)) = (self.expires_at, latest)
            && end > latest
        {
            let detail =
                format!("lies after {latest}, when the key that asks ends; nobody makes a key that outlasts his own");
            mistakes.push(FieldError::new("/expires_at", detail));
        }
        mistakes
    }
}

/// When `who` ends, if that is a key with an end: no key that it makes lasts longer.
pub async fn end_of(app: &App, who: &Who) -> Result<Option<Timestamp>> {
    let Who::Key(id) = who else { return Ok(None) };
    Ok(app.keys.key(id).await?.and_then(|record| record.expires_at))
}

/// Makes a key for the tenant of `scope`. The key's text is to be shown once and is kept nowhere. The wish has no
/// [`Wish::mistakes`]; when a key asks, the new one ends with it at the latest. Of the tenant's keys that are not in force any
/// more, those that ended first are forgotten ([`limits::DEAD_KEYS_KEPT`]). `Conflict` when the tenant has
/// [`limits::KEYS_IN_FORCE`].
pub async fn create(
    app: &App,
    pepper: &Pepper,
    scope: &TenantScope,
    by: &By,
    wish: Wish,
) -> Result<(ApiKey, KeyRecord)> {
    let Wish { name, scopes, expires_at } = wish;
    let known = app.keys.list_keys(scope).await?;
    room(app, &known)?;
    let expires_at = bounded(expires_at, &known, by);
    let (key, record) = fresh(app, pepper, scope, name, scopes, expires_at);
    let details = Details { expires_at, ..about(&record) };
    let act = by.did(Action::KeyCreate, Some(scope.tenant())).to(&record.id).with(details);
    app.keys.create_key(scope, record.clone(), &to_forget(&known, app.clock.now()), act).await?;
    Ok((key, record))
}

/// A key that took the place of another.
#[derive(Debug)]
pub struct Rotated {
    /// The new key, whose text is to be shown once.
    pub key: ApiKey,
    /// What is kept of it.
    pub record: KeyRecord,
    /// From when on the old one is refused.
    pub old_expires_at: Timestamp,
}

/// Replaces a key by a new one with the same name, scopes and tenant. Both work for `overlap`, and the old one never longer
/// than it would have anyway. The new one lasts as long as the old one was made for, unless `expires_at` says otherwise; when a key asks,
/// it ends with that one at the latest.
///
/// `NotFound` when the tenant has no such key, `Conflict` when it is not in force any more or the tenant has
/// [`limits::KEYS_IN_FORCE`], `Invalid` when the overlap is
/// longer than [`limits::KEY_OVERLAP_MOST`].
pub async fn rotate(
    app: &App,
    pepper: &Pepper,
    scope: &TenantScope,
    by: &By,
    id: &KeyId,
    overlap: Duration,
    expires_at: Option<Timestamp>,
) -> Result<Rotated> {
    if overlap > limits::KEY_OVERLAP_MOST {
        let days = limits::KEY_OVERLAP_MOST.as_secs() / 86_400;
        return Err(Error::new(ErrorKind::Invalid, format!("the overlap may last at most {days} days")));
    }
    let now = app.clock.now();
    let known = app.keys.list_keys(scope).await?;
    let old = known.iter().find(|record| record.id == *id).ok_or_else(|| unknown(scope, id))?;
    let gone = || {
        let message = format!("key {id} is not in force any more; make a new one instead");
        Error::new(ErrorKind::Conflict, message)
    };
    if !old.is_in_force(now) {
        return Err(gone());
    }
    room(app, &known)?;
    let end = expires_at.or_else(|| old.expires_at.map(|end| now.plus(end.since(old.created_at))));
    let end = bounded(end, &known, by);
    let (key, record) = fresh(app, pepper, scope, old.name.clone(), old.scopes.clone(), end);
    let until = now.plus(overlap);
    let old_expires_at = old.expires_at.map_or(until, |end| end.min(until));
    let details = Details {
        replaced_by: Some(record.id.clone()),
        expires_at: Some(old_expires_at),
        seconds: Some(overlap.as_secs()),
        ..about(&record)
    };
    let act = by.did(Action::KeyRotate, Some(scope.tenant())).to(id).with(details);
    let forget = to_forget(&known, now);
    if !app.keys.rotate_key(scope, id, old_expires_at, record.clone(), &forget, act).await? {
        return Err(gone());
    }
    Ok(Rotated { key, record, old_expires_at })
}

/// Refuses one more key when there are as many in force as there may be.
fn room(app: &App, known: &[KeyRecord]) -> Result<()> {
    let now = app.clock.now();
    let most = limits::KEYS_IN_FORCE;
    if known.iter().filter(|record| record.is_in_force(now)).count() >= most {
        let message =
            format!("the tenant has {most} keys in force, as many as it may have; revoke those that nobody uses");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(())
}

/// The end of a new key: the one that was asked for, and that of the key that asks at the latest. A key with an end could
/// else make itself a successor without one.
fn bounded(wanted: Option<Timestamp>, known: &[KeyRecord], by: &By) -> Option<Timestamp> {
    let latest = match &by.actor {
        Actor::Key { id } => known.iter().find(|record| record.id == *id).and_then(|record| record.expires_at),
        _ => None,
    };
    wanted.into_iter().chain(latest).min()
}

/// The keys that ended first among those that are not in force any more and are too many.
fn to_forget(known: &[KeyRecord], now: Timestamp) -> Vec<KeyId> {
    let ended = |record: &KeyRecord| record.revoked_at.into_iter().chain(record.expires_at).min();
    let mut dead: Vec<_> = known.iter().filter(|record| !record.is_in_force(now)).collect();
    dead.sort_by_key(|record| ended(record));
    let too_many = dead.len().saturating_sub(limits::DEAD_KEYS_KEPT).min(limits::KEYS_FORGOTTEN_AT_ONCE);
    dead.into_iter().take(too_many).map(|record| record.id.clone()).collect()
}

/// Revokes a key; `NotFound` when the tenant has no such key. Revoking again changes nothing.
pub async fn revoke(app: &App, scope: &TenantScope, by: &By, id: &KeyId) -> Result<()> {
    let act = by.did(Action::KeyRevoke, Some(scope.tenant())).to(id);
    if app.keys.revoke_key(scope, id, app.clock.now(), act).await? { Ok(()) } else { Err(unknown(scope, id)) }
}

/// The key of that id, when it is the tenant's; else `NotFound`.
pub async fn of_tenant(app: &App, scope: &TenantScope, id: &KeyId) -> Result<KeyRecord> {
    let found = app.keys.list_keys(scope).await?.into_iter().find(|record| record.id == *id);
    found.ok_or_else(|| unknown(scope, id))
}

fn unknown(scope: &TenantScope, id: &KeyId) -> Error {
    Error::new(ErrorKind::NotFound, format!("tenant `{}` has no key `{id}`", scope.tenant()))
}

fn about(record: &KeyRecord) -> Details {
    let name = (!record.name.is_empty()).then(|| Label::new(&record.name));
    Details { name, scopes: record.scopes.clone(), ..Details::default() }
}

fn fresh(
    app: &App,
    pepper: &Pepper,
    scope: &TenantScope,
    name: String,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
) -> (ApiKey, KeyRecord) {
    let key = ApiKey::generate(app.ids.as_ref());
    let record = KeyRecord {
        id: key.id().clone(),
        tenant: scope.tenant().clone(),
        name,
        scopes,
        hash: key.hash(pepper),
        created_at: app.clock.now(),
        expires_at,
        revoked_at: None,
        used_at: None,
    };
    (key, record)
}
