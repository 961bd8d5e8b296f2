use std::process::ExitCode;

use anyhow::{Result, anyhow};
use switchboard_core::{
    access::audit::{AuditEntry, Outcome, chain::Verdict},
    limits,
    ports::{AuditFilter, TenantScope},
    time::Timestamp,
};

use crate::{
    args::AuditLog,
    commands::{IN_PART, Session},
    output,
    wire::Core,
};

pub(in crate::commands) async fn run(session: Session, command: AuditLog) -> Result<ExitCode> {
    let core = session.core().await?;
    match command {
        AuditLog::List { since, limit } => list(&session, &core, since, limit).await,
        AuditLog::Verify => verify(&session, &core).await,
    }
}

async fn list(session: &Session, core: &Core, since: Option<Timestamp>, limit: u32) -> Result<ExitCode> {
    // The tenant need not be there any more: what was done to it still is.
    let scope = session.global.tenant.clone().map(TenantScope::of_operator);
    let mut entries: Vec<AuditEntry> = Vec::new();
    while entries.len() < limit as usize {
        let wanted = limits::PAGE_AUDIT.min(limit - u32::try_from(entries.len()).unwrap_or(limit));
        let before = entries.last().map(|entry| entry.sequence);
        let filter = AuditFilter { since, before, ..AuditFilter::default() };
        let page =
            core.app.audit.list(scope.as_ref(), &filter, wanted).await.map_err(|error| anyhow!(error.report()))?;
        let is_last = page.len() < wanted as usize;
        entries.extend(page);
        if is_last {
            break;
        }
    }
    if session.global.json {
        output::json(&entries)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = entries.into_iter().map(|entry| {
        vec![
            entry.sequence.to_string(),
            entry.at.to_string(),
            entry.actor.to_string(),
            entry.action.to_string(),
            entry.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            what(&entry),
        ]
    });
    let headers = ["number", "at", "who", "act", "tenant", "what"];
    output::table(&headers, rows.collect(), "no acts");
    Ok(ExitCode::SUCCESS)
}

/// Target, outcome and details in one line; `--json` has them as they are.
fn what(entry: &AuditEntry) -> String {
    let target = entry.target.as_ref().map(ToString::to_string);
    let outcome = match entry.outcome {
        Outcome::Done => None,
        Outcome::Refused => Some("refused".to_owned()),
        Outcome::Failed => Some("failed".to_owned()),
    };
    let details = serde_json::to_value(&entry.details).unwrap_or_default();
    let details = details.as_object().into_iter().flatten().map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {text}"),
        None => format!("{name} {value}"),
    });
    target.into_iter().chain(outcome).chain(details).collect::<Vec<_>>().join("; ")
}

async fn verify(session: &Session, core: &Core) -> Result<ExitCode> {
    let verdict = core.app.audit.verify().await.map_err(|error| anyhow!(error.report()))?;
    if session.global.json {
        output::json(&verdict)?;
    }
    Ok(match verdict {
        Verdict::Whole { entries, head } => {
            if !session.global.json {
                println!("whole: {entries} entries, the newest hash is {head}");
            }
            ExitCode::SUCCESS
        }
        Verdict::Broken { sequence, fault } => {
            if !session.global.json {
                println!("BROKEN at entry {sequence}: {fault}");
            }
            ExitCode::from(IN_PART)
        }
    })
}
