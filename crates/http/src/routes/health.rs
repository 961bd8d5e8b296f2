use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use switchboard_core::{app::App, time::Timestamp};
use utoipa::ToSchema;

use crate::HttpState;

/// How the service is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy`, `degraded` (it works, somebody should look), or `unhealthy`.
    status: Status,
    /// Now.
    timestamp: Timestamp,
    /// Where this runs.
    environment: String,
    /// The version of the program.
    version: &'static str,
    /// Each part.
    components: BTreeMap<&'static str, Component>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Healthy,
    Degraded,
    Unhealthy,
}

/// How a part is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Component {
    /// Its state.
    status: Status,
    /// In words.
    detail: String,
}

/// How the service is
///
/// 503 when a part that is needed is down.
#[utoipa::path(
    get, path = "/health", tag = "operations",
    responses((status = 200, description = "It works.", body = Health), (status = 503, description = "It does not.", body = Health)),
)]
pub(crate) async fn health(State(state): State<HttpState>) -> (StatusCode, Json<Health>) {
    let app = state.app();
    let mut components = BTreeMap::new();
    match app.queue.depth().await {
        Ok(depth) => {
            components.insert("database", Component { status: Status::Healthy, detail: "answers".to_owned() });
            let stalled = depth.oldest_ms > 60_000;
            let status = if stalled { Status::Degraded } else { Status::Healthy };
            let detail = format!("{} waiting, {} in work, {} dead letters", depth.waiting, depth.leased, depth.dead);
            components.insert("queue", Component { status, detail });
        }
        Err(error) => {
            tracing::error!(error = error.report(), "the database does not answer");
            let detail = "does not answer".to_owned();
            components.insert("database", Component { status: Status::Unhealthy, detail });
        }
    }
    components.insert("storage", storage(app).await);
    components.insert("tenants", tenants(&state).await);
    let status = components.values().map(|component| component.status).max().unwrap_or(Status::Healthy);
    let code = if status == Status::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = Health {
        status,
        timestamp: app.clock.now(),
        environment: state.service.environment.clone(),
        version: env!("CARGO_PKG_VERSION"),
        components,
    };
    (code, Json(body))
}

/// Whether there is room for new tickets. Degraded and not down: reads and the work in hand go on.
async fn storage(app: &App) -> Component {
    match app.tickets.has_room().await {
        Ok(()) => Component { status: Status::Healthy, detail: "has room".to_owned() },
        Err(error) => Component { status: Status::Degraded, detail: format!("new tickets are refused: {error}") },
    }
}

/// How many tenants there are and how many have a configuration that is not in force; their names are nobody's business.
async fn tenants(state: &HttpState) -> Component {
    let ids = match state.app().tenants.list().await {
        Ok(ids) => ids,
        Err(error) => {
            tracing::error!(error = error.report(), "the tenants cannot be listed");
            return Component { status: Status::Degraded, detail: "cannot be listed".to_owned() };
        }
    };
    let mut broken = 0;
    for id in &ids {
        match state.app().tenants.tenant(id).await {
            Ok(Some(tenant)) if tenant.problem.is_none() => {}
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => broken += 1,
        }
    }
    let status = if broken == 0 { Status::Healthy } else { Status::Degraded };
    Component { status, detail: format!("{} configured, {broken} with a configuration that is refused", ids.len()) }
}

/// Whether the process runs
#[utoipa::path(get, path = "/health/live", tag = "operations", responses((status = 200, description = "It runs.", body = String, content_type = "text/plain")))]
pub(crate) async fn live() -> &'static str {
    "alive\n"
}
