use std::{fs, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde_json::json;
use switchboard_core::{
    learning,
    ports::{TenantScope, TicketFilter},
    tenants::Tenant,
    tickets::replay::{Comparison, Replayed},
};

use super::{Session, train::percent};
use crate::{args::ReplaySelection, output};

/// Tickets that are asked for at once.
const PAGE: u32 = 200;
/// Changed tickets that are shown to people.
const SHOWN: usize = 30;

pub(super) async fn replay(session: Session, which: ReplaySelection, config: Option<&Path>) -> Result<ExitCode> {
    let wired = session.open().await?;
    let id = session.tenant(wired.app.tenants.as_ref()).await?;
    let current = wired.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    let tenant = match config {
        Some(path) => Arc::new(changed(path, &current)?),
        None => current,
    };
    if let Some(embedder) = wired.embedding.open()? {
        wired.classifier.with_embeddings(embedder);
    }
    let scope = TenantScope::of_tenant(&tenant);
    match &which.model {
        Some(version) => {
            let artifact = wired.app.models.read(&scope, version).await?;
            let artifact =
                artifact.with_context(|| format!("there is no model {version}; see `switchboard models list`"))?;
            wired.app.learner.install(&id, Some((version, &artifact)))?;
        }
        None => learning::refresh(&wired.app, &tenant).await.map_err(|error| anyhow::anyhow!(error.report()))?,
    }
    let filter = TicketFilter { since: which.since, until: which.until, ..TicketFilter::default() };
    let (mut comparison, mut changed, mut cursor) = (Comparison::default(), Vec::new(), None);
    let bar = if session.global.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    'pages: loop {
        let page = wired.app.tickets.list(&scope, &filter, cursor.as_deref(), PAGE).await?;
        for summary in page.items {
            if comparison.tickets + comparison.undecided >= u64::from(which.limit) {
                break 'pages;
            }
            // Between the list and now, its time to be kept may have ended.
            if let Some(file) = wired.app.tickets.ticket(&scope, &summary.ticket_id).await? {
                changed.extend(comparison.replay(&wired.app, &tenant, &file).filter(Replayed::differs));
                bar.set_message(format!("{} tickets", comparison.tickets));
                bar.tick();
            }
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    bar.finish_and_clear();
    if session.global.json {
        output::json(
            &json!({"tenant": id, "config_version": tenant.version, "comparison": comparison, "changed": changed}),
        )?;
    } else {
        show(&comparison, &changed);
    }
    Ok(ExitCode::SUCCESS)
}

/// The changed configuration, in JSON or, by its ending, in TOML.
fn changed(path: &Path, current: &Tenant) -> Result<Tenant> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let json = if is_toml {
        let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", path.display()))?;
        let value: toml::Table = text.parse().with_context(|| format!("{} is no TOML", path.display()))?;
        serde_json::to_vec(&value).context("the configuration cannot be written as JSON")?
    } else {
        bytes
    };
    let tenant =
        Tenant::from_json(&json).with_context(|| format!("{} is no tenant's configuration", path.display()))?;
    if tenant.id != current.id {
        bail!("{} is of tenant `{}`, not of `{}`", path.display(), tenant.id, current.id);
    }
    Ok(tenant)
}

fn show(comparison: &Comparison, changed: &[Replayed]) {
    if comparison.tickets == 0 {
        println!("No decided tickets in that time. Choose another by --since and --until.");
        return;
    }
    let of_reviewed = |right: u64| match comparison.reviewed {
        0 => "– (nobody has reviewed any)".to_owned(),
        reviewed => format!("{} of {reviewed}, {}", right, percent(right as f64 / reviewed as f64)),
    };
    let (before, after) = (&comparison.before, &comparison.after);
    let row = |what: &str, one: String, other: String| vec![what.to_owned(), one, other];
    let share = |n: u64| format!("{n}, {}", percent(n as f64 / comparison.tickets as f64));
    let rows = vec![
        row("team as reviewed", of_reviewed(before.team_right), of_reviewed(after.team_right)),
        row("category as reviewed", of_reviewed(before.category_right), of_reviewed(after.category_right)),
        row("wants a person's look", share(before.reviews), share(after.reviews)),
        row("models, US dollars", format!("{:.4}", before.cost_usd), format!("{:.4}", after.cost_usd)),
        row("mean time, ms", format!("{:.2} (with look-ups)", before.mean_ms), format!("{:.2}", after.mean_ms)),
    ];
    println!("{} tickets replayed, nothing stored and nobody told.", comparison.tickets);
    output::table(&["", "as decided", "replayed"], rows, "");
    println!(
        "Different: team {}, category {}, priority {}, review {}.",
        share(comparison.team_changes),
        share(comparison.category_changes),
        share(comparison.priority_changes),
        share(comparison.review_changes)
    );
    let arrow = |one: &str, other: &str| if one == other { one.to_owned() } else { format!("{one} → {other}") };
    let word = |review: bool| if review { "review" } else { "automatic" };
    let rows = changed
        .iter()
        .take(SHOWN)
        .map(|one| {
            vec![
                one.ticket_id.to_string(),
                arrow(one.before.team.as_str(), one.after.team.as_str()),
                arrow(one.before.category.as_str(), one.after.category.as_str()),
                arrow(one.before.priority.word(), one.after.priority.word()),
                arrow(word(one.before.review), word(one.after.review)),
                one.reviewed.as_ref().map(|said| said.team.to_string()).unwrap_or_default(),
            ]
        })
        .collect();
    output::table(
        &["ticket", "team", "category", "priority", "look", "reviewed team"],
        rows,
        "Nothing would be different.",
    );
    if changed.len() > SHOWN {
        println!("… and {} more; --json has them all.", changed.len() - SHOWN);
    }
}
