use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use switchboard_core::{
    access::Scope,
    ports::{ReviewFilter, ReviewQueue},
};
use utoipa::IntoParams;

use super::query::{page_limit, parse, refused, refused_cursor};
use crate::{HttpState, Problem, auth::Caller};

/// Conditions of the queue; all that are given hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueueParameters {
    /// Assigned to this team.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    team: Option<String>,
    /// Of this category.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    category: Option<String>,
    /// Tickets on a page, 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the tickets that wait for review, the most instructive first
///
/// `value` is (1 − confidence) × the share of the category among the tickets of the last 30 days: a person's time goes
/// where the routing is unsure and where the same question comes often. Shares move as tickets come, so a ticket may be on
/// two pages or on none; start at the first page again to see all.
#[utoipa::path(
    get, path = "/reviews", tag = "reviews",
    params(QueueParameters),
    responses(
        (status = 200, description = "A page of tickets, and how many wait.", body = ReviewQueue),
        (status = 400, description = "A parameter is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `tickets:read`.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn list_reviews(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    parameters: Result<Query<QueueParameters>, QueryRejection>,
) -> Result<Json<ReviewQueue>, Problem> {
    let scope = principal.allow(Scope::TicketsRead)?;
    let Query(parameters) = parameters.map_err(|rejection| refused(&rejection))?;
    let limit = page_limit(parameters.limit)?;
    let filter =
        ReviewFilter { team: parse("team", parameters.team)?, category: parse("category", parameters.category)? };
    let queue = state.app().tickets.review_queue(&scope, &filter, parameters.cursor.as_deref(), limit).await;
    queue.map(Json).map_err(refused_cursor)
}
