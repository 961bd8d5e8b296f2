use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use switchboard_core::{
    access::audit::{Action, Details, Label, NewAuditEntry},
    ports::{EventFilter, TenantScope},
    time::Timestamp,
};

use super::Session;
use crate::{
    args::{EventSelection, Events},
    operator, output,
};

pub(super) async fn run(session: Session, command: Events) -> Result<ExitCode> {
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    match command {
        Events::List { which } => {
            let events = core.app.queue.archived(&scope, &filter(which)).await?;
            if session.global.json {
                for event in &events {
                    let detail: Value = serde_json::from_str(&event.detail_json())?;
                    output::json_line(&json!({
                        "id": event.id,
                        "detail-type": event.detail.detail_type(),
                        "time": event.at,
                        "correlation_id": event.correlation_id,
                        "detail": detail,
                    }))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            let rows = events.into_iter().map(|event| {
                let (name, ticket) = (event.detail.detail_type().to_owned(), event.detail.ticket_id().to_string());
                vec![event.id.to_string(), event.at.to_string(), name, ticket]
            });
            output::table(&["event", "time", "type", "ticket"], rows.collect(), "no events");
        }
        Events::Replay { which } => {
            let act = act(&scope, &which);
            let queued = core.audited(act, core.app.queue.replay(&scope, &filter(which))).await?;
            if session.global.json {
                output::json(&json!({"queued": queued}))?;
            } else {
                println!("{queued} queued again");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Which events, in the words of the options.
fn act(scope: &TenantScope, which: &EventSelection) -> NewAuditEntry {
    let EventSelection { since, until, detail_type, ticket, limit: _ } = which;
    let time = |time: &Option<Timestamp>| time.map(|time| Label::new(&time.to_string()));
    let details = Details {
        name: detail_type.as_deref().map(Label::new),
        from: time(since),
        to: time(until),
        ..Details::default()
    };
    let act = operator::by().did(Action::EventReplay, Some(scope.tenant())).with(details);
    match ticket {
        Some(ticket) => act.to(ticket),
        None => act,
    }
}

fn filter(which: EventSelection) -> EventFilter {
    let EventSelection { since, until, detail_type, ticket, limit } = which;
    EventFilter { since, until, detail_type, ticket, limit }
}
