use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use switchboard_core::{
    access::audit::{Action, Details},
    ids::TenantId,
    ports::TenantScope,
};

use super::{super::Session, confirm, counter};
use crate::{commands::IN_PART, operator, output};

/// A database up to this size is rewritten also beside a running server, whose writes wait meanwhile: they do so for five
/// seconds before they fail, and this takes about two.
const REWRITE_BYTES: u64 = 200 * 1024 * 1024;

pub(crate) async fn wipe(session: Session, id: TenantId, yes: bool, dry_run: bool, rewrite: bool) -> Result<ExitCode> {
    let wired = session.open().await?;
    let (store, scope) = (wired.store.as_ref(), TenantScope::of_operator(id.clone()));
    let rows = store.tenant_rows(&scope).await?;
    let folders = folders(&session, &id);
    let files = count_files(&folders)?;
    let marked = store.wiped().await?.into_iter().find(|wiped| wiped.tenant == id);
    if rows.is_empty() && files.is_empty() && marked.is_none() {
        bail!("there is no tenant `{id}`, and no data of one");
    }
    if dry_run {
        return report(&session, &id, &rows, &files, None);
    }
    confirm(&format!("This removes tenant {id} with {} for good.", listed(&rows)), id.as_str(), yes)?;
    // The configuration first: without it, the server takes no more of this tenant's tickets in.
    remove(&session.data.tenants().join(id.as_str()).join("config.json"), |path| fs::remove_file(path))?;
    let act = operator::by().did(Action::TenantWipe, Some(&id));
    let act = act.with(Details { count: Some(rows.values().sum()), ..Details::default() });
    store.audited(act, store.begin_wipe(&scope)).await?;
    let (mut removed, bar) = (BTreeMap::new(), counter(session.global.quiet, "rows removed"));
    loop {
        let step = store.wipe_step(&scope).await?;
        if step.is_empty() {
            break;
        }
        for (kind, count) in step {
            bar.inc(count);
            *removed.entry(kind).or_default() += count;
        }
    }
    bar.finish_and_clear();
    for folder in folders.values() {
        remove(folder, |path| fs::remove_dir_all(path))?;
    }
    let may_rewrite = rewrite || !session.data.has_server() || store.size().await? <= REWRITE_BYTES;
    let rewritten = may_rewrite && store.scrub().await?;
    report(&session, &id, &removed, &files, Some(rewritten))
}

pub(crate) async fn readmit(session: Session, id: TenantId) -> Result<ExitCode> {
    let wired = session.open().await?;
    let unfinished = wired.store.wiped().await?.iter().any(|wiped| wiped.tenant == id && wiped.done_at.is_none());
    if unfinished {
        bail!("the wipe of tenant `{id}` did not come to its end; run `switchboard tenants wipe {id}` again first");
    }
    let act = operator::by().did(Action::TenantReadmit, Some(&id));
    if !wired.store.audited(act, wired.store.readmit(&TenantScope::of_operator(id.clone()))).await? {
        bail!("tenant `{id}` was not wiped");
    }
    if session.global.json {
        output::json(&json!({"readmitted": id}))?;
    } else {
        println!("A tenant `{id}` can be made again.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where files of the tenant lie, by what they are.
fn folders(session: &Session, id: &TenantId) -> BTreeMap<&'static str, PathBuf> {
    let data = &session.data;
    BTreeMap::from([
        ("configuration files", data.tenants().join(id.as_str())),
        ("model files", data.models().join("tenants").join(id.as_str())),
        ("secrets", data.secrets().join(id.as_str())),
    ])
}

fn count_files(folders: &BTreeMap<&'static str, PathBuf>) -> Result<BTreeMap<&'static str, u64>> {
    let mut counts = BTreeMap::new();
    for (what, folder) in folders {
        let count = files_in(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        if count > 0 {
            counts.insert(*what, count);
        }
    }
    Ok(counts)
}

fn files_in(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut count = 0;
    for entry in entries {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { files_in(&entry.path())? } else { 1 };
    }
    Ok(count)
}

fn remove(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<()> {
    match how(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be removed", path.display())),
    }
}

fn listed(counts: &BTreeMap<&'static str, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {}", what.replace('_', " "))).collect();
    if parts.is_empty() { "no rows".to_owned() } else { parts.join(", ") }
}

/// `rewritten` is `None` when nothing was done.
fn report(
    session: &Session,
    id: &TenantId,
    rows: &BTreeMap<&'static str, u64>,
    files: &BTreeMap<&'static str, u64>,
    rewritten: Option<bool>,
) -> Result<ExitCode> {
    if session.global.json {
        output::json(&json!({
            "tenant": id, "removed": rewritten.is_some(), "rows": rows, "files": files, "rewritten": rewritten,
        }))?;
    } else {
        let verb = if rewritten.is_some() { "removed" } else { "would remove" };
        println!("tenant {id}: {verb} {}", listed(rows));
        if !files.is_empty() {
            println!("and {}", listed(files));
        }
        match rewritten {
            Some(true) => println!("The database was rewritten: no byte of it is left in its files."),
            Some(false) => {
                println!(
                    "Traces may be left in unused parts of the database and in its log: run this again when no server"
                );
                println!("works on the data folder, or with --rewrite.");
            }
            None => {}
        }
        if rewritten.is_some() {
            println!("Backups and exports keep what they have. Nothing can be stored for `{id}` any more;");
            println!(
                "`switchboard tenants readmit {id}` allows it again. A running server forgets its model at its next start."
            );
        }
    }
    Ok(if rewritten == Some(false) { ExitCode::from(IN_PART) } else { ExitCode::SUCCESS })
}
