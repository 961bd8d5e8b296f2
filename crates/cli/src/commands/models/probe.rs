//! Whether a tenant's language models answer.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use switchboard_core::models::{Probe, ProbeRole};

use crate::{commands::Session, output};

pub(super) async fn probe_models(session: &Session, role: Option<ProbeRole>) -> Result<ExitCode> {
    let core = session.core().await?;
    let id = session.tenant(core.app.tenants.as_ref()).await?;
    let tenant = core.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    let probes = core.app.gateway.probe_models(&tenant, role).await;
    if session.global.json {
        output::json(&json!({"tenant": id, "models": probes.iter().map(in_json).collect::<Vec<_>>()}))?;
    } else {
        let headers = ["role", "provider", "model", "", "ms", "tokens", "cost"];
        output::table(&headers, probes.iter().map(row).collect(), "The tenant's configuration names no such model.");
    }
    let all_answered = probes.iter().all(|probe| probe.outcome.is_ok());
    Ok(if all_answered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn row(probe: &Probe) -> Vec<String> {
    let outcome = match &probe.outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{}: {error}", error.kind().word()),
    };
    vec![
        probe.role.to_string(),
        probe.provider.to_string(),
        probe.model.clone(),
        outcome,
        probe.took.as_millis().to_string(),
        (probe.usage.input_tokens + probe.usage.output_tokens).to_string(),
        probe.cost.to_string(),
    ]
}

fn in_json(probe: &Probe) -> Value {
    let error = probe.outcome.as_ref().err();
    json!({
        "role": probe.role,
        "provider": probe.provider,
        "model": probe.model,
        "ok": error.is_none(),
        "answered_by": probe.outcome.as_ref().ok(),
        "error": error.map(|error| json!({"kind": error.kind().word(), "message": error.to_string()})),
        "ms": probe.took.as_millis() as u64,
        "input_tokens": probe.usage.input_tokens,
        "output_tokens": probe.usage.output_tokens,
        "cost_usd": probe.cost.usd(),
    })
}
