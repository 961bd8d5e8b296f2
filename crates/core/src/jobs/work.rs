use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use crate::{
    app::App,
    deadline::within,
    effects::{NotPerformed, Performed, perform},
    error::{Error, ErrorKind, Result, Retry},
    event::{Event, EventDetail, TicketReceived, TicketRouted, TicketSyncFailed, TicketSynced},
    ids::{DecisionId, EffectId},
    limits,
    ports::{Decided, Leased, SyncChange, TicketFile},
    tenants::Tenant,
    tickets::{
        Decision, trial,
        write_back::{DeskCall, WriteBack, write_back},
    },
    time::Timestamp,
};

/// What became of a leased event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its work is done.
    Done,
    /// It failed and is due again.
    Retried,
    /// Nothing was tried; it is due again.
    Deferred,
    /// It failed for good.
    Buried,
    /// Nothing could be recorded: the lease will expire and the event will come again.
    Left,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Deferred => "deferred",
            Self::Buried => "buried",
            Self::Left => "left",
        }
    }
}

/// Does the work of one event and settles its lease. It may be run twice and changes nothing the second time.
pub async fn handle(app: &App, leased: Leased) -> Outcome {
    // A broken invariant costs the one event, not the worker.
    let work = AssertUnwindSafe(settle(app, &leased)).catch_unwind();
    let work =
        work.map(|done| done.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the work broke an invariant"))));
    let settled = within(app.clock.as_ref(), limits::JOB_TIME, "the work of an event", work).await;
    let outcome = match settled {
        Ok(outcome) => outcome,
        Err(error) if error.kind() == ErrorKind::LeaseLost => Outcome::Left,
        Err(error) => fail(app, &leased, &error).await,
    };
    let name = leased.event.detail.detail_type();
    metrics::counter!("switchboard_events_handled_total", "event" => name, "outcome" => outcome.word()).increment(1);
    outcome
}

async fn settle(app: &App, leased: &Leased) -> Result<Outcome> {
    let tenant = match app.tenants.tenant(&leased.event.tenant).await {
        Ok(Some(tenant)) => tenant,
        Ok(None) => return without_tenant(app, leased, "the tenant has no configuration").await,
        Err(error) => return without_tenant(app, leased, &error.report()).await,
    };
    match &leased.event.detail {
        EventDetail::TicketReceived(received) => decide(app, &tenant, leased, received).await,
        EventDetail::TicketRouted(routed) => sync(app, &tenant, leased, &routed.decision_id).await,
        EventDetail::TicketReviewed(reviewed) => sync(app, &tenant, leased, &reviewed.review_id).await,
        EventDetail::TicketSynced(_) | EventDetail::TicketSyncFailed(_) => {
            app.queue.complete(&leased.lease).await.map(|()| Outcome::Done)
        }
    }
}

/// How long work waits for a tenant whose configuration is broken or gone: until somebody mends it, however long that is.
const WITHOUT_TENANT: Duration = Duration::from_secs(30);

async fn without_tenant(app: &App, leased: &Leased, problem: &str) -> Result<Outcome> {
    let (event, tenant) = (&leased.lease.event, &leased.event.tenant);
    tracing::error!(%event, %tenant, problem, "work waits for its tenant's configuration");
    app.queue.defer(&leased.lease, app.clock.now().plus(WITHOUT_TENANT), problem).await?;
    Ok(Outcome::Deferred)
}

async fn load(app: &App, event: &Event) -> Result<Option<TicketFile>> {
    app.tickets.ticket(&event.scope(), event.detail.ticket_id()).await
}

async fn decide(app: &App, tenant: &Tenant, leased: &Leased, received: &TicketReceived) -> Result<Outcome> {
    let Some(file) = load(app, &leased.event).await? else {
        return forgotten(app, leased).await;
    };
    if file.decision.is_some() {
        app.queue.complete(&leased.lease).await?;
        return Ok(Outcome::Done);
    }
    let decision = trial::decide(app, tenant, &file.ticket).await;
    let event = follow_up(app, &leased.event, EventDetail::TicketRouted(routed(&decision)));
    let stored = app.tickets.decide(&leased.event.scope(), &decision, event, &leased.lease).await?;
    if stored == Decided::New {
        count(&decision);
        let waited = decision.created_at.since(file.ticket.accepted_at);
        metrics::histogram!("switchboard_time_to_decision_seconds").record(waited.as_secs_f64());
        let (team, priority) = (&decision.assigned_team, decision.priority_level);
        tracing::debug!(ticket = %received.ticket_id, %team, %priority, "ticket routed");
    }
    Ok(Outcome::Done)
}

/// Brings `about`, a decision or a review, to the ticketing system.
async fn sync(app: &App, tenant: &Tenant, leased: &Leased, about: &DecisionId) -> Result<Outcome> {
    let Some(file) = load(app, &leased.event).await? else {
        return forgotten(app, leased).await;
    };
    let (scope, ticket) = (leased.event.scope(), leased.event.detail.ticket_id());
    let record = |change, detail: Option<EventDetail>| {
        let event = detail.map(|detail| follow_up(app, &leased.event, detail));
        app.tickets.record_sync(&scope, ticket, about, change, event, &leased.lease)
    };
    let update = match write_back(&file, about)? {
        WriteBack::Send(update) => update,
        WriteBack::DoneBefore => {
            app.queue.complete(&leased.lease).await?;
            return Ok(Outcome::Done);
        }
        WriteBack::Superseded => {
            record(SyncChange::Superseded, None).await?;
            return Ok(Outcome::Done);
        }
    };
    let call = DeskCall { app, tenant, update: &update };
    match perform(app, &scope, &EffectId::from(about), &leased.lease, &call).await {
        Ok(Performed::Before(_)) => {
            app.queue.complete(&leased.lease).await?;
            Ok(Outcome::Done)
        }
        Ok(Performed::Done(receipt)) => {
            metrics::counter!("switchboard_syncs_total").increment(1);
            let synced =
                TicketSynced { ticket_id: ticket.clone(), decision_id: about.clone(), receipt: receipt.clone() };
            record(SyncChange::Succeeded { receipt }, Some(EventDetail::TicketSynced(synced))).await?;
            Ok(Outcome::Done)
        }
        Err(failure) if failure.error.kind() == ErrorKind::LeaseLost => Err(failure.error),
        Err(NotPerformed { error, open, held }) => {
            let text = error.report();
            if let Some(at) = put_off(app, &error) {
                record(SyncChange::Deferred { at, reason: text, open }, None).await?;
                return Ok(Outcome::Deferred);
            }
            metrics::counter!("switchboard_ticketing_system_sync_failures_total").increment(1);
            let correlation_id = &leased.event.correlation_id;
            tracing::warn!(%ticket, tenant = %tenant.id, %correlation_id, error = text, "write-back failed");
            match next_try(app, leased, &error).filter(|_| !held) {
                Some(at) => {
                    record(SyncChange::Retry { at, error: text, open }, None).await?;
                    Ok(Outcome::Retried)
                }
                None => {
                    let failed =
                        TicketSyncFailed { ticket_id: ticket.clone(), decision_id: about.clone(), error: text.clone() };
                    record(SyncChange::Failed { error: text, open }, Some(EventDetail::TicketSyncFailed(failed)))
                        .await?;
                    Ok(Outcome::Buried)
                }
            }
        }
    }
}

/// The ticket was deleted, by its time to live or by hand: there is nothing left to do.
async fn forgotten(app: &App, leased: &Leased) -> Result<Outcome> {
    tracing::info!(event = %leased.lease.event, "the ticket of an event is gone, nothing to do");
    app.queue.complete(&leased.lease).await?;
    Ok(Outcome::Done)
}

async fn fail(app: &App, leased: &Leased, error: &Error) -> Outcome {
    let text = error.report();
    let (event, correlation_id) = (&leased.lease.event, &leased.event.correlation_id);
    tracing::warn!(%event, %correlation_id, failed = leased.failed + 1, error = text, "the work of an event failed");
    let settled = if let Some(at) = put_off(app, error) {
        app.queue.defer(&leased.lease, at, &text).await.map(|()| Outcome::Deferred)
    } else {
        match next_try(app, leased, error) {
            Some(at) => app.queue.retry(&leased.lease, at, &text).await.map(|()| Outcome::Retried),
            None => app.queue.bury(&leased.lease, &text).await.map(|()| Outcome::Buried),
        }
    };
    settled.unwrap_or_else(|error| {
        tracing::error!(event = %leased.lease.event, error = error.report(), "a failure could not be recorded");
        Outcome::Left
    })
}

/// When to come back without a failure counted: nothing was tried, or our own storage is full, which is no fault of the
/// event's.
fn put_off(app: &App, error: &Error) -> Option<Timestamp> {
    let wait = match error.retry() {
        Retry::After(wait) if error.is_deferred() => wait.min(MAX_RETRY_AFTER),
        _ if error.kind() == ErrorKind::StorageFull => limits::STORAGE_FULL_WAIT,
        _ => return None,
    };
    Some(app.clock.now().plus(wait))
}

/// When to try again: after the delay of this failure, half of it drawn at random, or later when the other side asked for
/// that. `None` when the error is final or the delays are used up.
fn next_try(app: &App, leased: &Leased, error: &Error) -> Option<Timestamp> {
    let delay = *app.retry_delays.get(usize::try_from(leased.failed).ok()?)?;
    let mut random = [0; 2];
    app.ids.fill(&mut random);
    let part = f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    let jittered = delay.mul_f64(0.75 + part / 2.0);
    let wait = match error.retry() {
        Retry::Never => return None,
        Retry::Later => jittered,
        // The jitter on top keeps those that were told the same time from coming back together.
        Retry::After(asked) => jittered + asked.min(MAX_RETRY_AFTER),
    };
    Some(app.clock.now().plus(wait))
}

/// The longest that another side's `Retry-After` is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

fn follow_up(app: &App, cause: &Event, detail: EventDetail) -> Event {
    Event {
        id: app.event_id(),
        tenant: cause.tenant.clone(),
        at: app.clock.now(),
        correlation_id: cause.correlation_id.clone(),
        detail,
    }
}

fn routed(decision: &Decision) -> TicketRouted {
    TicketRouted {
        ticket_id: decision.ticket_id.clone(),
        decision_id: decision.decision_id.clone(),
        assigned_team: decision.assigned_team.clone(),
        priority_level: decision.priority_level,
        confidence_score: decision.confidence_score,
        requires_manual_review: decision.requires_manual_review,
    }
}

fn count(decision: &Decision) {
    let decided_by = decision.decided_by.word();
    metrics::counter!("switchboard_tickets_processed_total", "decided_by" => decided_by).increment(1);
    metrics::histogram!("switchboard_processing_time_seconds").record(decision.processing_time_ms / 1e3);
    metrics::histogram!("switchboard_confidence_score").record(decision.confidence_score);
    if decision.requires_manual_review {
        metrics::counter!("switchboard_manual_reviews_total").increment(1);
    }
}
