//! `/tickets`.

pub(super) mod batch;
pub(super) mod create;
pub(super) mod list;
pub(super) mod review;
pub(super) mod show;

use axum::extract::{Path, rejection::PathRejection};
use switchboard_core::ids::TicketId;

use crate::Problem;

/// The ticket of the path. What has not the form of an id cannot be there.
fn ticket_id(path: Result<Path<String>, PathRejection>) -> Result<TicketId, Problem> {
    let Path(id) = path.map_err(|_| Problem::invalid_parameter("ticket_id", "must be valid UTF-8"))?;
    id.parse().map_err(|_| Problem::unknown_ticket())
}
