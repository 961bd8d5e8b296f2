//! How long data are kept.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use switchboard_core::{
    access::audit::Action,
    ports::TenantSource,
    tenants::{Retention, RetentionPolicy},
};

use super::Session;
use crate::{args, operator, output};

/// The rule of the server and of each tenant. What a tenant says that cannot be read is not known, so all of it is kept.
pub(super) async fn policy(tenants: &dyn TenantSource, server: Retention) -> RetentionPolicy {
    let mut policy = RetentionPolicy::new(server);
    let known = match tenants.list().await {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(error = error.report(), "the tenants cannot be listed, so nothing is deleted");
            return RetentionPolicy::new(Retention::FOREVER);
        }
    };
    for id in known {
        match tenants.tenant(&id).await {
            Ok(Some(tenant)) => policy.set(id, &tenant.config.retention),
            Ok(None) | Err(_) => policy.keep_all(id),
        }
    }
    policy
}

pub(super) async fn run(session: Session, command: args::Retention) -> Result<ExitCode> {
    let wired = session.open().await?;
    if matches!(command, args::Retention::Confirm) {
        let act = operator::by().did(Action::RetentionConfirm, None);
        wired.store.audited(act, wired.store.confirm_clock()).await?;
        if session.global.json {
            output::json(&json!({"clock": wired.app.clock.now()}))?;
        } else {
            println!("The clock is right: {}. Retention goes on with the next sweep.", wired.app.clock.now());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let policy = policy(wired.app.tenants.as_ref(), session.settings.retention).await;
    let mut known = wired.app.tenants.list().await?;
    if let Some(only) = &session.global.tenant {
        known.retain(|id| id == only);
    }
    wired.store.set_retention(policy.clone());
    let state = wired.store.retention_state().await?;
    if session.global.json {
        let tenants: serde_json::Map<_, _> = known.iter().map(|id| (id.to_string(), json!(policy.of(id)))).collect();
        output::json(&json!({
            "server": session.settings.retention, "tenants": tenants,
            "clock_suspect_since": state.clock_suspect_since, "overdue": state.overdue,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |name: &str, rule: &Retention| {
        let times =
            [rule.tickets_days, rule.events_days, rule.examples_days, rule.customers_days, rule.dead_letters_days];
        std::iter::once(name.to_owned()).chain(times.map(|time| time.to_string())).collect()
    };
    let mut rows: Vec<Vec<String>> = vec![row("(server)", &session.settings.retention)];
    rows.extend(known.iter().map(|id| row(id.as_str(), policy.of(id))));
    output::table(&["tenant", "tickets", "events", "examples", "customers", "dead letters"], rows, "no rules");
    if let Some(since) = state.clock_suspect_since {
        println!("The clock has jumped ahead ({since}): nothing is deleted until it has run evenly for a day.");
        println!("If it is right, `switchboard retention confirm` spares the wait.");
    }
    if state.overdue > 0 {
        println!("{} tickets are past their time and kept, because they are not finished.", state.overdue);
    }
    Ok(ExitCode::SUCCESS)
}
