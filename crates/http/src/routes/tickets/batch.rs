use std::fmt;

use axum::{Json, extract::State, http::StatusCode};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use switchboard_core::{
    access::Scope,
    error::{FieldError, PublicCode},
    json::{self, JsonError},
    limits,
    tickets::{accept::accept, draft::TicketDraft},
};
use utoipa::ToSchema;

use super::create::AcceptedTicket;
use crate::{
    HttpState, Problem,
    auth::Caller,
    body::{self, Incoming, Media, Room},
    correlation::Correlation,
    door,
    shares::Whose,
};

/// What became of each ticket of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// How many are on disk.
    accepted: usize,
    /// How many were refused.
    refused: usize,
    /// A result for each ticket, in order.
    results: Vec<BatchResult>,
}

/// What became of one ticket of a batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchResult {
    /// It is on disk.
    Accepted(AcceptedTicket),
    /// It was refused; the others are not concerned.
    Refused {
        /// Always `refused`.
        status: &'static str,
        /// Why.
        error: Problem,
    },
}

/// Send many tickets in
///
/// Up to 1,000 tickets, as a JSON array or as one JSON object a line. A bad one does not reject the others.
#[utoipa::path(
    post, path = "/tickets/batch", tag = "tickets",
    request_body(content(
        (Vec<TicketDraft> = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 202, description = "A result for each ticket.", body = BatchAnswer),
        (status = 400, description = "No JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope `tickets:write`.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is over 50 MiB.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is announced as something else.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No array, or over 1,000 tickets.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The rate or the quota is used up (`too_many_requests`, `quota_exceeded`); try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Other batches are being read; try again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn create_tickets(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    Correlation(correlation_id): Correlation,
    incoming: Incoming,
) -> Result<(StatusCode, Json<BatchAnswer>), Problem> {
    let scope = principal.allow(Scope::TicketsWrite)?;
    let media = body::media(&incoming.headers, &[Media::Json, Media::NdJson])?;
    door::room(&state, &principal.tenant)?;
    let room = Room::Share(state.batch_bodies.share(Some(Whose::Tenant(principal.tenant.clone()))));
    let bytes = incoming.read(&state, limits::BATCH_BODY_BYTES, room).await?;
    // Only now: clients that send slowly would keep others from theirs. What waits is bounded by the room.
    let busy = |_| Problem::new(PublicCode::Unavailable, "other batches are being read; try again in a moment");
    let _permit = state.batches.acquire().await.map_err(busy)?;
    // 50 MB take a while: other requests must not wait for it.
    let parsing = tokio::task::spawn_blocking(move || match media {
        Media::Json => array(&bytes),
        Media::NdJson => Ok(lines(&bytes)),
    });
    let parsed = parsing.await.map_err(|_| Problem::new(PublicCode::Internal, "the batch could not be read"))??;
    if parsed.len() > limits::BATCH_TICKETS {
        let detail = format!("has too many tickets; at most {} are allowed in one batch", limits::BATCH_TICKETS);
        return Err(Problem::invalid_fields(vec![FieldError::new("", detail)]));
    }
    door::tickets(&state, &principal, parsed.len())?;
    let mut drafts = Vec::with_capacity(parsed.len());
    let mut refused = Vec::with_capacity(parsed.len());
    for one in parsed {
        match one {
            Ok(draft) => {
                drafts.push(draft);
                refused.push(None);
            }
            Err(problem) => refused.push(Some(problem)),
        }
    }
    let _intake = door::intake(&state, &principal.tenant)?;
    let accepted = accept(state.app(), &scope, &correlation_id, None, drafts).await;
    let mut outcomes = accepted.map_err(|error| door::not_taken(&state, &principal.tenant, error))?.into_iter();
    let results: Vec<_> = refused
        .into_iter()
        .map(|refused| match refused {
            Some(problem) => BatchResult::Refused { status: "refused", error: problem },
            None => match outcomes.next() {
                Some(Ok(receipt)) => BatchResult::Accepted(receipt.into()),
                Some(Err(error)) => BatchResult::Refused { status: "refused", error: error.into() },
                None => {
                    let error = Problem::new(PublicCode::Internal, "the ticket got no answer");
                    BatchResult::Refused { status: "refused", error }
                }
            },
        })
        .collect();
    let accepted = results.iter().filter(|result| matches!(result, BatchResult::Accepted(_))).count();
    let answer = BatchAnswer { accepted, refused: results.len() - accepted, results };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

type Parsed = Vec<Result<TicketDraft, Problem>>;

fn array(bytes: &[u8]) -> Result<Parsed, Problem> {
    let Items(items) = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::invalid_fields(vec![FieldError::new("", "must be a JSON array of tickets")])
        }
        _ => JsonError::from(error).into(),
    })?;
    Ok(items.into_iter().map(|item| json::parse(item.get().as_bytes()).map_err(Problem::from)).collect())
}

/// The items of an array, at most one more than allowed: enough to see that there are too many.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of tickets")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while kept.len() <= limits::BATCH_TICKETS {
                    let Some(item) = items.next_element()? else { return Ok(kept) };
                    kept.push(item);
                }
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(kept)
            }
        }

        deserializer.deserialize_seq(Bounded).map(Self)
    }
}

fn lines(bytes: &[u8]) -> Parsed {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.take(limits::BATCH_TICKETS + 1).map(|line| json::parse(line).map_err(Problem::from)).collect()
}
