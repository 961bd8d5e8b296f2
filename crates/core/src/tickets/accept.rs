//! Taking tickets in: after this returns, they are on disk with the event that leads to their decision.

use super::{Ticket, draft::TicketDraft};
use crate::{
    app::App,
    error::{Error, ErrorKind, FieldError, Result, Retry},
    event::{Event, EventDetail, TicketReceived},
    ids::{CorrelationId, IdempotencyKey, TicketId},
    limits,
    ports::{Accepted, Backlog, Lane, NewTicket, TenantScope},
    tenants::QuotasConfig,
};

/// A ticket that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The request that brought it: the first one, when this one repeats it.
    pub correlation_id: CorrelationId,
    /// Whether an earlier request had brought it already.
    pub repeated: bool,
}

/// Why a ticket was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// It does not keep the limits.
    #[error("the ticket does not fit the schema")]
    Invalid(Vec<FieldError>),
    /// Its id, or the idempotency key, stands for other content already.
    #[error("{message}")]
    Conflict {
        /// What clashes, for people.
        message: String,
        /// The fields that differ from what is stored.
        differences: Vec<FieldError>,
    },
    /// It could not be stored.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Checks and stores tickets of one request; a result for each, in order.
pub async fn accept(
    app: &App,
    scope: &TenantScope,
    correlation_id: &CorrelationId,
    idempotency_key: Option<IdempotencyKey>,
    drafts: Vec<TicketDraft>,
) -> Result<Vec<Result<Receipt, NotAccepted>>> {
    let now = app.clock.now();
    let mut outcomes: Vec<Option<Result<Receipt, NotAccepted>>> = Vec::with_capacity(drafts.len());
    let mut valid = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let envelope = super::draft::Envelope {
            tenant: scope.tenant(),
            accepted_at: now,
            correlation_id: correlation_id.clone(),
            idempotency_key: idempotency_key.clone(),
        };
        match draft.validate(envelope) {
            Ok(ticket) => {
                valid.push(ticket);
                outcomes.push(None);
            }
            Err(mistakes) => outcomes.push(Some(Err(NotAccepted::Invalid(mistakes)))),
        }
    }
    let quotas = quotas(app, scope).await;
    let mut stored = Vec::with_capacity(valid.len());
    let bulk = valid.len() >= limits::BULK_TICKETS;
    let backlog = room(app, scope).await?;
    for tickets in valid.chunks(limits::ACCEPT_AT_ONCE) {
        let new = tickets
            .iter()
            .map(|ticket| new_ticket(app, scope, ticket, lane(app, ticket, bulk, backlog), quotas))
            .collect();
        stored.extend(app.tickets.accept(scope, new).await?);
    }
    let mut stored = valid.into_iter().zip(stored);
    let mut next_stored = || match stored.next() {
        Some((ticket, result)) => receipt(&ticket, result?),
        None => Err(Error::new(ErrorKind::Internal, "the store gave fewer results than tickets").into()),
    };
    let outcomes = outcomes.into_iter().map(|refused| refused.unwrap_or_else(&mut next_stored));
    let outcomes: Vec<_> = outcomes.collect();
    let accepted = outcomes.iter().filter(|outcome| matches!(outcome, Ok(receipt) if !receipt.repeated)).count();
    metrics::counter!("switchboard_tickets_accepted_total").increment(accepted as u64);
    Ok(outcomes)
}

/// A tenant whose configuration cannot be read has its tickets taken all the same, so it has no quota either.
async fn quotas(app: &App, scope: &TenantScope) -> QuotasConfig {
    let tenant = app.tenants.tenant(scope.tenant()).await.ok().flatten();
    tenant.map(|tenant| tenant.config.quotas).unwrap_or_default()
}

/// How much waits; an error when no more may. What was accepted before is worked off first, and what waits on disk stays
/// in bounds.
pub(super) async fn room(app: &App, scope: &TenantScope) -> Result<Backlog> {
    let backlog = app.queue.backlog(scope).await?;
    let refuse = |kind, message: &'static str| {
        metrics::counter!("switchboard_tickets_refused_total", "reason" => "backlog").increment(1);
        Err(Error::new(kind, message).with_retry(Retry::After(limits::BACKLOG_RETRY)))
    };
    if backlog.tenant >= app.backlog.tenant {
        return refuse(ErrorKind::BacklogFull, "too many of your tickets wait to be worked on; send more later");
    }
    if backlog.all >= app.backlog.all {
        return refuse(ErrorKind::Overloaded, "too many tickets wait to be worked on; try again later");
    }
    Ok(backlog)
}

/// With much waiting, a first glance finds what should not wait; with little it would only cost time.
fn lane(app: &App, ticket: &Ticket, bulk: bool, backlog: Backlog) -> Lane {
    if backlog.tenant >= limits::BACKLOG_TO_LOOK && app.classifier.looks_critical(ticket) {
        return Lane::Urgent;
    }
    if bulk { Lane::Bulk } else { Lane::Ordinary }
}

fn new_ticket(app: &App, scope: &TenantScope, ticket: &Ticket, lane: Lane, quotas: QuotasConfig) -> NewTicket {
    NewTicket {
        lane,
        quotas,
        event: Event {
            id: app.event_id(),
            tenant: scope.tenant().clone(),
            at: ticket.accepted_at,
            correlation_id: ticket.correlation_id.clone(),
            detail: EventDetail::TicketReceived(TicketReceived::of(ticket)),
        },
        idempotency_key: ticket.idempotency_key.clone(),
        ticket: ticket.clone(),
    }
}

fn receipt(ticket: &Ticket, accepted: Accepted) -> Result<Receipt, NotAccepted> {
    let (stored, what) = match accepted {
        Accepted::New => {
            return Ok(Receipt {
                ticket_id: ticket.id.clone(),
                correlation_id: ticket.correlation_id.clone(),
                repeated: false,
            });
        }
        Accepted::SameId(stored) => (stored, format!("a ticket `{}` with other content is stored", ticket.id)),
        Accepted::SameKey(stored) => {
            let message = format!("the idempotency key was used for ticket `{}` with other content", stored.id);
            (stored, message)
        }
    };
    let differences = stored.differences(ticket);
    if differences.is_empty() {
        return Ok(Receipt { ticket_id: stored.id, correlation_id: stored.correlation_id, repeated: true });
    }
    Err(NotAccepted::Conflict {
        message: what,
        differences: differences
            .into_iter()
            .map(|field| FieldError::new(field, "differs from the stored ticket"))
            .collect(),
    })
}
