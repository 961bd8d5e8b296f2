use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use switchboard_core::{
    access::Scope,
    json, limits,
    tickets::review::{NotReviewed, Review, ReviewDraft, Reviewer, review},
};

use super::ticket_id;
use crate::{
    HttpState, Problem,
    auth::Caller,
    body::{self, Incoming, Media, Room},
    correlation::Correlation,
    door,
};

/// Confirm or correct the decision of a ticket
///
/// What the body leaves out is as decided, so `{}` confirms the decision; another category alone brings its own team. The
/// decision stays as it was made, and the review stands beside it. The ticketing system is told what changed, and that
/// nobody needs to look any more. The same review again is harmless and gets the same answer; another one takes its place.
#[utoipa::path(
    post, path = "/tickets/{ticket_id}/review", tag = "reviews",
    params(
        ("ticket_id" = String, Path, description = "The ticket, as your system names it."),
        ("x-correlation-id" = Option<String>, Header, description = "Follows the request through everything that it causes."),
    ),
    request_body(content = ReviewDraft, example = json!({
        "category": "invoice_dispute",
        "priority": "high",
        "note": "The line works; it is the invoice that they dispute.",
    })),
    responses(
        (status = 200, description = "The review as stored.", body = Review),
        (status = 400, description = "No JSON, or the path is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `tickets:review`.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The tenant has no such ticket.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The ticket has no decision yet (`not_decided_yet`); try again once its status is `routed`.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 64 KiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else than JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A team or category that does not exist, an unknown field, or a note that is too long.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The rate is used up, or too many of the tenant's tickets wait; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now, or too many tickets wait; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn review_ticket(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    Correlation(correlation_id): Correlation,
    path: Result<Path<String>, PathRejection>,
    incoming: Incoming,
) -> Result<Json<Review>, Problem> {
    let scope = principal.allow(Scope::TicketsReview)?;
    let id = ticket_id(path)?;
    body::media(&incoming.headers, &[Media::Json])?;
    let bytes = incoming.read(&state, limits::REVIEW_BODY_BYTES, Room::Shared).await?;
    let draft: ReviewDraft = json::parse(&bytes)?;
    let reviewer = Reviewer::from(&principal);
    let reviewed = review(state.app(), &scope, &reviewer, &correlation_id, &id, draft).await;
    reviewed.map(Json).map_err(|error| match error {
        NotReviewed::Failed(error) => door::not_taken(&state, &principal.tenant, error),
        other => other.into(),
    })
}
