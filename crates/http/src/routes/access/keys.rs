use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use switchboard_core::{
    access::{
        ApiKey, Principal, Scope,
        keys::{self, Wish},
    },
    error::{Error, ErrorKind, PublicCode},
    ids::{KeyId, TenantId},
    json, limits,
    ports::KeyRecord,
    time::Timestamp,
};
use utoipa::ToSchema;

use super::by;
use crate::{
    HttpState, Problem,
    auth::Caller,
    body::{self, Incoming, Media, Room},
    correlation::Correlation,
};

/// A key that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyDraft {
    /// What people call it.
    #[serde(default)]
    #[schema(max_length = 200)]
    name: String,
    /// What it may do; nothing that the caller may not do himself.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// From when on it is refused: at the latest when the key that asks is, and then also when absent; else never by itself.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

/// How a key is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationDraft {
    /// How long the old key works beside the new one, in seconds; a day when absent, at most 30 days.
    #[serde(default = "a_day")]
    #[schema(maximum = 2_592_000, default = 86_400)]
    overlap_seconds: u64,
    /// From when on the new key is refused; as long as the old one was made for when absent. Never later than the
    /// key that asks.
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

fn a_day() -> u64 {
    86_400
}

/// A key, without its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct Key {
    /// The public part.
    id: KeyId,
    /// Whose data it reaches.
    tenant: TenantId,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// When it was made.
    created_at: Timestamp,
    /// From when on it is refused.
    #[schema(required = false)]
    expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(required = false)]
    revoked_at: Option<Timestamp>,
    /// When it was last used, about a minute behind.
    #[schema(required = false)]
    used_at: Option<Timestamp>,
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    /// The key in full.
    key: String,
    /// What is kept of it.
    #[serde(flatten)]
    record: Key,
}

/// The key that takes the place of another.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotatedKey {
    /// The new key.
    #[serde(flatten)]
    new: NewKey,
    /// The old key.
    replaces: KeyId,
    /// From when on the old key is refused.
    replaced_expires_at: Timestamp,
}

impl From<KeyRecord> for Key {
    fn from(record: KeyRecord) -> Self {
        let KeyRecord { id, tenant, name, scopes, hash: _, created_at, expires_at, revoked_at, used_at } = record;
        Self { id, tenant, name, scopes, created_at, expires_at, revoked_at, used_at }
    }
}

impl NewKey {
    fn of(key: &ApiKey, record: KeyRecord) -> Self {
        Self { key: key.reveal().expose_secret().to_owned(), record: record.into() }
    }
}

/// List the tenant's API keys, newest first
#[utoipa::path(
    get, path = "/keys", tag = "access",
    responses(
        (status = 200, description = "All keys in force, and the 500 that were revoked or expired last, or a few more.", body = Vec<Key>),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The scope `keys:manage` is missing.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn list_keys(
    State(state): State<HttpState>,
    Caller(principal): Caller,
) -> Result<Json<Vec<Key>>, Problem> {
    let scope = principal.allow(Scope::KeysManage)?;
    let keys = state.app().keys.list_keys(&scope).await?;
    Ok(Json(keys.into_iter().map(Key::from).collect()))
}

/// Make an API key
///
/// It is for the caller's tenant and may do nothing that the caller may not. Its text is in this answer and nowhere else.
#[utoipa::path(
    post, path = "/keys", tag = "access",
    request_body(content = KeyDraft, example = json!({"name": "shop", "scopes": ["tickets:write"]})),
    responses(
        (status = 201, description = "The key, shown this once.", body = NewKey),
        (status = 400, description = "No JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The scope `keys:manage` is missing, or one that the new key shall have.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The tenant has as many keys in force as it may have, 500.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 8 KiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else than JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing, unknown or out of its limits.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn create_key(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    Correlation(correlation_id): Correlation,
    incoming: Incoming,
) -> Result<(StatusCode, Json<NewKey>), Problem> {
    let scope = principal.allow(Scope::KeysManage)?;
    body::media(&incoming.headers, &[Media::Json])?;
    let bytes = incoming.read(&state, limits::KEY_BODY_BYTES, Room::Shared).await?;
    let KeyDraft { name, mut scopes, expires_at } = json::parse(&bytes)?;
    scopes.sort_by_key(|scope| scope.name());
    scopes.dedup();
    let (app, wish) = (state.app(), Wish { name, scopes, expires_at });
    let mistakes = wish.mistakes(app.clock.now(), keys::end_of(app, &principal.who).await?);
    if !mistakes.is_empty() {
        return Err(Problem::invalid_fields(mistakes));
    }
    has_all(&principal, &wish.scopes)?;
    let by = by(&principal, correlation_id);
    let (key, record) = keys::create(app, &state.service.pepper, &scope, &by, wish).await?;
    Ok((StatusCode::CREATED, Json(NewKey::of(&key, record))))
}

/// Replace an API key
///
/// Makes a key with the same name and scopes. The old one works for the overlap, and never longer than it would have.
#[utoipa::path(
    post, path = "/keys/{key_id}/rotate", tag = "access",
    params(("key_id" = String, Path, description = "The public part of the key.")),
    request_body(content = RotationDraft, example = json!({"overlap_seconds": 86_400})),
    responses(
        (status = 201, description = "The new key, shown this once.", body = RotatedKey),
        (status = 400, description = "No JSON, or the path is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The scope `keys:manage` is missing, or one that the key has.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The tenant has no such key.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The key was revoked or has expired, or the tenant has 500 keys in force.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 8 KiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else than JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is unknown or out of its limits.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn rotate_key(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    Correlation(correlation_id): Correlation,
    path: Result<Path<String>, PathRejection>,
    incoming: Incoming,
) -> Result<(StatusCode, Json<RotatedKey>), Problem> {
    let scope = principal.allow(Scope::KeysManage)?;
    let id = key_id(path)?;
    body::media(&incoming.headers, &[Media::Json])?;
    let bytes = incoming.read(&state, limits::KEY_BODY_BYTES, Room::Shared).await?;
    let RotationDraft { overlap_seconds, expires_at } = json::parse(&bytes)?;
    let (app, pepper) = (state.app(), &state.service.pepper);
    let wish = Wish { scopes: vec![Scope::KeysManage], expires_at, ..Wish::default() };
    let mistakes = wish.mistakes(app.clock.now(), keys::end_of(app, &principal.who).await?);
    if !mistakes.is_empty() {
        return Err(Problem::invalid_fields(mistakes));
    }
    has_all(&principal, &keys::of_tenant(app, &scope, &id).await.map_err(unknown_key)?.scopes)?;
    let (by, overlap) = (by(&principal, correlation_id), Duration::from_secs(overlap_seconds));
    let rotated = keys::rotate(app, pepper, &scope, &by, &id, overlap, expires_at).await?;
    let new = NewKey::of(&rotated.key, rotated.record);
    Ok((StatusCode::CREATED, Json(RotatedKey { new, replaces: id, replaced_expires_at: rotated.old_expires_at })))
}

/// Revoke an API key
///
/// It is refused from now on: at once by this server, within five seconds by others on the same data.
#[utoipa::path(
    delete, path = "/keys/{key_id}", tag = "access",
    params(("key_id" = String, Path, description = "The public part of the key.")),
    responses(
        (status = 204, description = "It is revoked; also when it was before."),
        (status = 400, description = "The path is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The scope `keys:manage` is missing.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The tenant has no such key.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn revoke_key(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    Correlation(correlation_id): Correlation,
    path: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let scope = principal.allow(Scope::KeysManage)?;
    let id = key_id(path)?;
    keys::revoke(state.app(), &scope, &by(&principal, correlation_id), &id).await.map_err(unknown_key)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key of the path. What has not the form of an id cannot be there.
fn key_id(path: Result<Path<String>, PathRejection>) -> Result<KeyId, Problem> {
    let Path(id) = path.map_err(|_| Problem::invalid_parameter("key_id", "must be valid UTF-8"))?;
    id.parse().map_err(|_| no_such_key())
}

fn unknown_key(error: Error) -> Problem {
    if error.kind() == ErrorKind::NotFound { no_such_key() } else { error.into() }
}

fn no_such_key() -> Problem {
    Problem::new(PublicCode::NotFound, "there is no key of this id; GET /keys lists them")
}

/// Nobody gets more by a key than he has himself.
fn has_all(principal: &Principal, scopes: &[Scope]) -> Result<(), Problem> {
    match scopes.iter().find(|scope| !principal.scopes.contains(scope)) {
        None => Ok(()),
        Some(lacking) => {
            let detail = format!("a key with the scope {} can only be had by who has that scope", lacking.name());
            Err(Problem::new(PublicCode::Forbidden, detail))
        }
    }
}
