use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use switchboard_core::ports::{EventFilter, EventQueue};

use super::Session;
use crate::{
    args::{EventSelection, Events},
    output,
};

pub(super) async fn run(session: Session, command: Events) -> Result<ExitCode> {
    let wired = session.open()?;
    let scope = session.scope(wired.tenants.as_ref()).await?;
    match command {
        Events::List { which } => {
            let events = wired.store.archived(&scope, &filter(which)).await?;
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
            let queued = wired.store.replay(&scope, &filter(which)).await?;
            if session.global.json {
                output::json(&json!({"queued": queued}))?;
            } else {
                println!("{queued} queued again");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(which: EventSelection) -> EventFilter {
    let EventSelection { since, until, detail_type, ticket, limit } = which;
    EventFilter { since, until, detail_type, ticket, limit }
}
