//! Every request has a correlation id, its own or a new one, and every answer says it.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderName, HeaderValue, request::Parts},
    middleware::Next,
    response::Response,
};
use switchboard_core::{error::PublicCode, ids::CorrelationId};
use tracing::Instrument;

use crate::{HttpState, Problem};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// The correlation id of a request.
#[derive(Clone)]
pub(crate) struct Correlation(pub(crate) CorrelationId);

pub(crate) async fn middleware(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let brought = request.headers().get(HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    let id: CorrelationId = brought.unwrap_or_else(|| state.app().correlation_id());
    let started = state.app().clock.monotonic();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(Correlation(id.clone()));
    let mut response = next.run(request).instrument(tracing::info_span!("request", correlation_id = %id)).await;
    let took = state.app().clock.monotonic().saturating_sub(started);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    let status = response.status().as_u16();
    metrics::histogram!("switchboard_http_request_seconds").record(took.as_secs_f64());
    tracing::debug!(%method, path, status, correlation_id = %id, took_ms = took.as_secs_f64() * 1e3, "request answered");
    response
}

impl FromRequestParts<HttpState> for Correlation {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Problem::new(PublicCode::Internal, "the request has no correlation id"))
    }
}
