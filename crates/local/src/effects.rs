//! The ledger of what leaves the system, in the same file as the tickets, so that an intent and what asks for it are one
//! write.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use switchboard_core::{
    error::Result,
    event::Event,
    ids::{DecisionId, EffectId, TenantId, TicketId},
    ports::{Attempt, Effect, EffectFilter, EffectKind, EffectLedger, EffectState, Lease, Resolution, TenantScope},
    tickets::SyncStatus,
    time::Timestamp,
};

use crate::{
    db::explain,
    queue::{self, is_held},
    store::{SqliteStore, code, count, parsed, time, word},
};

/// Stores that the effect of an event is to happen, when it has one.
pub(crate) fn intend(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let Some(id) = event.detail.effect() else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO effects (id, tenant, kind, ticket_id, event, intended_at, changed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?
        .execute(params![
            id.as_str(),
            event.tenant.as_str(),
            code(EffectKind::ALL, &EffectKind::DeskUpdate),
            event.detail.ticket_id().as_str(),
            event.id.as_str(),
            event.at.as_millis(),
        ])?;
    Ok(())
}

/// The ticket's earlier effects give way to a newer one, which tells everything again: those that have not happened are not
/// to happen any more, and nobody need find out about the others. One that is under way ends by itself.
pub(crate) fn supersede(
    connection: &Connection,
    tenant: &TenantId,
    ticket: &TicketId,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE effects SET state = {}, changed_at = ?3 WHERE tenant = ?1 AND ticket_id = ?2 AND state IN ({}, {}, {})",
        EffectState::Superseded as i64,
        EffectState::Intended as i64,
        EffectState::Failed as i64,
        EffectState::Unknown as i64
    );
    connection.prepare_cached(&sql)?.execute(params![tenant.as_str(), ticket.as_str(), now.as_millis()])?;
    Ok(())
}

/// Stores what came of an attempt. One that stays open keeps the time of its beginning, unless a clock that was wrong has
/// put that into the future.
pub(crate) fn settle(
    connection: &Connection,
    tenant: &TenantId,
    id: &DecisionId,
    state: EffectState,
    receipt: Option<&String>,
    error: Option<&String>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE effects SET state = ?2, receipt = ?3, error = coalesce(?4, error),
             changed_at = iif(state = ?2 AND changed_at <= ?5, changed_at, ?5) WHERE id = ?1 AND tenant = ?6",
        )?
        .execute(params![
            id.as_str(),
            code(EffectState::ALL, &state),
            receipt,
            error,
            now.as_millis(),
            tenant.as_str()
        ])?;
    Ok(())
}

#[async_trait]
impl EffectLedger for SqliteStore {
    async fn attempt(&self, scope: &TenantScope, id: &EffectId, lease: &Lease, repeat: bool) -> Result<Attempt> {
        let (tenant, id, lease) = (scope.tenant().clone(), id.clone(), lease.clone());
        let (clock, now) = (self.lease_clock(), self.clock.now());
        let attempt = move |connection: &Connection| {
            is_held(connection, &lease, clock)?;
            attempt(connection, &tenant, &id, &lease, repeat, now).map_err(explain)
        };
        self.db.writer.write(attempt).await
    }

    async fn effect(&self, scope: &TenantScope, id: &EffectId) -> Result<Option<Effect>> {
        let (tenant, id) = (scope.tenant().clone(), id.clone());
        self.db.look_up(move |connection| one(connection, &tenant, &id)).await
    }

    async fn effects(&self, scope: &TenantScope, filter: &EffectFilter) -> Result<Vec<Effect>> {
        let (tenant, filter) = (scope.tenant().clone(), filter.clone());
        self.db.read(move |connection| list(connection, &tenant, &filter)).await
    }

    async fn resolve(
        &self,
        scope: &TenantScope,
        id: &EffectId,
        resolution: Resolution,
        event: Option<Event>,
    ) -> Result<bool> {
        let (tenant, id, now) = (scope.tenant().clone(), id.clone(), self.clock.now());
        let resolve =
            move |connection: &Connection| resolve(connection, &tenant, &id, &resolution, event.as_ref(), now);
        let resolved = self.db.writer.write(resolve).await?;
        self.queued.notify_one();
        Ok(resolved)
    }

    async fn unknown(&self) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM effects INDEXED BY effects_held WHERE state IN (3, 4) AND state = {}",
            EffectState::Unknown as i64
        );
        self.db.read(move |connection| connection.prepare_cached(&sql)?.query_row([], count)).await
    }
}

fn attempt(
    connection: &Connection,
    tenant: &TenantId,
    id: &EffectId,
    lease: &Lease,
    repeat: bool,
    now: Timestamp,
) -> rusqlite::Result<Attempt> {
    let state = |connection: &Connection| {
        connection
            .prepare_cached("SELECT state, changed_at FROM effects WHERE id = ?1 AND tenant = ?2")?
            .query_row(params![id.as_str(), tenant.as_str()], |row| {
                Ok((word(EffectState::ALL, row, "state")?.unwrap_or(EffectState::Unknown), time(row, "changed_at")?))
            })
            .optional()
    };
    let (before, since) = match state(connection)? {
        Some(found) => found,
        None => {
            connection
                .prepare_cached(
                    "INSERT INTO effects (id, tenant, kind, ticket_id, event, intended_at, changed_at)
                     SELECT ?1, tenant, ?3, ticket_id, id, at, at FROM events WHERE id = ?4 AND tenant = ?2",
                )?
                .execute(params![
                    id.as_str(),
                    tenant.as_str(),
                    code(EffectKind::ALL, &EffectKind::DeskUpdate),
                    lease.event.as_str()
                ])?;
            (EffectState::Intended, now)
        }
    };
    match before {
        EffectState::Done | EffectState::Superseded | EffectState::Abandoned => return Ok(Attempt::Settled(before)),
        EffectState::Attempted | EffectState::Unknown if !repeat => return Ok(Attempt::Open { since }),
        EffectState::Intended | EffectState::Attempted | EffectState::Failed | EffectState::Unknown => {}
    }
    connection
        .prepare_cached(&format!(
            "UPDATE effects SET state = {}, attempts = attempts + 1, changed_at = ?2 WHERE id = ?1 AND tenant = ?3",
            EffectState::Attempted as i64
        ))?
        .execute(params![id.as_str(), now.as_millis(), tenant.as_str()])?;
    Ok(Attempt::Begun { after_open: before.is_open() })
}

const COLUMNS: &str = "id, kind, ticket_id, event, state, attempts, intended_at, changed_at, receipt, error";

fn effect(row: &Row<'_>) -> rusqlite::Result<Effect> {
    Ok(Effect {
        id: parsed(row, "id")?,
        kind: word(EffectKind::ALL, row, "kind")?.unwrap_or(EffectKind::DeskUpdate),
        ticket_id: parsed(row, "ticket_id")?,
        event: parsed(row, "event")?,
        state: word(EffectState::ALL, row, "state")?.unwrap_or(EffectState::Unknown),
        attempts: row.get("attempts")?,
        intended_at: time(row, "intended_at")?,
        changed_at: time(row, "changed_at")?,
        receipt: row.get("receipt")?,
        error: row.get("error")?,
    })
}

fn one(connection: &Connection, tenant: &TenantId, id: &EffectId) -> rusqlite::Result<Option<Effect>> {
    let sql = format!("SELECT {COLUMNS} FROM effects WHERE id = ?1 AND tenant = ?2");
    connection.prepare_cached(&sql)?.query_row([id.as_str(), tenant.as_str()], effect).optional()
}

fn list(connection: &Connection, tenant: &TenantId, filter: &EffectFilter) -> rusqlite::Result<Vec<Effect>> {
    let state = filter.state.map(|state| code(EffectState::ALL, &state));
    let which = match &filter.ticket {
        Some(_) => "tenant = ?1 AND ticket_id = ?2",
        None => "tenant = ?1 AND state IN (3, 4) AND ?2 IS NULL",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM effects WHERE {which} AND state = coalesce(?3, state) ORDER BY id DESC LIMIT ?4"
    );
    let ticket = filter.ticket.as_ref().map(|ticket| ticket.as_str());
    connection.prepare_cached(&sql)?.query_map(params![tenant.as_str(), ticket, state, filter.limit], effect)?.collect()
}

fn resolve(
    connection: &Connection,
    tenant: &TenantId,
    id: &EffectId,
    resolution: &Resolution,
    event: Option<&Event>,
    now: Timestamp,
) -> Result<bool> {
    let Some(held) = one(connection, tenant, id).map_err(explain)?.filter(|effect| effect.state.is_held()) else {
        return Ok(false);
    };
    let set = |state: EffectState, receipt: Option<&str>| -> rusqlite::Result<()> {
        connection.execute(
            "UPDATE effects SET state = ?2, receipt = ?3, changed_at = ?4 WHERE id = ?1 AND tenant = ?5",
            params![id.as_str(), code(EffectState::ALL, &state), receipt, now.as_millis(), tenant.as_str()],
        )?;
        Ok(())
    };
    match resolution {
        Resolution::Happened { receipt } => {
            let done = || -> rusqlite::Result<()> {
                set(EffectState::Done, Some(receipt))?;
                connection.execute(
                    "UPDATE tickets SET sync = ?3, sync_receipt = ?4, sync_changed_at = ?5
                     WHERE tenant = ?1 AND coalesce(sync_of, decision_id) = ?2 AND ticket_id = ?6",
                    params![
                        tenant.as_str(),
                        id.as_str(),
                        code(SyncStatus::ALL, &SyncStatus::Success),
                        receipt,
                        now.as_millis(),
                        held.ticket_id.as_str()
                    ],
                )?;
                connection.execute(
                    "DELETE FROM dead_letters WHERE tenant = ?1 AND event = ?2",
                    [tenant.as_str(), held.event.as_str()],
                )?;
                Ok(())
            };
            done().map_err(explain)?;
        }
        Resolution::TryAgain => {
            set(EffectState::Intended, None).map_err(explain)?;
            queue::revive(connection, tenant, &held.event)?;
        }
        Resolution::Abandon => {
            queue::give_up(connection, tenant, &held.event).map_err(explain)?;
            set(EffectState::Abandoned, None).map_err(explain)?;
        }
    }
    if let Some(event) = event {
        queue::publish(connection, event, event.detail.lane()).map_err(explain)?;
    }
    Ok(true)
}
