use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use switchboard_core::{
    access::{Principal, authenticate},
    error::{ErrorKind, PublicCode},
};

use crate::{HttpState, Problem, door};

/// A caller whose key was checked. A handler that names it cannot run without one.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let Some(presented) = presented(&parts.headers) else {
            let detail = "send the API key in the header x-api-key, or as Authorization: Bearer";
            return Err(Problem::new(PublicCode::Unauthorized, detail));
        };
        let principal = authenticate(state.app(), &state.service.pepper, presented).await.inspect_err(|error| {
            if error.kind() == ErrorKind::Unauthorized {
                door::failed_attempt(state, parts.extensions.get());
            }
        })?;
        door::identified(state, &principal)?;
        Ok(Self(principal))
    }
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    key.or_else(|| {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    })
}
