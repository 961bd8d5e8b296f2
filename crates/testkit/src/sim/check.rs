//! What must hold at the end of every run.

use std::collections::{BTreeMap, BTreeSet};

use switchboard_core::{
    event::EventDetail,
    ids::EffectId,
    ports::{EffectState, EventFilter},
    tickets::SyncStatus,
};

use super::{
    Opened,
    actors::{Sent, Story},
};

/// The promises that are broken.
pub(super) async fn check(story: &Story, opened: &Opened) -> Vec<String> {
    let mut broken = std::mem::take(&mut *story.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let sent = story.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for one in &sent {
        if let Err(error) = check_ticket(story, opened, one, &mut broken).await {
            broken.push(format!("{} cannot be read: {}", one.id, error.report()));
        }
    }
    for ((tenant, ticket, key), times) in story.desk.applied().iter() {
        if *times > 1 {
            broken.push(format!("update {key} of {tenant} {ticket} was applied {times} times"));
        }
    }
    broken
}

async fn check_ticket(
    story: &Story,
    opened: &Opened,
    one: &Sent,
    broken: &mut Vec<String>,
) -> switchboard_core::error::Result<()> {
    let id = &one.id;
    let mut breaks = |what: String| broken.push(format!("{id}: {what}"));
    let Some(file) = opened.store.ticket(&one.scope, id).await? else {
        if one.acknowledged {
            breaks("it was acknowledged and is lost".to_owned());
        }
        return Ok(());
    };
    if one.poison {
        return check_poison(opened, one, broken).await;
    }
    let Some(decision) = &file.decision else {
        breaks("it has no decision".to_owned());
        return Ok(());
    };
    if one.decision.as_ref().is_some_and(|seen| *seen != decision.decision_id) {
        breaks("its decision has changed".to_owned());
    }
    if file.sync.status != SyncStatus::Success {
        breaks(format!("its write-back is {:?}: {:?}", file.sync.status, file.sync.last_error));
    }
    let filter = EventFilter { ticket: Some(id.clone()), limit: 1_000, ..EventFilter::default() };
    let events = opened.queue.archived(&one.scope, &filter).await?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut told = BTreeSet::from([decision.decision_id.to_string()]);
    for event in &events {
        *counts.entry(event.detail.detail_type()).or_default() += 1;
        if let EventDetail::TicketReviewed(reviewed) = &event.detail
            && reviewed.write_back
        {
            told.insert(reviewed.review_id.to_string());
        }
    }
    let of = |name: &str| counts.get(name).copied().unwrap_or(0);
    if of("TicketReceived") != 1 || of("TicketRouted") != 1 {
        breaks(format!("its archive does not tell how it came about: {counts:?}"));
    }
    let applied: BTreeMap<String, u32> = story
        .desk
        .applied()
        .iter()
        .filter(|((tenant, ticket, _), _)| tenant == one.scope.tenant() && ticket == id)
        .map(|((_, _, key), times)| (key.clone(), *times))
        .collect();
    if let Some(strange) = applied.keys().find(|key| !told.contains(*key)) {
        breaks(format!("the desk has an update {strange} that nobody decided"));
    }
    let newest = file.sync_of.as_ref().map(ToString::to_string).unwrap_or_default();
    if !applied.contains_key(&newest) {
        breaks(format!("the desk does not have {newest}, and the write-back is a success"));
    }
    for key in &told {
        let Ok(effect_id) = key.parse::<EffectId>() else { continue };
        match opened.effects.effect(&one.scope, &effect_id).await? {
            None => breaks(format!("the ledger does not know {key}")),
            Some(effect) if *key == newest && effect.state != EffectState::Done => {
                breaks(format!("the ledger says {} of {key}, which is done", effect.state));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Poison ends in the dead letters and nowhere else.
async fn check_poison(opened: &Opened, one: &Sent, broken: &mut Vec<String>) -> switchboard_core::error::Result<()> {
    let letters = opened.queue.dead_letters(&one.scope, 1_000).await?;
    let mine = letters.iter().filter(|letter| *letter.event.detail.ticket_id() == one.id).count();
    if mine != 1 {
        broken.push(format!("{}: it is poison and there are {mine} dead letters of it", one.id));
    }
    Ok(())
}
