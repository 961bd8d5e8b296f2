use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use switchboard_core::{
    access::audit::{Action, NewAuditEntry},
    ids::EventId,
    ports::{DeadLetter, TenantScope},
};

use super::{IN_PART, Session};
use crate::{args::Dlq, operator, output, wire::Core};

/// Dead letters that are looked through for one id, or put back by `--all`, at a time.
const AT_ONCE: u32 = 10_000;

pub(super) async fn run(session: Session, command: Dlq) -> Result<ExitCode> {
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    let queue = core.app.queue.as_ref();
    match command {
        Dlq::List { limit } => list(&session, queue.dead_letters(&scope, limit).await?),
        Dlq::Show { id } => {
            let letters = queue.dead_letters(&scope, AT_ONCE).await?;
            match letters.iter().find(|letter| letter.event.id == id) {
                Some(letter) => {
                    output::json(&shown(letter))?;
                    Ok(ExitCode::SUCCESS)
                }
                None => bail!("tenant `{}` has no dead letter `{id}`", scope.tenant()),
            }
        }
        Dlq::Replay { ids, all } => {
            if all {
                return replay_all(&session, &core, &scope).await;
            }
            each(&session, &core, &scope, &ids, true).await
        }
        Dlq::Drop { ids } => each(&session, &core, &scope, &ids, false).await,
    }
}

async fn replay_all(session: &Session, core: &Core, scope: &TenantScope) -> Result<ExitCode> {
    let mut done = Vec::new();
    loop {
        let letters = core.app.queue.dead_letters(scope, AT_ONCE).await?;
        if letters.is_empty() {
            break;
        }
        for letter in letters {
            if core.audited(act(scope, &letter.event.id, true), core.app.queue.revive(scope, &letter.event.id)).await? {
                done.push(letter.event.id);
            }
        }
    }
    if session.global.json {
        output::json(&json!({"done": done, "unknown": []}))?;
    } else {
        println!("{} put back into the queue", done.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn list(session: &Session, letters: Vec<DeadLetter>) -> Result<ExitCode> {
    if session.global.json {
        output::json(&letters.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = letters.into_iter().map(|letter| {
        vec![
            letter.event.id.to_string(),
            letter.at.to_string(),
            letter.event.detail.detail_type().to_owned(),
            letter.event.detail.ticket_id().to_string(),
            letter.failed.to_string(),
            letter.reason,
        ]
    });
    output::table(&["event", "since", "type", "ticket", "failures", "reason"], rows.collect(), "no dead letters");
    Ok(ExitCode::SUCCESS)
}

fn shown(letter: &DeadLetter) -> Value {
    let detail: Value = serde_json::from_str(&letter.event.detail_json()).unwrap_or(Value::Null);
    json!({
        "event_id": letter.event.id,
        "dead_since": letter.at,
        "reason": letter.reason,
        "failed": letter.failed,
        "interrupted": letter.interrupted,
        "detail_type": letter.event.detail.detail_type(),
        "correlation_id": letter.event.correlation_id,
        "happened_at": letter.event.at,
        "detail": detail,
    })
}

fn act(scope: &TenantScope, id: &EventId, revive: bool) -> NewAuditEntry {
    let action = if revive { Action::DeadLetterReplay } else { Action::DeadLetterDrop };
    operator::by().did(action, Some(scope.tenant())).to(id)
}

async fn each(session: &Session, core: &Core, scope: &TenantScope, ids: &[EventId], revive: bool) -> Result<ExitCode> {
    let (mut done, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        let act = act(scope, id, revive);
        let found = if revive {
            core.audited(act, core.app.queue.revive(scope, id)).await?
        } else {
            core.audited(act, core.app.queue.discard(scope, id)).await?
        };
        if found { done.push(id) } else { unknown.push(id) }
    }
    if session.global.json {
        output::json(&json!({"done": done, "unknown": unknown}))?;
    } else {
        println!("{} {}", done.len(), if revive { "put back into the queue" } else { "removed" });
        for id in &unknown {
            eprintln!("there is no dead letter {id}");
        }
    }
    Ok(if unknown.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}
