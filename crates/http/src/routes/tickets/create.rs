use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Serialize;
use switchboard_core::{
    access::Scope,
    error::PublicCode,
    ids::{CorrelationId, IdempotencyKey, TicketId},
    json, limits,
    ports::TenantScope,
    tickets::{
        accept::{Receipt, accept},
        draft::TicketDraft,
    },
};
use utoipa::ToSchema;

use crate::{
    HttpState, Problem,
    auth::Caller,
    body::{self, Incoming, Media, Room},
    correlation::Correlation,
    door,
};

/// A ticket is on disk and will be decided.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcceptedTicket {
    /// The ticket.
    pub(super) ticket_id: TicketId,
    /// The request that brought it; the first one, when this one repeats it.
    pub(super) correlation_id: CorrelationId,
    /// Always `accepted`.
    pub(super) status: &'static str,
}

impl From<Receipt> for AcceptedTicket {
    fn from(receipt: Receipt) -> Self {
        Self { ticket_id: receipt.ticket_id, correlation_id: receipt.correlation_id, status: "accepted" }
    }
}

/// Send a ticket in
///
/// The answer comes once the ticket is safely on disk. Sending the same ticket again, with the same `ticket_id` or the same
/// `Idempotency-Key`, is harmless and gets the same answer.
#[utoipa::path(
    post, path = "/tickets", tag = "tickets",
    request_body(content = TicketDraft, example = json!({
        "ticket_id": "T-1001",
        "customer_id": "CUST-1001",
        "subject": "No internet since this morning",
        "description": "The light on my router is red and nothing loads. My service is SVC204.",
        "channel": "web",
    })),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A key of your own for this request: sent again with the same ticket, it gets the same answer; with another one, 409.", min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:@#/+=-]+$"),
        ("x-correlation-id" = Option<String>, Header, description = "Follows the request through everything that it causes."),
    ),
    responses(
        (status = 202, description = "It is on disk and will be decided.", body = AcceptedTicket),
        (status = 400, description = "No JSON, or a header is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `tickets:write`.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id stands for other content already; `errors` tells what differs.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else than JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing, unknown, of the wrong type, or out of its limits.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The rate or the quota is used up (`too_many_requests`, `quota_exceeded`); try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot take it now; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn create_ticket(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    Correlation(correlation_id): Correlation,
    incoming: Incoming,
) -> Result<(StatusCode, Json<AcceptedTicket>), Problem> {
    let scope = principal.allow(Scope::TicketsWrite)?;
    body::media(&incoming.headers, &[Media::Json])?;
    let key = idempotency_key(&incoming.headers)?;
    door::room(&state, &principal.tenant)?;
    let bytes = incoming.read(&state, limits::TICKET_BODY_BYTES, Room::Shared).await?;
    door::tickets(&state, &principal, 1)?;
    take(&state, &scope, &correlation_id, key, &bytes).await
}

/// Takes the one ticket of a body in, for whoever may send it.
pub(in crate::routes) async fn take(
    state: &HttpState,
    scope: &TenantScope,
    correlation_id: &CorrelationId,
    key: Option<IdempotencyKey>,
    body: &[u8],
) -> Result<(StatusCode, Json<AcceptedTicket>), Problem> {
    let draft: TicketDraft = json::parse(body)?;
    let tenant = scope.tenant();
    let _intake = door::intake(state, tenant)?;
    let accepted = accept(state.app(), scope, correlation_id, key, vec![draft]).await;
    let outcome = accepted.map_err(|error| door::not_taken(state, tenant, error))?.pop();
    let receipt = outcome.ok_or_else(|| Problem::new(PublicCode::Internal, "the ticket got no answer"))??;
    Ok((StatusCode::ACCEPTED, Json(receipt.into())))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let refuse = |detail: String| Problem::invalid_parameter("Idempotency-Key", detail);
    let text = value.to_str().map_err(|_| refuse("must be plain ASCII".to_owned()))?;
    IdempotencyKey::of_caller(text).map(Some).map_err(|error| refuse(error.to_string()))
}
