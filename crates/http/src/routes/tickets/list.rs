use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use switchboard_core::{
    access::Scope,
    ports::{Page, ReviewState, TicketFilter, TicketStatus, TicketSummary},
    tickets::{PriorityLevel, SyncStatus},
};
use utoipa::IntoParams;

use crate::{
    HttpState, Problem,
    auth::Caller,
    routes::query::{page_limit, parse, refused, refused_cursor, word},
};

/// Conditions of a list; all that are given hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Assigned to this team.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-z0-9][a-z0-9_-]*$")]
    team: Option<String>,
    /// Of this customer.
    #[param(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:@#/+=-]+$")]
    customer_id: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    #[param(value_type = Option<PriorityLevel>)]
    priority: Option<String>,
    /// `accepted` or `routed`.
    #[param(value_type = Option<TicketStatus>)]
    status: Option<String>,
    /// `pending`, `success` or `failed`.
    #[param(value_type = Option<SyncStatus>)]
    sync_status: Option<String>,
    /// `not_needed`, `waiting` or `done`.
    #[param(value_type = Option<ReviewState>)]
    review_state: Option<String>,
    /// Accepted at or after this time (RFC 3339).
    #[param(format = DateTime)]
    since: Option<String>,
    /// Accepted before this time (RFC 3339).
    #[param(format = DateTime)]
    until: Option<String>,
    /// Tickets on a page, 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List tickets, newest first
#[utoipa::path(
    get, path = "/tickets", tag = "tickets",
    params(ListParameters),
    responses(
        (status = 200, description = "A page of tickets.", body = Page<TicketSummary>),
        (status = 400, description = "A parameter is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `tickets:read`.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn list_tickets(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    parameters: Result<Query<ListParameters>, QueryRejection>,
) -> Result<Json<Page<TicketSummary>>, Problem> {
    let scope = principal.allow(Scope::TicketsRead)?;
    let Query(parameters) = parameters.map_err(|rejection| refused(&rejection))?;
    let limit = page_limit(parameters.limit)?;
    let filter = TicketFilter {
        team: parse("team", parameters.team)?,
        customer: parse("customer_id", parameters.customer_id)?,
        priority: parse("priority", parameters.priority)?,
        status: word(
            "status",
            parameters.status,
            &[("accepted", TicketStatus::Accepted), ("routed", TicketStatus::Routed)],
        )?,
        sync: parse("sync_status", parameters.sync_status)?,
        review: parse("review_state", parameters.review_state)?,
        since: parse("since", parameters.since)?,
        until: parse("until", parameters.until)?,
    };
    let page = state.app().tickets.list(&scope, &filter, parameters.cursor.as_deref(), limit).await;
    page.map(Json).map_err(refused_cursor)
}
