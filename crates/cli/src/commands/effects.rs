use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::json;
use switchboard_core::{
    access::audit::{Action, Details, Label},
    event::{Event, EventDetail, TicketSynced},
    ids::{DecisionId, EffectId},
    ports::{Effect, EffectFilter, Resolution, TenantScope},
};

use super::Session;
use crate::{
    args::{Effects, ResolutionArgs},
    operator, output,
    wire::Core,
};

pub(super) async fn run(session: Session, command: Effects) -> Result<ExitCode> {
    let core = session.core().await?;
    let scope = session.scope(core.app.tenants.as_ref()).await?;
    match command {
        Effects::List { ticket, state, limit } => {
            if let Some(state) = state.filter(|state| ticket.is_none() && !state.is_held()) {
                bail!(
                    "`{state}` effects are listed of one ticket only: name it by --ticket; without it, those are listed that are held: unknown, failed"
                );
            }
            let filter = EffectFilter { ticket, state, limit };
            list(&session, core.app.effects.effects(&scope, &filter).await?)
        }
        Effects::Show { id } => {
            output::json(&find(&core, &scope, &id).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Effects::Resolve { id, resolution } => resolve(&session, &core, &scope, &id, resolution).await,
    }
}

async fn find(core: &Core, scope: &TenantScope, id: &EffectId) -> Result<Effect> {
    let found = core.app.effects.effect(scope, id).await?;
    found.with_context(|| format!("tenant `{}` has no effect `{id}`; see `switchboard effects list`", scope.tenant()))
}

async fn resolve(
    session: &Session,
    core: &Core,
    scope: &TenantScope,
    id: &EffectId,
    said: ResolutionArgs,
) -> Result<ExitCode> {
    let effect = find(core, scope, id).await?;
    let (resolution, event, word, done) = match said {
        ResolutionArgs { happened: Some(receipt), .. } => {
            let event = happened(core, scope, &effect, &receipt).await?;
            (Resolution::Happened { receipt }, Some(event), "happened", "it has happened")
        }
        ResolutionArgs { try_again: true, .. } => (Resolution::TryAgain, None, "try_again", "it is tried again"),
        _ => (Resolution::Abandon, None, "abandon", "nobody works on it any more"),
    };
    let details =
        Details { from: Some(Label::new(effect.state.word())), to: Some(Label::new(word)), ..Details::default() };
    let act = operator::by().did(Action::EffectSettle, Some(scope.tenant())).to(id).with(details);
    if !core.audited(act, core.app.effects.resolve(scope, id, resolution, event)).await? {
        bail!("effect `{id}` is `{}`: only what is held, `unknown` or `failed`, waits for a person", effect.state);
    }
    if session.global.json {
        output::json(&find(core, scope, id).await?)?;
    } else {
        println!("effect {id} of ticket {}: {done}", effect.ticket_id);
    }
    Ok(ExitCode::SUCCESS)
}

async fn happened(core: &Core, scope: &TenantScope, effect: &Effect, receipt: &str) -> Result<Event> {
    let app = &core.app;
    let file = app.tickets.ticket(scope, &effect.ticket_id).await?.context("the effect's ticket is gone")?;
    let synced = TicketSynced {
        ticket_id: effect.ticket_id.clone(),
        decision_id: effect.id.as_str().parse::<DecisionId>()?,
        receipt: receipt.to_owned(),
    };
    Ok(Event {
        id: app.event_id(),
        tenant: scope.tenant().clone(),
        at: app.clock.now(),
        correlation_id: file.ticket.correlation_id,
        detail: EventDetail::TicketSynced(synced),
    })
}

fn list(session: &Session, effects: Vec<Effect>) -> Result<ExitCode> {
    if session.global.json {
        output::json(&json!(effects))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = effects.into_iter().map(|effect| {
        vec![
            effect.id.to_string(),
            effect.changed_at.to_string(),
            effect.kind.to_string(),
            effect.ticket_id.to_string(),
            effect.state.to_string(),
            effect.attempts.to_string(),
            effect.receipt.or(effect.error).unwrap_or_default(),
        ]
    });
    let header = ["effect", "since", "kind", "ticket", "state", "attempts", "receipt or error"];
    output::table(&header, rows.collect(), "nothing is held");
    Ok(ExitCode::SUCCESS)
}
