use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use switchboard_core::{
    access::audit::{Action, Details, Label},
    ids::TenantId,
    ports::TenantScope,
    tenants::{ServiceStatusConfig, Tenant},
};
use switchboard_local::TenantFile;

use super::{super::Session, counter};
use crate::{
    args::Export,
    commands::backup::{NewFile, is_standard},
    operator, output,
    wire::Wired,
};

pub(crate) async fn export(session: Session, arguments: Export) -> Result<ExitCode> {
    let wired = session.open().await?;
    let tenant = meant(&session, &wired).await?;
    let files = files(&session.data.tenants().join(tenant.as_str()))?;
    let bar = counter(session.global.quiet, "lines");
    let (database, shown) = (session.data.database(), bar.clone());
    let work = {
        let (tenant, file, force) = (tenant.clone(), arguments.file.clone(), arguments.force);
        move || write(&database, &tenant, &files, &file, force, &mut |lines| shown.set_position(lines))
    };
    let lines = tokio::task::spawn_blocking(work).await.context("the export died")??;
    bar.finish_and_clear();
    let act = operator::by().did(Action::TenantExport, Some(&tenant)).with(Details {
        count: Some(lines.values().sum()),
        source: Some(Label::new(&arguments.file.display().to_string())),
        ..Details::default()
    });
    wired.app.audit.append(act).await?;
    let counts: Vec<String> = lines.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let counts = counts.join(", ");
    if is_standard(&arguments.file) {
        if !session.global.quiet {
            eprintln!("tenant {tenant}: {counts}. API keys, secrets and models are not in an export.");
        }
    } else if session.global.json {
        output::json(&json!({"tenant": tenant, "file": arguments.file, "lines": lines}))?;
    } else {
        println!("{}: {counts}", arguments.file.display());
        println!("API keys, secrets and models are not in an export; jobs are made anew by `switchboard import`.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The tenant that is meant: also one without a configuration, when it still has data.
async fn meant(session: &Session, wired: &Wired) -> Result<TenantId> {
    if let Some(named) = &session.global.tenant
        && !wired.app.tenants.list().await?.contains(named)
        && !wired.store.tenant_rows(&TenantScope::of_operator(named.clone())).await?.is_empty()
    {
        return Ok(named.clone());
    }
    session.tenant(wired.app.tenants.as_ref()).await
}

fn write(
    database: &Path,
    tenant: &TenantId,
    files: &[TenantFile],
    file: &Path,
    force: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<BTreeMap<String, u64>> {
    if is_standard(file) {
        let mut out = BufWriter::new(io::stdout().lock());
        return Ok(switchboard_local::export(database, tenant, files, &mut out, progress)?);
    }
    let mut new = NewFile::beside(file, force)?;
    let mut out = BufWriter::new(new.as_file());
    let lines = switchboard_local::export(database, tenant, files, &mut out, progress)?;
    out.flush()?;
    drop(out);
    new.put_in_place()?;
    Ok(lines)
}

/// The tenant's configuration and the file that it names: as they are, so that their version stays the same.
fn files(folder: &Path) -> Result<Vec<TenantFile>> {
    let mut files = Vec::new();
    let Some(config) = text(&folder.join("config.json"))? else { return Ok(files) };
    // A broken configuration is exported, too; it is refused where it is imported.
    if let Ok(tenant) = Tenant::from_json(config.as_bytes())
        && let Some(path) = status_file(&tenant)
        && let Some(text) = text(&folder.join(&path))?
    {
        files.push(TenantFile { path, text });
    }
    files.push(TenantFile { path: "config.json".to_owned(), text: config });
    Ok(files)
}

/// The file beside the configuration that it names.
pub(super) fn status_file(tenant: &Tenant) -> Option<String> {
    match &tenant.config.service_status {
        ServiceStatusConfig::File { path } => Some(path.clone()),
        ServiceStatusConfig::None | ServiceStatusConfig::Http { .. } => None,
    }
}

fn text(path: &PathBuf) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => bail!("{} is no UTF-8 text", path.display()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}
