use std::{
    fs::{self, File},
    io::{self, BufReader, Seek, SeekFrom},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use switchboard_core::{
    access::audit::{Action, Details, Label},
    ids::TenantId,
    ports::TenantScope,
    tenants::Tenant,
};
use switchboard_local::{ExportReader, ImportOptions, ImportRow, Imported, ReadExport, TenantFile};
use tokio::sync::mpsc;

use super::{super::Session, counter, export::status_file};
use crate::{
    commands::{IN_PART, backup},
    operator, output,
};

/// Rows of one write.
const AT_ONCE: usize = 200;

/// Whether a file is an export of a tenant, by its first line.
pub(crate) fn is_export(file: &mut File) -> Result<bool> {
    let found = ExportReader::open(BufReader::new(&*file))?.is_some();
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

/// Brings a tenant in. Everything is checked before anything is stored.
pub(crate) async fn import(session: Session, mut file: File, name: &Path, resume: bool) -> Result<ExitCode> {
    let named = || format!("{} is refused, nothing was taken", name.display());
    let quiet = session.global.quiet;
    let wired = session.open().await?;
    let checking = counter(quiet, "lines checked");
    let (shown, again) = (checking.clone(), file.try_clone()?);
    let checked = tokio::task::spawn_blocking(move || check(again, &mut || shown.inc(1)));
    let Checked { exported, files } = checked.await.context("the check died")?.with_context(named)?;
    checking.finish_and_clear();
    let id = session.global.tenant.clone().unwrap_or_else(|| exported.clone());
    if wired.store.wiped().await?.iter().any(|wiped| wiped.tenant == id) {
        bail!("tenant `{id}` was wiped; if it is to come back, say so by `switchboard tenants readmit {id}`");
    }
    let renamed = id != exported;
    let files = files.into_iter().map(|file| if renamed { with_id(file, &id) } else { Ok(file) });
    let files = files.collect::<Result<Vec<_>>>()?;
    check_files(&files, &id).with_context(named)?;
    file.seek(SeekFrom::Start(0))?;
    let (send, mut batches) = mpsc::channel::<Vec<ImportRow>>(4);
    let reading = tokio::task::spawn_blocking(move || read(file, send));
    let (scope, options) = (TenantScope::of_operator(id.clone()), ImportOptions { renamed });
    let (mut imported, bar) = (Imported::default(), counter(quiet, "rows"));
    let mut taken = 0;
    while let Some(batch) = batches.recv().await {
        taken += batch.len() as u64;
        bar.inc(batch.len() as u64);
        imported.add(&wired.store.import(&scope, batch, options).await?);
    }
    reading.await.context("reading died")??;
    bar.finish_and_clear();
    // Last, so that the tenant is known to the server when all of it is there.
    let configuration = place_files(&session.data.tenants().join(id.as_str()), &files)?;
    let source = Some(Label::new(&name.display().to_string()));
    // Only now: what is worked on before all of it is there may be sent again, although the export says that it was.
    let resumed = if resume { Some(wired.store.resume(&scope).await?) } else { None };
    let details = Details { count: Some(taken), source, ..Details::default() };
    wired.app.audit.append(operator::by().did(Action::TenantImport, Some(&id)).with(details)).await?;
    report(&session, &exported, &id, &imported, resumed, configuration)
}

struct Checked {
    exported: TenantId,
    files: Vec<TenantFile>,
}

fn check(file: File, line: &mut dyn FnMut()) -> Result<Checked> {
    let mut reader = ExportReader::open(BufReader::new(file))?.ok_or_else(|| anyhow!("it is no export of a tenant"))?;
    let mut files = Vec::new();
    loop {
        match reader.next_part()? {
            ReadExport::File(file) => files.push(file),
            ReadExport::Row(_) => line(),
            ReadExport::End(_) => return Ok(Checked { exported: reader.header().tenant.clone(), files }),
        }
    }
}

/// The configuration with another tenant's id in it.
fn with_id(mut file: TenantFile, id: &TenantId) -> Result<TenantFile> {
    if file.path == "config.json" {
        let mut config: Value = serde_json::from_str(&file.text).context("the configuration is no JSON")?;
        if let Some(fields) = config.as_object_mut() {
            fields.insert("tenant_id".to_owned(), json!(id));
        }
        file.text = format!("{config:#}\n");
    }
    Ok(file)
}

/// Refuses a configuration that would not work, and files that it does not name.
fn check_files(files: &[TenantFile], id: &TenantId) -> Result<()> {
    let Some(config) = files.iter().find(|file| file.path == "config.json") else {
        if files.is_empty() {
            return Ok(());
        }
        bail!("it has files without a configuration");
    };
    let tenant = Tenant::from_json(config.text.as_bytes())
        .map_err(|mistakes| anyhow!("its configuration is not valid:\n{mistakes}"))?;
    if tenant.id != *id {
        bail!("its configuration is that of tenant `{}`", tenant.id);
    }
    let status = status_file(&tenant);
    match files.iter().find(|file| file.path != "config.json" && Some(&file.path) != status.as_ref()) {
        Some(other) => bail!("its configuration does not name the file `{}`", output::printable(&other.path)),
        None => Ok(()),
    }
}

fn read(file: File, send: mpsc::Sender<Vec<ImportRow>>) -> Result<()> {
    let mut reader = ExportReader::open(BufReader::new(file))?.context("the file has changed")?;
    let mut batch = Vec::with_capacity(AT_ONCE);
    loop {
        match reader.next_part()? {
            ReadExport::File(_) => {}
            ReadExport::Row(row) => batch.push(*row),
            ReadExport::End(_) => {
                // The receiver is gone only when storing failed, and that is told there.
                let _ = send.blocking_send(batch);
                return Ok(());
            }
        }
        if batch.len() >= AT_ONCE && send.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(());
        }
    }
}

/// What became of the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Configuration {
    None,
    New,
    Same,
    /// There is another one, and it stays.
    Kept,
}

fn place_files(folder: &Path, files: &[TenantFile]) -> Result<Configuration> {
    let Some(config) = files.iter().find(|file| file.path == "config.json") else { return Ok(Configuration::None) };
    match fs::read(folder.join("config.json")) {
        Ok(there) if there == config.text.as_bytes() => return Ok(Configuration::Same),
        Ok(_) => return Ok(Configuration::Kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("the tenant's configuration cannot be read"),
    }
    for file in files.iter().filter(|file| file.path != config.path).chain([config]) {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        let mut new = backup::NewFile::beside(&path, true)?;
        io::Write::write_all(new.as_file(), file.text.as_bytes())?;
        new.put_in_place()?;
    }
    Ok(Configuration::New)
}

fn report(
    session: &Session,
    exported: &TenantId,
    id: &TenantId,
    imported: &Imported,
    resumed: Option<u64>,
    configuration: Configuration,
) -> Result<ExitCode> {
    let word = match configuration {
        Configuration::None => "none",
        Configuration::New => "new",
        Configuration::Same => "same",
        Configuration::Kept => "kept",
    };
    let held = if resumed.is_some() { 0 } else { imported.held };
    if session.global.json {
        output::json(&json!({
            "tenant": id, "exported_tenant": exported, "configuration": word, "new": imported.new,
            "there": imported.there, "held": held, "resumed": resumed.unwrap_or(0),
        }))?;
    } else {
        let list = |counts: &std::collections::BTreeMap<&str, u64>| {
            let parts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
        };
        println!("tenant {id}: taken {}; there already {}", list(&imported.new), list(&imported.there));
        match configuration {
            Configuration::Kept => println!("Its configuration differs from the one here, which stays."),
            Configuration::None => println!("The export has no configuration; put one in place."),
            Configuration::New | Configuration::Same => {}
        }
        if held > 0 {
            println!("{held} unfinished tickets are held: nobody works on them here, for the old system may.");
            println!("Once it does not, run the import again with --resume.");
        }
        if let Some(resumed) = resumed.filter(|resumed| *resumed > 0) {
            println!("{resumed} held tickets are worked on from the next sweep on.");
        }
        println!("API keys, secrets and models are not in an export: make and train them here.");
    }
    Ok(if configuration == Configuration::Kept { ExitCode::from(IN_PART) } else { ExitCode::SUCCESS })
}
