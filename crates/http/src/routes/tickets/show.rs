use axum::{
    Json,
    extract::{Path, State},
};
use switchboard_core::{access::Scope, error::PublicCode, ids::TicketId, tickets::view::TicketView};

use crate::{HttpState, Problem, auth::Caller};

/// Read a ticket, its decision, and what happened to it
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
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Json<TicketView>, Problem> {
    let scope = principal.allow(Scope::TicketsRead)?;
    let Path(id) = path.map_err(|_| Problem::invalid_parameter("ticket_id", "must be valid UTF-8"))?;
    let unknown = || Problem::new(PublicCode::NotFound, "there is no ticket of this id; GET /tickets lists them");
    let id: TicketId = id.parse().map_err(|_| unknown())?;
    let file = state.app().tickets.ticket(&scope, &id).await?.ok_or_else(unknown)?;
    Ok(Json(file.into()))
}
