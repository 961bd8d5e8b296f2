use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use switchboard_core::{
    access::{
        Role, Scope, Who,
        session::{self, SessionRecord, Signed},
    },
    error::{Error, ErrorKind, PublicCode, Retry},
    ids::TenantId,
    json, limits,
    time::Timestamp,
};
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use utoipa::ToSchema;

use crate::{
    HttpState, Problem,
    auth::{Address, Identity, cookie_name, is_cross_origin, session_token},
    body::{self, Incoming, Media, Room},
    correlation::Correlation,
};

/// The operator's password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginDraft {
    /// As set by `switchboard admin set-password`.
    #[schema(format = Password)]
    password: String,
}

/// How a caller proved who he is.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// By an API key.
    Key,
    /// By a session of the operator.
    Session,
    /// By a token of the OIDC issuer.
    Person,
}

/// Who the caller is and what he may do.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// How he proved it.
    kind: Kind,
    /// How the audit log names him.
    id: String,
    /// The role; a key has scopes alone.
    #[schema(required = false)]
    role: Option<Role>,
    /// The tenants whose data he reaches. With more than one, each request names one by `x-switchboard-tenant`.
    #[schema(value_type = Vec<String>)]
    tenants: Vec<TenantId>,
    /// What he may do there.
    scopes: Vec<Scope>,
    /// When the session ends if it is not used again.
    #[schema(required = false)]
    ends_at: Option<Timestamp>,
}

/// Sign in as the operator
///
/// With the password of `switchboard admin set-password`. The answer sets a cookie that is out of scripts' reach; it ends
/// after 30 minutes without use, and after 12 hours. A session that the request's own cookie has ends. A change that is asked for with the cookie must come from a page of
/// this server (`Sec-Fetch-Site` or `Origin`). After five wrong passwords from one address, each further one has to wait
/// twice as long.
#[utoipa::path(
    post, path = "/session", tag = "access",
    request_body(content = LoginDraft),
    responses(
        (status = 200, description = "Signed in; the cookie is set.", body = WhoAmI, headers(("set-cookie" = String, description = "The session."))),
        (status = 400, description = "No JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The password is wrong, or none is set.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from a page of another server.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 8 KiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else than JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The password is missing, or there is another field.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong passwords; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many sign in at the same time, or it cannot be stored now.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn sign_in(
    State(state): State<HttpState>,
    Correlation(correlation_id): Correlation,
    Address(address): Address,
    incoming: Incoming,
) -> Result<Response, Problem> {
    if is_cross_origin(&incoming.headers) {
        return Err(Problem::new(PublicCode::Forbidden, "signing in must be asked for by a page of this server"));
    }
    body::media(&incoming.headers, &[Media::Json])?;
    let headers = incoming.headers.clone();
    let bytes = incoming.read(&state, limits::LOGIN_BODY_BYTES, Room::Shared).await?;
    let LoginDraft { password } = json::parse(&bytes)?;
    let (app, guard) = (state.app(), &state.passwords);
    // A place in the line comes before the attempt counts: who is turned away here has tried nothing.
    let _place = place(guard.waiting.clone().try_acquire_owned())?;
    let login = session::begin(&guard.lockout, app.clock.as_ref(), address).map_err(locked)?;
    let is_right = check(&state, password.into()).await?;
    let sign_in = &state.service.sign_in;
    let (operator, pepper) = (sign_in.operator.as_ref(), &state.service.pepper);
    // The session that this browser has ends with the new one's beginning.
    let before = match session_token(&headers, sign_in.is_https) {
        Some(token) => session::session(app.clock.as_ref(), operator, pepper, &token).await?,
        None => None,
    };
    let ended_by = correlation_id.clone();
    match session::finish(app, operator, pepper, &guard.lockout, login, is_right, correlation_id).await? {
        Signed::Wrong => {
            let detail = "the password is wrong, or none is set yet: `switchboard admin set-password` sets it";
            Err(Problem::new(PublicCode::Unauthorized, detail))
        }
        Signed::In { token, session } => {
            if let Some(before) = before {
                session::sign_out(operator, &before, ended_by).await?;
            }
            let seconds = limits::SESSION_TIME.as_secs();
            let cookie = cookie(token.reveal().expose_secret(), seconds, sign_in.is_https)?;
            let shown = of_operator(&state, &session).await?;
            Ok(([(header::SET_COOKIE, cookie)], Json(shown)).into_response())
        }
    }
}

/// Who am I
///
/// For any kind of credentials.
#[utoipa::path(
    get, path = "/session", tag = "access",
    responses(
        (status = 200, description = "Who the caller is and what he may do.", body = WhoAmI),
        (status = 401, description = "The credentials are missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The token gives no tenant or role here.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Whether the credentials are valid cannot be told now.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn who_am_i(State(state): State<HttpState>, identity: Identity) -> Result<Json<WhoAmI>, Problem> {
    let principal = match identity {
        Identity::Session(session) => return Ok(Json(of_operator(&state, &session).await?)),
        Identity::Principal(principal) => principal,
    };
    let (kind, id) = match &principal.who {
        Who::Key(id) => (Kind::Key, id.to_string()),
        Who::Session(id) => (Kind::Session, id.to_string()),
        Who::Subject(id) => (Kind::Person, id.to_string()),
    };
    let tenants = vec![principal.tenant];
    Ok(Json(WhoAmI { kind, id, role: principal.role, tenants, scopes: principal.scopes, ends_at: None }))
}

/// Sign out
///
/// Ends the session of the cookie, at once and everywhere.
#[utoipa::path(
    delete, path = "/session", tag = "access",
    responses(
        (status = 204, description = "Signed out; the cookie is taken back."),
        (status = 401, description = "There is no session.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The request comes from a page of another server, or the credentials are no session.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn sign_out(
    State(state): State<HttpState>,
    Correlation(correlation_id): Correlation,
    identity: Identity,
) -> Result<Response, Problem> {
    let Identity::Session(session) = identity else {
        return Err(Problem::new(PublicCode::Forbidden, "only a session can be ended here; keys are revoked"));
    };
    let sign_in = &state.service.sign_in;
    session::sign_out(sign_in.operator.as_ref(), &session, correlation_id).await?;
    let cookie = cookie("", 0, sign_in.is_https)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Checks the password on a thread that may block, few at a time, so that logins cannot take all processors.
async fn check(state: &HttpState, password: SecretString) -> Result<bool, Problem> {
    let stopped = |what: &'static str| Problem::from(Error::new(ErrorKind::Internal, what));
    let permit = state.passwords.at_once.clone().acquire_owned().await;
    let permit = permit.map_err(|_| stopped("passwords are not checked any more"))?;
    let kept = state.service.sign_in.operator.password().await?;
    let ids = state.app().ids.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        session::check(kept.as_ref(), &password, ids.as_ref())
    });
    Ok(checked.await.map_err(|_| stopped("a password check stopped"))??)
}

fn place(permit: Result<OwnedSemaphorePermit, TryAcquireError>) -> Result<OwnedSemaphorePermit, Problem> {
    permit.map_err(|_| Problem::new(PublicCode::Unavailable, "too many sign in at the same time"))
}

fn locked(error: Error) -> Problem {
    let problem = Problem::new(PublicCode::TooManyRequests, error.to_string());
    match error.retry() {
        Retry::After(wait) => problem.with_retry_after(wait),
        _ => problem,
    }
}

async fn of_operator(state: &HttpState, session: &SessionRecord) -> Result<WhoAmI, Problem> {
    Ok(WhoAmI {
        kind: Kind::Session,
        id: session.id.to_string(),
        role: Some(Role::Admin),
        tenants: state.app().tenants.list().await?,
        scopes: Scope::ALL.to_vec(),
        ends_at: Some(session.ends_at()),
    })
}

fn cookie(token: &str, seconds: u64, is_https: bool) -> Result<HeaderValue, Problem> {
    let (name, secure) = (cookie_name(is_https), if is_https { "; Secure" } else { "" });
    let text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Problem::from(Error::new(ErrorKind::Internal, "the cookie is no header")))?;
    value.set_sensitive(true);
    Ok(value)
}
