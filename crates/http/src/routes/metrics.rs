use axum::{
    extract::{FromRequestParts, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use switchboard_core::access::Scope;

use crate::{HttpState, Problem, auth::Caller};

/// Metrics in Prometheus' text format
///
/// They span all tenants and name none. The operator may ask for a key with the scope `metrics:read`.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (status = 401, description = "The operator asks for a key.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope.", body = Problem, content_type = "application/problem+json"),
    ),
    security((), ("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn metrics(State(state): State<HttpState>, request: Request) -> Result<Response, Problem> {
    if state.service.metrics_need_key {
        let Caller(principal) = Caller::from_request_parts(&mut request.into_parts().0, &state).await?;
        principal.allow(Scope::MetricsRead)?;
    }
    let depth = state.app().queue.depth().await?;
    let unknown = state.app().effects.unknown().await?;
    ::metrics::gauge!("switchboard_queue_waiting").set(depth.waiting as f64);
    ::metrics::gauge!("switchboard_queue_leased").set(depth.leased as f64);
    ::metrics::gauge!("switchboard_queue_oldest_seconds").set(depth.oldest_ms as f64 / 1e3);
    ::metrics::gauge!("switchboard_effects_unknown").set(unknown as f64);
    ::metrics::gauge!("switchboard_dead_letters").set(depth.dead as f64);
    let text = (state.service.render_metrics)();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
