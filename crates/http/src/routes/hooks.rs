//! `/hooks`: tickets by web hook.

use axum::{
    Extension, Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use switchboard_core::{
    access::hook,
    error::{Error, ErrorKind},
    ids::TenantId,
    limits,
    ports::TenantScope,
    tickets::draft::TicketDraft,
    webhook::Delivery,
};

use super::{
    query,
    tickets::create::{self, AcceptedTicket},
};
use crate::{
    HttpState, Problem,
    body::{self, Incoming, Media, Room},
    correlation::Correlation,
    door,
    shares::Whose,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    tenant: Option<String>,
}

/// Send a ticket in by web hook
///
/// For ticketing systems and form tools that sign their web hooks as <https://www.standardwebhooks.com> asks, with a secret
/// that the tenant's configuration names (`hooks.generic`). No key is needed. A delivery that comes again, with the same
/// `webhook-id`, gets the same answer and stores nothing.
#[utoipa::path(
    post, path = "/hooks/generic", tag = "hooks",
    request_body(content = TicketDraft, example = json!({
        "ticket_id": "T-1001",
        "customer_id": "CUST-1001",
        "subject": "No internet since this morning",
        "description": "The light on my router is red and nothing loads. My service is SVC204.",
    })),
    params(
        ("tenant" = String, Query, description = "Whose ticket it is.", pattern = "^[a-z0-9][a-z0-9_-]{0,63}$"),
        ("webhook-id" = String, Header, description = "Names the delivery, and is the same when it is repeated.", pattern = "^[A-Za-z0-9_:@#/+=-]{1,128}$"),
        ("webhook-timestamp" = String, Header, description = "When it was sent, in seconds since 1970; at most five minutes ago.", pattern = "^[0-9]+$"),
        ("webhook-signature" = String, Header, description = "`v1,` and the base64 of HMAC-SHA-256 of `webhook-id`, `webhook-timestamp` and the body with full stops between; several have blanks between."),
        ("x-correlation-id" = Option<String>, Header, description = "Follows the request through everything that it causes."),
    ),
    responses(
        (status = 202, description = "It is on disk and will be decided.", body = AcceptedTicket),
        (status = 400, description = "No JSON, or a parameter is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "It is not signed as its tenant asks, or not now, or there is no such tenant.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id of the ticket or of the delivery stands for other content already; `errors` tells what differs.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 1 MiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else than JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing, unknown, of the wrong type, or out of its limits.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The rate or the quota is used up (`too_many_requests`, `quota_exceeded`); try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot take it now; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn take_hook(
    State(state): State<HttpState>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    client: Option<Extension<door::Client>>,
    Correlation(correlation_id): Correlation,
    incoming: Incoming,
) -> Result<(StatusCode, Json<AcceptedTicket>), Problem> {
    let Query(Parameters { tenant }) = parameters.map_err(|rejection| query::refused(&rejection))?;
    let tenant: Option<TenantId> = query::parse("tenant", tenant)?;
    let tenant = tenant.ok_or_else(|| Problem::invalid_parameter("tenant", "is missing; name the tenant"))?;
    body::media(&incoming.headers, &[Media::Json])?;
    let headers = incoming.headers.clone();
    let client = client.as_deref();
    let wrong = |error: &Error| {
        if error.kind() == ErrorKind::Unauthorized {
            door::failed_attempt(&state, client);
        }
    };
    let mut delivery = Delivery {
        id: text(&headers, "webhook-id"),
        timestamp: text(&headers, "webhook-timestamp"),
        signature: text(&headers, "webhook-signature"),
        body: &[],
    };
    // Whether there is such a tenant is not looked at before the body is there: who sends none would see which there are.
    hook::check_headers(&delivery, state.app().clock.now()).inspect_err(wrong)?;
    // The signature is over the bytes: nothing of them is looked at before it is checked.
    let whose = client.map(|client| Whose::Address(client.counted()));
    let room = Room::Share(state.strangers.share(whose));
    let bytes = incoming.read(&state, limits::TICKET_BODY_BYTES, room).await.inspect_err(|problem| {
        // Who announces a body and does not send it holds room as well as who guesses.
        if problem.status == StatusCode::REQUEST_TIMEOUT.as_u16() {
            door::failed_attempt(&state, client);
        }
    })?;
    delivery.body = &bytes;
    let authenticated = hook::authenticate(state.app(), state.service.secrets.as_ref(), &tenant, &delivery).await;
    let (tenant, key) = authenticated.inspect_err(wrong)?;
    let scope = TenantScope::of_tenant(&tenant);
    door::identified_tenant(&state, scope.tenant())?;
    door::room(&state, scope.tenant())?;
    door::tenant_ticket(&state, scope.tenant())?;
    create::take(&state, &scope, &correlation_id, Some(key), &bytes).await
}

/// The header of that name; without one, or with two, what nothing is signed with.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default(),
        _ => "",
    }
}
