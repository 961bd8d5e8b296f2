//! `switchboard eval --trial`: a tenant's configuration and the one that is tried beside it, on the tickets that took part.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;
use switchboard_core::{
    ids::TrialName,
    ports::{TenantScope, TicketFilter},
    tickets::trial::{ArmTotals, TrialComparison},
};
use switchboard_knowledge::eval::wilson;

use crate::{args, commands::Session, output};

/// Tickets that are asked for at once.
const PAGE: u32 = 200;

pub(super) async fn compare(session: Session, asked: &args::Eval, name: Option<&TrialName>) -> Result<ExitCode> {
    let core = session.core().await?;
    let app = &core.app;
    let id = session.tenant(app.tenants.as_ref()).await?;
    let tenant = app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    let configured = tenant.trial.as_ref().map(|trial| &trial.name);
    let name = name.or(configured).with_context(|| {
        format!("tenant `{id}` has no `trial` in its configuration; name an earlier one by --trial NAME")
    })?;
    let scope = TenantScope::of_tenant(&tenant);
    let filter = TicketFilter { since: asked.since, until: asked.until, ..TicketFilter::default() };
    let (mut comparison, mut cursor, mut seen) = (TrialComparison::default(), None, 0_u32);
    'pages: loop {
        let page = app.tickets.list(&scope, &filter, cursor.as_deref(), PAGE).await?;
        for summary in page.items {
            if seen >= asked.measuring.limit {
                break 'pages;
            }
            seen += 1;
            // Between the list and now, its time to be kept may have ended.
            if let Some(file) = app.tickets.ticket(&scope, &summary.ticket_id).await? {
                comparison.add(name, &file);
            }
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if session.global.json {
        output::json(&json!({"tenant": id, "trial": name, "tickets_seen": seen, "comparison": comparison}))?;
    } else {
        show(name, seen, &comparison);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(name: &TrialName, seen: u32, comparison: &TrialComparison) {
    let TrialComparison { control, trial, .. } = comparison;
    if control.tickets + trial.tickets == 0 {
        println!("None of the {seen} tickets of that time took part in the trial `{name}`.");
        return;
    }
    let row = |what: &str, of: &dyn Fn(&ArmTotals) -> String| vec![what.to_owned(), of(control), of(trial)];
    let rows = vec![
        row("tickets", &|arm| arm.tickets.to_string()),
        row("decided without a look", &|arm| share(arm.automatic, arm.tickets)),
        row("team as reviewed", &|arm| share(arm.team_right, arm.reviewed)),
        row("category as reviewed", &|arm| share(arm.category_right, arm.reviewed)),
        row("of those without a look, team as reviewed", &|arm| share(arm.automatic_right, arm.automatic_reviewed)),
        row("models, US dollars a ticket", &|arm| format!("{:.6}", arm.cost_usd / arm.tickets.max(1) as f64)),
        row("mean time, ms", &|arm| format!("{:.1}", arm.mean_ms)),
    ];
    println!("Trial `{name}`, of {seen} tickets:");
    output::table(&["", "the configuration", "what is tried"], rows, "");
    if comparison.both > 0 {
        println!(
            "Of {} tickets decided by both, the same: team {}, category {}, priority {}, look {}.",
            comparison.both,
            share(comparison.same_team, comparison.both),
            share(comparison.same_category, comparison.both),
            share(comparison.same_priority, comparison.both),
            share(comparison.same_review, comparison.both),
        );
    }
    if comparison.late > 0 {
        println!(
            "{} more came too late for their tickets and are left out; `trial.wait_seconds` gives them longer.",
            comparison.late
        );
    }
    println!("In brackets: where the share of more such tickets lies with 95 % certainty.");
}

fn share(part: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    let [low, high] = wilson(part as usize, of as usize).map(output::percent);
    format!("{} ({low} to {high})", output::percent(part as f64 / of as f64))
}
