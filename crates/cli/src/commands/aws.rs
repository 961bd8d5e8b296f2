//! Looking after a deployment on AWS.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use switchboard_aws::{
    Clients, S3Tenants,
    doctor::{self, Severity},
};
use switchboard_core::{ids::TenantId, tenants::Tenant};
use switchboard_local::SystemClock;

use super::{IN_PART, Session};
use crate::{args::Aws, aws, output};

pub(super) async fn run(session: Session, command: Aws) -> Result<ExitCode> {
    let clients = aws::clients(&session.settings.aws).await?;
    match command {
        Aws::Doctor => doctor(&session, &clients).await,
        Aws::PutTenant { file } => put_tenant(&session, clients, &file).await,
    }
}

async fn doctor(session: &Session, clients: &Clients) -> Result<ExitCode> {
    let findings = doctor::doctor(clients, &SystemClock::new()).await;
    let is_good = findings.is_empty();
    if session.global.json {
        output::json(&json!({"good": is_good, "findings": findings}))?;
    } else {
        let word = |severity| if severity == Severity::Problem { "MEND" } else { "look" }.to_owned();
        let row =
            |finding: doctor::Finding| vec![word(finding.severity), finding.subject, finding.missing, finding.remedy];
        let rows = findings.into_iter().map(row).collect();
        output::table(&["", "what", "found", "remedy"], rows, "everything is there");
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

async fn put_tenant(session: &Session, clients: Clients, file: &Path) -> Result<ExitCode> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let tenant = Tenant::from_json(&bytes).map_err(|mistakes| anyhow!("{}: {mistakes}", file.display()))?;
    let id: TenantId = tenant.id.clone();
    if let Some(named) = session.global.tenant.as_ref().filter(|named| **named != id) {
        bail!("{} has tenant_id `{id}`, and --tenant says `{named}`", file.display());
    }
    let bucket = clients.names.bucket.clone();
    S3Tenants::put(&clients, &id, bytes).await?;
    if session.global.json {
        output::json(&json!({"tenant": id, "version": tenant.version, "bucket": bucket}))?;
    } else {
        println!("tenant `{id}` is in {bucket} and in force within a minute (version {})", tenant.version);
    }
    Ok(ExitCode::SUCCESS)
}
