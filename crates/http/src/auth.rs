//! Who calls: an API key, a token of the OIDC issuer, or the operator's session.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, Method, header, request::Parts},
};
use switchboard_core::{
    access::{
        Principal, Who, authenticate,
        lockout::Lockout,
        oidc::{Oidc, looks_like_a_token},
        session::{self, SessionRecord, SessionToken},
        uses::Uses,
    },
    error::{ErrorKind, PublicCode},
    ids::TenantId,
    limits,
    ports::OperatorStore,
};
use tokio::sync::Semaphore;

use crate::{HttpState, Problem, door};

/// The header by which a session says whose data it means.
pub(crate) const TENANT_HEADER: &str = "x-switchboard-tenant";

/// What signing in needs beside the core's ports.
pub struct SignIn {
    /// The operator's password and sessions.
    pub operator: Arc<dyn OperatorStore>,
    /// The issuer whose people may come in, if there is one.
    pub oidc: Option<Arc<Oidc>>,
    /// When keys and sessions were last used; the shell writes it down now and then.
    pub uses: Arc<Uses>,
    /// Whether callers come by https, here or at a proxy in front: the session's cookie is then for https alone.
    pub is_https: bool,
}

/// What keeps guessing of passwords slow and cheap.
#[derive(Clone)]
pub(crate) struct PasswordGuard {
    pub(crate) lockout: Arc<Lockout>,
    pub(crate) at_once: Arc<Semaphore>,
    pub(crate) waiting: Arc<Semaphore>,
}

impl Default for PasswordGuard {
    fn default() -> Self {
        Self {
            lockout: Arc::default(),
            at_once: Arc::new(Semaphore::new(limits::PASSWORDS_AT_ONCE)),
            waiting: Arc::new(Semaphore::new(limits::PASSWORDS_AT_ONCE + limits::LOGINS_WAITING)),
        }
    }
}

/// A caller who was checked, within one tenant. A handler that names it cannot run without one.
pub(crate) struct Caller(pub(crate) Principal);

/// A caller who was checked; of a session the tenant is still open.
pub(crate) enum Identity {
    /// By a key or a token, which say the tenant.
    Principal(Principal),
    /// The operator.
    Session(SessionRecord),
}

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let identity = Identity::from_request_parts(parts, state).await?;
        let wanted = wanted_tenant(&parts.headers)?;
        match identity {
            Identity::Principal(principal) => match wanted {
                Some(wanted) if wanted != principal.tenant => {
                    let detail = format!("{TENANT_HEADER}: the credentials are not for this tenant");
                    Err(Problem::new(PublicCode::Forbidden, detail))
                }
                _ => Ok(Self(principal)),
            },
            Identity::Session(record) => {
                let tenants = &state.app().tenants;
                let tenant = match wanted {
                    Some(wanted) if matches!(tenants.tenant(&wanted).await, Ok(None)) => {
                        let detail = "there is no such tenant; GET /session lists them";
                        return Err(Problem::new(PublicCode::NotFound, detail));
                    }
                    Some(wanted) => wanted,
                    None => match <[TenantId; 1]>::try_from(tenants.list().await?) {
                        Ok([only]) => only,
                        Err(_) => {
                            let detail = "name the tenant, for there is not just one; GET /session lists them";
                            return Err(Problem::invalid_parameter(TENANT_HEADER, detail));
                        }
                    },
                };
                let principal = session::principal(&record, tenant);
                door::identified(state, &principal)?;
                Ok(Self(principal))
            }
        }
    }
}

impl FromRequestParts<HttpState> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let (app, sign_in) = (state.app(), &state.service.sign_in);
        if let Some(presented) = presented(&parts.headers) {
            let principal = match &sign_in.oidc {
                Some(oidc) if looks_like_a_token(presented) => oidc.authenticate(app.tenants.as_ref(), presented).await,
                _ => authenticate(app, &state.service.pepper, presented).await,
            };
            let principal = principal.inspect_err(|error| {
                if error.kind() == ErrorKind::Unauthorized {
                    door::failed_attempt(state, parts.extensions.get());
                }
            })?;
            door::identified(state, &principal)?;
            if let Who::Key(id) = &principal.who {
                sign_in.uses.of_key(id, app.clock.now());
            }
            return Ok(Self::Principal(principal));
        }
        let Some(token) = session_token(&parts.headers, sign_in.is_https) else {
            let detail = "send the API key in the header x-api-key, or as Authorization: Bearer";
            return Err(Problem::new(PublicCode::Unauthorized, detail));
        };
        let found =
            session::session(app.clock.as_ref(), sign_in.operator.as_ref(), &state.service.pepper, &token).await?;
        let Some(record) = found else {
            door::failed_attempt(state, parts.extensions.get());
            return Err(Problem::new(
                PublicCode::Unauthorized,
                "the session has ended; sign in again by POST /session",
            ));
        };
        // A browser sends the cookie along whoever wrote the page, so a change needs a sign that the page is ours.
        if !is_safe(&parts.method) && !is_same_origin(&parts.headers) {
            let detail = "a change by a session must come from a page of this server: the header Sec-Fetch-Site or \
                          Origin does not say so";
            return Err(Problem::new(PublicCode::Forbidden, detail));
        }
        sign_in.uses.of_session(&record.token, app.clock.now());
        Ok(Self::Session(record))
    }
}

/// The network address of a caller, as far as it is known.
pub(crate) struct Address(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<door::Client>().map(door::Client::address)))
    }
}

/// The name of the session's cookie. With the prefix `__Host-`, browsers take it only by https, for this host and all its
/// paths; by plain http they would drop it.
pub(crate) fn cookie_name(is_https: bool) -> &'static str {
    if is_https { "__Host-switchboard" } else { "switchboard" }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    key.or_else(|| {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    })
}

/// The token of the one cookie of that name. Two of them mean that somebody else set one: then neither counts.
pub(crate) fn session_token(headers: &HeaderMap, is_https: bool) -> Option<SessionToken> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut tokens = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == cookie_name(is_https)).then_some(value)
    });
    match (tokens.next(), tokens.next()) {
        (Some(only), None) => SessionToken::parse(only),
        _ => None,
    }
}

fn wanted_tenant(headers: &HeaderMap) -> Result<Option<TenantId>, Problem> {
    let Some(value) = headers.get(TENANT_HEADER) else { return Ok(None) };
    let parsed = value.to_str().unwrap_or_default().parse();
    parsed.map(Some).map_err(|_| Problem::invalid_parameter(TENANT_HEADER, "is not the form of a tenant's id"))
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the browser says that the page that sends the request is of this server.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = text("host").unwrap_or_default();
            let bare = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            !host.is_empty() && bare.is_some_and(|bare| bare.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    }
}

/// Whether the browser says that the page is somebody else's; programs that are no browsers say nothing.
pub(crate) fn is_cross_origin(headers: &HeaderMap) -> bool {
    (headers.contains_key("sec-fetch-site") || headers.contains_key("origin")) && !is_same_origin(headers)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(given: &[(&str, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
            .collect()
    }

    #[test]
    fn only_our_own_pages_are_of_the_same_origin() {
        let host = ("host", "desk.example:8443");
        for (given, same) in [
            (("sec-fetch-site", "same-origin"), true),
            (("sec-fetch-site", "same-site"), false),
            (("sec-fetch-site", "cross-site"), false),
            (("sec-fetch-site", "none"), false),
            (("sec-fetch-site", ""), false),
            (("origin", "https://desk.example:8443"), true),
            (("origin", "http://Desk.example:8443"), true),
            (("origin", "https://desk.example"), false),
            (("origin", "https://desk.example:8443.evil.example"), false),
            (("origin", "https://evil.example"), false),
            (("origin", "null"), false),
            (("origin", "desk.example:8443"), false),
        ] {
            assert_eq!(is_same_origin(&headers(&[host, given])), same, "{given:?}");
            assert_eq!(is_cross_origin(&headers(&[host, given])), !same, "{given:?}");
        }
        assert!(!is_same_origin(&headers(&[host])) && !is_cross_origin(&headers(&[host])));
        assert!(!is_same_origin(&headers(&[("origin", "https://")])), "no host is no origin");
        let both = [host, ("sec-fetch-site", "cross-site"), ("origin", "https://desk.example:8443")];
        assert!(!is_same_origin(&headers(&both)), "what the browser itself says comes first");
    }

    #[test]
    fn one_cookie_of_the_right_name_is_a_session() {
        let token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let found = |cookies: &[&str], is_https| {
            let given: Vec<_> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
            let mut map = HeaderMap::new();
            for (name, value) in given {
                map.append(name, HeaderValue::try_from(value).unwrap());
            }
            session_token(&map, is_https).is_some()
        };
        assert!(found(&[&format!("a=b; switchboard={token}; c=d")], false));
        assert!(found(&["a=b", &format!("__Host-switchboard={token}")], true));
        assert!(!found(&[&format!("switchboard={token}")], true), "by https only the one for https");
        assert!(!found(&[&format!("__Host-switchboard={token}")], false));
        assert!(!found(&[&format!("switchboard={token}; switchboard={token}")], false), "two");
        assert!(!found(&[&format!("switchboard={token}"), &format!("switchboard={token}")], false), "two");
        for bad in
            ["", "switchboard=", "switchboard=AAAA", &format!("switchboard={token}A"), &format!("xswitchboard={token}")]
        {
            assert!(!found(&[bad], false), "{bad}");
        }
    }
}
