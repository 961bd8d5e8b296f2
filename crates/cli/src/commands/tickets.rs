use std::process::ExitCode;

use anyhow::{Result, bail};
use switchboard_core::{
    limits,
    ports::{ReviewState, TicketFile, TicketFilter},
    tickets::view::TicketView,
};

use super::Session;
use crate::{args::Tickets, output};

pub(super) async fn run(session: Session, command: Tickets) -> Result<ExitCode> {
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    match command {
        Tickets::List { team, customer, priority, sync, review, limit } => {
            let filter = TicketFilter {
                team,
                customer,
                priority,
                sync,
                review: review.then_some(ReviewState::Waiting),
                ..TicketFilter::default()
            };
            let mut found = Vec::new();
            let mut cursor = None;
            while found.len() < limit as usize {
                let wanted = limits::PAGE_TICKETS.min(limit - u32::try_from(found.len())?);
                let page = core.app.tickets.list(&scope, &filter, cursor.as_deref(), wanted).await?;
                found.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            if session.global.json {
                output::json(&found)?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows = found.into_iter().map(|one| {
                vec![
                    one.ticket_id.to_string(),
                    one.accepted_at.to_string(),
                    one.customer_id.to_string(),
                    one.assigned_team.map_or("-".to_owned(), |team| team.to_string()),
                    one.priority_level.map_or("-".to_owned(), |level| level.to_string()),
                    one.primary_category.map_or("-".to_owned(), |category| category.to_string()),
                    one.confidence_score.map_or("-".to_owned(), |sure| format!("{:.0} %", sure * 100.0)),
                    review_word(one.review_state).to_owned(),
                    one.sync_status.to_string(),
                ]
            });
            let headers = ["ticket", "accepted", "customer", "team", "priority", "category", "sure", "review", "sync"];
            output::table(&headers, rows.collect(), "no tickets");
        }
        Tickets::Show { id } => {
            let Some(file) = core.app.tickets.ticket(&scope, &id).await? else {
                bail!("tenant `{}` has no ticket `{id}`", scope.tenant());
            };
            if session.global.json {
                output::json(&TicketView::from(file))?;
            } else {
                print_file(file);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn review_word(state: ReviewState) -> &'static str {
    match state {
        ReviewState::NotNeeded => "",
        ReviewState::Waiting => "waits",
        ReviewState::Done => "done",
    }
}

/// Prints a ticket with its decision for people.
pub(super) fn print_file(file: TicketFile) {
    let view = TicketView::from(file);
    let ticket = &view.ticket;
    println!("{}  {}", ticket.ticket_id, output::printable(&ticket.subject));
    println!("customer {}, accepted {}", ticket.customer_id, ticket.accepted_at);
    if let (Some(team), Some(priority), Some(category)) =
        (&view.assigned_team, view.priority_level, &view.primary_category)
    {
        println!("team {team}, priority {priority}, category {category}");
    }
    if let Some(review) = &view.review {
        println!();
        println!("{}", output::printable(&review.summary()));
        if let Some(note) = &review.note {
            println!("{}", output::printable(&note.for_person().to_owned_text()));
        }
    }
    if let Some(decision) = &view.decision {
        let issue = &decision.issue_classification;
        println!();
        if view.review.is_some() {
            println!("Decided before the review:");
        }
        println!("{}", output::printable(&decision.reasoning));
        println!();
        println!("category   {}  severity {}  sentiment {}", issue.primary_category, issue.severity, issue.sentiment);
        for (kind, entities) in &decision.entities {
            let values: Vec<_> = entities.iter().map(|entity| output::printable(&entity.value)).collect();
            println!("{kind:<10} {}", values.join(", "));
        }
        for reason in &decision.review_reasons {
            println!("review     {reason}");
        }
        println!("config     {}  model {}", decision.config_version, decision.model);
    }
    println!();
    for entry in &view.timeline {
        println!("{}  {:<13} {}", entry.at, entry.what, output::printable(&entry.detail));
    }
}
