use std::{collections::HashSet, process::ExitCode};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use switchboard_core::{
    access::audit::{Action, NewAuditEntry},
    ids::EventId,
    ports::{DeadLetter, EventQueue, TenantScope},
};

use super::{IN_PART, Session};
use crate::{args::Dlq, operator, output, wire::Core};

/// Dead letters that are looked through at first; when the one wanted is not among them, twice as many, and so on.
const AT_ONCE: u32 = 10_000;

pub(super) async fn run(session: Session, command: Dlq) -> Result<ExitCode> {
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    let queue = core.app.queue.as_ref();
    match command {
        Dlq::List { limit } => list(&session, queue.dead_letters(&scope, limit).await?),
        Dlq::Show { id } => match find(queue, &scope, &id, AT_ONCE).await? {
            Some(letter) => {
                output::json(&shown(&letter))?;
                Ok(ExitCode::SUCCESS)
            }
            None => bail!("tenant `{}` has no dead letter `{id}`", scope.tenant()),
        },
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
    let revive = async |id: &EventId| Ok(core.audited(act(scope, id, true), core.app.queue.revive(scope, id)).await?);
    let done = each_once(core.app.queue.as_ref(), scope, AT_ONCE, revive).await?;
    if session.global.json {
        output::json(&json!({"done": done, "unknown": []}))?;
    } else {
        println!("{} put back into the queue", done.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Does something to each dead letter that is there now, once, and gives those it did it to. What dies again meanwhile, beside
/// a running server, is left.
async fn each_once(
    queue: &dyn EventQueue,
    scope: &TenantScope,
    at_once: u32,
    mut act: impl AsyncFnMut(&EventId) -> Result<bool>,
) -> Result<Vec<EventId>> {
    let (mut seen, mut done, mut most) = (HashSet::new(), Vec::new(), at_once);
    let mut newest = None;
    loop {
        let letters = queue.dead_letters(scope, most).await?;
        let is_all = letters.len() < most as usize;
        // By their own times, so that one from a clock that was ahead is not left out.
        newest = newest.or(letters.iter().map(|letter| letter.at).max());
        let mut found = false;
        for letter in letters {
            if newest.is_some_and(|newest| letter.at <= newest) && seen.insert(letter.event.id.clone()) {
                found = true;
                if act(&letter.event.id).await? {
                    done.push(letter.event.id);
                }
            }
        }
        match (found, is_all) {
            (false, true) => return Ok(done),
            // Those that came since hide the older ones.
            (false, false) => most = most.saturating_mul(2),
            (true, _) => {}
        }
    }
}

async fn find(queue: &dyn EventQueue, scope: &TenantScope, id: &EventId, at_once: u32) -> Result<Option<DeadLetter>> {
    let mut most = at_once;
    loop {
        let letters = queue.dead_letters(scope, most).await?;
        let is_all = letters.len() < most as usize;
        let found = letters.into_iter().find(|letter| letter.event.id == *id);
        if found.is_some() || is_all {
            return Ok(found);
        }
        most = most.saturating_mul(2);
    }
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use switchboard_core::{limits, ports::TicketStore};
    use switchboard_local::{Role, SqliteStore};
    use switchboard_testkit::{
        sample,
        world::{FixedClock, SeededIds},
    };

    use super::*;

    /// Buries all that is due, and says what.
    async fn bury_all(store: &SqliteStore) -> Vec<EventId> {
        let mut buried = Vec::new();
        for leased in store.lease(100, limits::LEASE_TIME).await.unwrap() {
            store.bury(&leased.lease, "it cannot be done").await.unwrap();
            buried.push(leased.lease.event);
        }
        buried
    }

    #[tokio::test]
    async fn what_dies_again_at_once_is_replayed_once_and_hides_nothing() {
        let folder = tempfile::TempDir::new().unwrap();
        let clock = Arc::new(FixedClock::new());
        let store = SqliteStore::open(&folder.path().join("switchboard.db"), clock.clone(), Role::Server).unwrap();
        let (scope, ids) = (sample::scope("acme"), SeededIds::new(1));
        let accept = |n| store.accept(&scope, vec![sample::new_ticket(&scope, sample::ticket(n), &ids)]);
        let mut dead = Vec::new();
        for n in 1..=5 {
            accept(n).await.unwrap();
            dead.extend(bury_all(&store).await);
            clock.advance(Duration::from_secs(1));
        }
        let mut more = 5;
        let replay = async |id: &EventId| {
            let revived = store.revive(&scope, id).await?;
            clock.advance(Duration::from_secs(1));
            more += 1;
            accept(more).await?;
            bury_all(&store).await;
            Ok(revived)
        };
        let done = each_once(&store, &scope, 2, replay).await.unwrap();
        assert_eq!(done.iter().rev().collect::<Vec<_>>(), dead.iter().collect::<Vec<_>>(), "newest first, each once");
        let found = find(&store, &scope, &dead[0], 1).await.unwrap();
        assert_eq!(found.map(|letter| letter.event.id), Some(dead[0].clone()));
        let other = sample::scope("globex");
        assert!(find(&store, &other, &dead[0], 1).await.unwrap().is_none());
    }
}
