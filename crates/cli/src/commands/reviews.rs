use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{CommandFactory, error::ErrorKind};
use serde_json::json;
use switchboard_core::{
    app::App,
    ids::TicketId,
    limits,
    ports::{ReviewFilter, ReviewQueue, TenantScope, TicketStore, WaitingReview},
    tickets::review::{NotReviewed, Review, ReviewDraft, Reviewer, review},
    untrusted::Untrusted,
};

use super::{IN_PART, Session};
use crate::{
    args::{Args, ReviewCommand, ReviewSelection, Reviews},
    output,
};

/// Rows of the list when nobody says how many.
const DEFAULT_LIMIT: u32 = 50;

pub(super) async fn run(session: Session, reviews: Reviews) -> Result<ExitCode> {
    if reviews.command.is_some() && reviews.queue.is_given() {
        let text = "--team, --category and --limit before a subcommand select for the list";
        Args::command().error(ErrorKind::ArgumentConflict, text).exit();
    }
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    match reviews.command {
        None => list(&session, core.app.tickets.as_ref(), &scope, reviews.queue).await,
        Some(ReviewCommand::Confirm { ids }) => {
            let confirmed = confirm(&session, &core.app, &scope, &ids).await;
            core.wake().await;
            confirmed
        }
        Some(ReviewCommand::Correct { id, team, category, priority, note }) => {
            let draft = ReviewDraft {
                team,
                category,
                priority: priority.map(|level| level.to_string()),
                note: note.map(Untrusted::new),
            };
            let stored = send(&core.app, &scope, &id, draft).await.map_err(|error| told(&error, &scope, &id))?;
            core.wake().await;
            if session.global.json {
                output::json(&stored)?;
            } else {
                println!("{}", output::printable(&stored.summary()));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(
    session: &Session,
    store: &dyn TicketStore,
    scope: &TenantScope,
    selection: ReviewSelection,
) -> Result<ExitCode> {
    let ReviewSelection { team, category, limit } = selection;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let filter = ReviewFilter { team, category };
    let mut found = ReviewQueue { waiting: 0, items: Vec::new(), next_cursor: None };
    while found.items.len() < limit as usize {
        let wanted = limits::PAGE_TICKETS.min(limit - u32::try_from(found.items.len())?);
        let page = store.review_queue(scope, &filter, found.next_cursor.as_deref(), wanted).await?;
        found.waiting = page.waiting;
        found.items.extend(page.items);
        found.next_cursor = page.next_cursor;
        if found.next_cursor.is_none() {
            break;
        }
    }
    if session.global.json {
        output::json(&json!({"waiting": found.waiting, "items": found.items}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = found.items.len();
    let headers = ["ticket", "value", "sure", "team", "priority", "category", "subject"];
    output::table(&headers, found.items.into_iter().map(row).collect(), "no tickets wait for review");
    if shown > 0 {
        println!("{shown} of {} that wait; the most instructive first", found.waiting);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(waiting: WaitingReview) -> Vec<String> {
    const SUBJECT: usize = 60;
    let ticket = waiting.ticket;
    let subject: String = waiting.subject.for_person().to_owned_text().chars().take(SUBJECT).collect();
    vec![
        ticket.ticket_id.to_string(),
        format!("{:.3}", waiting.value),
        ticket.confidence_score.map_or("-".to_owned(), |sure| format!("{:.0} %", sure * 100.0)),
        ticket.assigned_team.map_or("-".to_owned(), |team| team.to_string()),
        ticket.priority_level.map_or("-".to_owned(), |level| level.to_string()),
        ticket.primary_category.map_or("-".to_owned(), |category| category.to_string()),
        subject,
    ]
}

async fn confirm(session: &Session, app: &App, scope: &TenantScope, ids: &[TicketId]) -> Result<ExitCode> {
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for id in ids {
        match send(app, scope, id, ReviewDraft::default()).await {
            Ok(review) => done.push(review),
            Err(error) => refused.push((id, told(&error, scope, id).to_string())),
        }
    }
    if session.global.json {
        let refused: Vec<_> = refused.iter().map(|(id, reason)| json!({"ticket_id": id, "reason": reason})).collect();
        output::json(&json!({"done": done, "refused": refused}))?;
    } else {
        println!("{} confirmed", done.len());
        for (_, reason) in &refused {
            eprintln!("{reason}");
        }
    }
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

async fn send(app: &App, scope: &TenantScope, id: &TicketId, draft: ReviewDraft) -> Result<Review, NotReviewed> {
    review(app, scope, &Reviewer::Operator, &app.correlation_id(), id, draft).await
}

/// A refusal in the words of the command line.
fn told(error: &NotReviewed, scope: &TenantScope, id: &TicketId) -> anyhow::Error {
    match error {
        NotReviewed::Unknown => anyhow!("tenant `{}` has no ticket `{id}`", scope.tenant()),
        NotReviewed::Invalid(mistakes) => {
            let lines: Vec<_> = mistakes
                .iter()
                .map(|mistake| format!("--{}: {}", mistake.pointer.trim_start_matches('/'), mistake.detail))
                .collect();
            anyhow!(lines.join("\n"))
        }
        NotReviewed::NotDecided => anyhow!("ticket `{id}` waits for its decision"),
        NotReviewed::Failed(error) => anyhow!("ticket `{id}`: {}", error.report()),
    }
}
