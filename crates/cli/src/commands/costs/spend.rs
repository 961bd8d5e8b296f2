//! What a tenant has spent on language models.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use switchboard_core::{
    models::NanoUsd,
    ports::{Ceiling, Spend, TenantScope, UsageCount, UsageLedger as _},
};

use crate::{args, commands::Session, output};

pub(in crate::commands) async fn spend(session: &Session, asked: &args::Costs) -> Result<ExitCode> {
    let wired = session.open().await?;
    let (app, now) = (&wired.app, wired.app.clock.now());
    let id = session.tenant(app.tenants.as_ref()).await?;
    let tenant = app.tenants.tenant(&id).await?.context("the tenant is gone")?;
    let ceilings = tenant.config.models.budget.map(|budget| budget.ceilings()).unwrap_or_default();
    let customer = asked.customer.as_ref();
    let mut spent = wired.store.spent(&TenantScope::of_tenant(&tenant), customer, now).await?;
    let counts = UsageCount::of(customer, now);
    let rows = counts.iter().map(|count| (count, *spent.of_mut(count.ceiling), ceilings.of(count.ceiling)));
    let rows: Vec<(&UsageCount<'_>, Spend, Option<NanoUsd>)> = rows.collect();
    if session.global.json {
        let row = |(count, spend, ceiling): &(&UsageCount<'_>, Spend, Option<NanoUsd>)| {
            let value = json!({
                "period": count.period, "spent_usd": spend.spent.usd(), "open_usd": spend.open.usd(), "calls": spend.calls,
                "budget_usd": ceiling.map(NanoUsd::usd),
            });
            (count.ceiling.word().to_owned(), value)
        };
        let mut all: serde_json::Map<String, Value> = rows.iter().map(row).collect();
        all.insert("tenant".to_owned(), json!(id));
        all.insert("customer".to_owned(), json!(customer));
        output::json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let lines = rows.iter().map(|(count, spend, ceiling)| {
        let whose = match count.ceiling {
            Ceiling::Month | Ceiling::Day => id.as_str(),
            Ceiling::CustomerDay => count.customer,
        };
        vec![
            count.period.clone(),
            whose.to_owned(),
            spend.spent.to_string(),
            spend.open.to_string(),
            ceiling.map_or_else(|| "none".to_owned(), |most| most.to_string()),
            spend.calls.to_string(),
        ]
    });
    output::table(&["time (UTC)", "who", "spent", "of it open", "budget", "calls"], lines.collect(), "");
    println!("Open is what is reserved for calls on their way, or whose end nobody has told: it stays spent.");
    Ok(ExitCode::SUCCESS)
}
