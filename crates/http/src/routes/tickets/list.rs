use std::str::FromStr;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use switchboard_core::{
    access::Scope,
    error::ErrorKind,
    json::with_nearest,
    limits,
    ports::{Page, ReviewState, TicketFilter, TicketStatus, TicketSummary},
};
use utoipa::IntoParams;

use crate::{HttpState, Problem, auth::Caller};

const DEFAULT_LIMIT: u32 = 50;

/// Conditions of a list; all that are given hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Assigned to this team.
    team: Option<String>,
    /// Of this customer.
    customer_id: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    priority: Option<String>,
    /// `accepted` or `routed`.
    status: Option<String>,
    /// `pending`, `success` or `failed`.
    sync_status: Option<String>,
    /// `waiting` or `not_needed`.
    review_state: Option<String>,
    /// Accepted at or after this time (RFC 3339).
    since: Option<String>,
    /// Accepted before this time (RFC 3339).
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
    let limit = parse::<u32>("limit", parameters.limit)?.unwrap_or(DEFAULT_LIMIT);
    if !(1..=limits::PAGE_TICKETS).contains(&limit) {
        return Err(Problem::invalid_parameter("limit", format!("must be from 1 to {}", limits::PAGE_TICKETS)));
    }
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
        review: word(
            "review_state",
            parameters.review_state,
            &[("waiting", ReviewState::Waiting), ("not_needed", ReviewState::NotNeeded)],
        )?,
        since: parse("since", parameters.since)?,
        until: parse("until", parameters.until)?,
    };
    let page = state.app().tickets.list(&scope, &filter, parameters.cursor.as_deref(), limit).await;
    page.map(Json).map_err(|error| match error.kind() {
        ErrorKind::Invalid => Problem::invalid_parameter("cursor", error.to_string()),
        _ => error.into(),
    })
}

/// What is wrong with the query as a whole: an unknown parameter, or one that is there twice.
fn refused(rejection: &QueryRejection) -> Problem {
    let text = rejection.body_text();
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    // The name stands before the message when the parser knows it, and in backticks else.
    let (name, message) = text.split_once(": ").unwrap_or(("", text));
    let name = if name.is_empty() { message.split('`').nth(1).unwrap_or_default() } else { name };
    Problem::invalid_parameter(name, with_nearest(message))
}

fn parse<T: FromStr<Err: std::fmt::Display>>(name: &str, text: Option<String>) -> Result<Option<T>, Problem> {
    let parsed =
        text.map(|text| text.parse().map_err(|error: T::Err| Problem::invalid_parameter(name, error.to_string())));
    parsed.transpose()
}

fn word<T: Copy>(name: &str, text: Option<String>, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Err(Problem::invalid_parameter(name, format!("must be one of: {}", names.join(", "))))
        }
    }
}
