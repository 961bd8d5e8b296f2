//! Whether a tenant's language models answer.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use switchboard_core::models::{Trial, TrialRole};

use crate::{commands::Session, output};

pub(super) async fn try_models(session: &Session, role: Option<TrialRole>) -> Result<ExitCode> {
    let core = session.core().await?;
    let id = session.tenant(core.app.tenants.as_ref()).await?;
    let tenant = core.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    let trials = core.app.gateway.try_models(&tenant, role).await;
    if session.global.json {
        output::json(&json!({"tenant": id, "models": trials.iter().map(in_json).collect::<Vec<_>>()}))?;
    } else {
        let headers = ["role", "provider", "model", "", "ms", "tokens", "cost"];
        output::table(&headers, trials.iter().map(row).collect(), "The tenant's configuration names no such model.");
    }
    let all_answered = trials.iter().all(|trial| trial.outcome.is_ok());
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn row(trial: &Trial) -> Vec<String> {
    let outcome = match &trial.outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{}: {error}", error.kind().word()),
    };
    vec![
        trial.role.to_string(),
        trial.provider.to_string(),
        trial.model.clone(),
        outcome,
        trial.took.as_millis().to_string(),
        (trial.usage.input_tokens + trial.usage.output_tokens).to_string(),
        trial.cost.to_string(),
    ]
}

fn in_json(trial: &Trial) -> Value {
    let error = trial.outcome.as_ref().err();
    json!({
        "role": trial.role,
        "provider": trial.provider,
        "model": trial.model,
        "ok": error.is_none(),
        "answered_by": trial.outcome.as_ref().ok(),
        "error": error.map(|error| json!({"kind": error.kind().word(), "message": error.to_string()})),
        "ms": trial.took.as_millis() as u64,
        "input_tokens": trial.usage.input_tokens,
        "output_tokens": trial.usage.output_tokens,
        "cost_usd": trial.cost.usd(),
    })
}
