use std::{fs, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use switchboard_core::{error::FieldError, ids::TenantId, ports::TenantSource, tenants::Tenant};
use switchboard_local::{FolderTenants, SystemClock};

use super::{IN_PART, Session, tenant_data};
use crate::{args::Tenants, output};

pub(super) async fn run(session: Session, command: Tenants) -> Result<ExitCode> {
    let tenants = FolderTenants::new(session.data.tenants(), Arc::new(SystemClock::new()));
    let checked = match command {
        Tenants::Wipe { id, yes, dry_run, rewrite } => {
            return tenant_data::wipe(session, id, yes, dry_run, rewrite).await;
        }
        Tenants::Readmit { id } => return tenant_data::readmit(session, id).await,
        Tenants::List => {
            let ids = tenants.list().await?;
            if session.global.json {
                output::json(&ids)?;
            } else {
                let rows = ids.iter().map(|id| vec![id.to_string(), described(&tenants, id)]).collect();
                output::table(&["tenant", "configuration"], rows, "no tenants");
            }
            return Ok(ExitCode::SUCCESS);
        }
        Tenants::Check { file: Some(file) } => vec![(file.display().to_string(), check_file(&file)?)],
        Tenants::Check { file: None } => {
            let mut ids = tenants.list().await?;
            if let Some(only) = &session.global.tenant {
                ids.retain(|id| id == only);
            }
            let mut checked = Vec::new();
            for id in ids {
                let file = session.data.tenants().join(id.as_str()).join("config.json");
                checked.push((file.display().to_string(), check_file(&file)?));
            }
            checked
        }
    };
    report(&session, &checked)
}

fn described(tenants: &FolderTenants, id: &TenantId) -> String {
    match tenants.check(id) {
        Ok(Some(tenant)) => format!("version {}", tenant.version),
        Ok(None) => "gone".to_owned(),
        Err(error) => error.report(),
    }
}

fn check_file(file: &Path) -> Result<Vec<FieldError>> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(match Tenant::from_json(&bytes) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0,
    })
}

fn report(session: &Session, checked: &[(String, Vec<FieldError>)]) -> Result<ExitCode> {
    let mistakes: usize = checked.iter().map(|(_, mistakes)| mistakes.len()).sum();
    if session.global.json {
        let shown: Vec<Value> =
            checked.iter().map(|(file, mistakes)| json!({"file": file, "mistakes": mistakes})).collect();
        output::json(&shown)?;
    } else {
        for (file, mistakes) in checked {
            if mistakes.is_empty() {
                println!("{file}: good");
            }
            for mistake in mistakes {
                println!("{file}: {}", output::printable(&mistake.to_string()));
            }
        }
        if checked.is_empty() {
            println!("no tenants in {}", session.data.tenants().display());
        }
    }
    Ok(if mistakes == 0 { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}
