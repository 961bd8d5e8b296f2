use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use switchboard_core::{access::Scope, tickets::view::TicketView};

use super::ticket_id;
use crate::{HttpState, Problem, auth::Caller};

/// Read a ticket, its decision and review, and what happened to it
#[utoipa::path(
    get, path = "/tickets/{ticket_id}", tag = "tickets",
    params(("ticket_id" = String, Path, description = "The ticket, as your system names it.")),
    responses(
        (status = 200, description = "The ticket.", body = TicketView),
        (status = 400, description = "The path is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `tickets:read`.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The tenant has no such ticket.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn show_ticket(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<TicketView>, Problem> {
    let scope = principal.allow(Scope::TicketsRead)?;
    let id = ticket_id(path)?;
    let file = state.app().tickets.ticket(&scope, &id).await?.ok_or_else(Problem::unknown_ticket)?;
    Ok(Json(file.into()))
}
