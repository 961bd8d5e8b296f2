use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use switchboard_core::{
    access::{Scope, Who, audit::AuditEntry},
    ports::AuditFilter,
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    HttpState, Problem,
    auth::Caller,
    routes::query::{page_limit, parse, refused},
};

/// Conditions of the log; all that are given hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogParameters {
    /// Written at this time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Entries on a page, 1 to 200; 50 when absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The `next_before` of the page before.
    #[param(value_type = Option<u64>, minimum = 1)]
    before: Option<String>,
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    /// Entries, newest first.
    items: Vec<AuditEntry>,
    /// The `before` of the next page, when there is more.
    #[schema(required = false)]
    next_before: Option<u64>,
}

/// Read the tenant's entries of the audit log, newest first
///
/// A key or a token of a tenant sees the tenant's own numbering, from 1 without gaps; the operator's session sees the numbers
/// of the whole server's log. `switchboard audit-log verify` checks that nothing was changed.
#[utoipa::path(
    get, path = "/audit-log", tag = "access",
    params(LogParameters),
    responses(
        (status = 200, description = "A page of entries.", body = AuditPage),
        (status = 400, description = "A parameter is not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing or not valid.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The scope `audit:read` is missing.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []), ("bearer" = [])),
)]
pub(crate) async fn list_audit_log(
    State(state): State<HttpState>,
    Caller(principal): Caller,
    parameters: Result<Query<LogParameters>, QueryRejection>,
) -> Result<Json<AuditPage>, Problem> {
    let scope = principal.allow(Scope::AuditRead)?;
    let Query(parameters) = parameters.map_err(|rejection| refused(&rejection))?;
    let limit = page_limit(parameters.limit)?;
    let (since, before) = (parse("since", parameters.since)?, parse("before", parameters.before)?);
    // Gaps would tell one tenant how much is done for the others.
    let own_numbers = !matches!(principal.who, Who::Session(_));
    let filter = AuditFilter { since, before, action: None, own_numbers };
    let mut items = state.app().audit.list(Some(&scope), &filter, limit + 1).await?;
    let is_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_before = items.last().filter(|_| is_more).map(|entry| entry.sequence);
    Ok(Json(AuditPage { items, next_before }))
}
