//! One file a route: request, answer, documentation, handler.

mod access;
mod health;
mod hooks;
mod metrics;
mod query;
mod reviews;
mod tickets;

use axum::{
    Router,
    http::{Method, Uri},
    middleware,
    response::{IntoResponse, Response},
};
use switchboard_core::error::PublicCode;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    HttpState, Problem, correlation, door, headers,
    openapi::{self, Base},
};

/// The routes with their documentation.
pub(crate) fn documented() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(tickets::create::create_ticket, tickets::list::list_tickets))
        .routes(routes!(tickets::batch::create_tickets))
        .routes(routes!(tickets::show::show_ticket))
        .routes(routes!(tickets::review::review_ticket))
        .routes(routes!(hooks::take_hook))
        .routes(routes!(reviews::list_reviews))
        .routes(routes!(access::session::sign_in, access::session::who_am_i, access::session::sign_out))
        .routes(routes!(access::keys::list_keys, access::keys::create_key))
        .routes(routes!(access::keys::rotate_key))
        .routes(routes!(access::keys::revoke_key))
        .routes(routes!(access::audit_log::list_audit_log))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(metrics::metrics))
}

/// Everything that the server answers.
pub fn router(state: HttpState) -> Router {
    let (routes, mut document) = documented().split_for_parts();
    openapi::add_answers_of_the_door(&mut document);
    let document = openapi::with_sessions(document);
    let docs =
        SwaggerUi::new("/docs").url("/openapi.json", document).config(Config::default().try_it_out_enabled(true));
    routes
        .merge(docs)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(state.clone(), door::middleware))
        .layer(middleware::from_fn(headers::middleware))
        .layer(middleware::from_fn_with_state(state.clone(), correlation::middleware))
        .with_state(state)
}

async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(PublicCode::NotFound, format!("there is no route {path}; GET /openapi.json lists them all"))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(
        PublicCode::MethodNotAllowed,
        format!("{method} is not offered here; GET /openapi.json lists all routes"),
    )
}

fn panicked(_cause: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler broke an invariant");
    Problem::new(PublicCode::Internal, "the failure is logged under the correlation id; please report it")
        .into_response()
}
