use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use switchboard_core::{
    access::audit::{Action, Details, Label, Outcome},
    app::App,
    ids::TenantId,
    ports::{Added, Example, ExampleStore, TenantScope},
    tenants::Tenant,
};
use tokio::sync::mpsc;

use super::{IN_PART, Session, backup::is_standard, tenant_data};
use crate::{
    args::{HistoryColumns, HistoryFormat},
    history::{self, Labels},
    operator, output,
};

/// Examples of one write.
const AT_ONCE: usize = 500;

pub(super) async fn import(
    session: Session,
    file: PathBuf,
    format: Option<HistoryFormat>,
    columns: HistoryColumns,
    resume: bool,
) -> Result<ExitCode> {
    let mut opened = open(&session, &file).await?;
    let format = match (format, tenant_data::is_export(&mut opened)?) {
        (None, true) => return tenant_data::import(session, opened, &file, resume).await,
        (Some(_), true) => bail!("{} is an export of a tenant; import it without --from", file.display()),
        (None, false) => bail!(
            "{} is no export of a tenant; if it has labelled tickets, say what wrote them by --from",
            file.display()
        ),
        (Some(format), false) => format,
    };
    let wired = session.open().await?;
    let id = session.tenant(wired.app.tenants.as_ref()).await?;
    let tenant = wired.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    let scope = TenantScope::of_tenant(&tenant);
    let (send, mut batches) = mpsc::channel::<Vec<Example>>(4);
    let file_name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let (now, quiet) = (wired.app.clock.now(), session.global.quiet);
    // Checked before anything is read.
    Labels::new(&tenant, &columns.map)?;
    let reading = tokio::task::spawn_blocking(move || read(&tenant, file, format, &columns, quiet, now, send));
    let (mut added, mut stored) = (Added::default(), anyhow::Ok(()));
    while let Some(batch) = batches.recv().await {
        match wired.store.add(&scope, batch).await {
            Ok(more) => {
                added.new += more.new;
                added.replaced += more.replaced;
                added.kept += more.kept;
            }
            Err(error) => {
                stored = Err(error.into());
                break;
            }
        }
    }
    drop(batches);
    let read = reading.await.context("reading died").and_then(|read| read);
    let read = stored.and(read);
    note(&wired.app, &id, file_name.as_deref(), &added, read.is_ok()).await?;
    let (report, left_out) = read?;
    if session.global.json {
        output::json(&json!({
            "tenant": id, "file": report, "new": added.new, "replaced": added.replaced,
            "kept_review": added.kept, "unknown_label": left_out,
        }))?;
    } else {
        println!(
            "{} rows read: {} new examples, {} replaced, {} left as a review says.",
            report.rows, added.new, added.replaced, added.kept
        );
        println!("A running server learns from them by itself; `switchboard train --tenant {id}` does so now.");
    }
    let is_whole = left_out == 0 && report.skipped.is_empty();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

/// The file; standard input as a copy, since it is read more than once.
async fn open(session: &Session, file: &Path) -> Result<File> {
    if !is_standard(file) {
        return File::open(file).with_context(|| format!("{} cannot be read", file.display()));
    }
    session.open().await?;
    let mut copy = tempfile::tempfile_in(session.data.root()).context("standard input cannot be copied")?;
    io::copy(&mut io::stdin().lock(), &mut copy).context("standard input cannot be read")?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}

/// Batches were stored as they were read, so the entry says how many came in, also when the file broke off.
async fn note(app: &App, tenant: &TenantId, file: Option<&str>, added: &Added, is_done: bool) -> Result<()> {
    let count = Some(added.new + added.replaced);
    let details = Details { count, source: file.map(Label::new), ..Details::default() };
    let outcome = if is_done { Outcome::Done } else { Outcome::Failed };
    let act = operator::by().did(Action::HistoryImport, Some(tenant)).with(details).came_to(outcome);
    app.audit.append(act).await?;
    Ok(())
}

type Read = (switchboard_knowledge::dataset::ReadReport, u64);

fn read(
    tenant: &Tenant,
    file: PathBuf,
    format: HistoryFormat,
    columns: &HistoryColumns,
    quiet: bool,
    now: switchboard_core::time::Timestamp,
    send: mpsc::Sender<Vec<Example>>,
) -> Result<Read> {
    let mut labels = Labels::new(tenant, &columns.map)?;
    let mut batch = Vec::with_capacity(AT_ONCE);
    let mut is_gone = false;
    let report = history::read(&file, format, columns, quiet, &mut |row| {
        if let Some(example) = labels.example(row, now) {
            batch.push(example);
        }
        if batch.len() >= AT_ONCE {
            is_gone |= send.blocking_send(std::mem::take(&mut batch)).is_err();
        }
    })?;
    if is_gone || (!batch.is_empty() && send.blocking_send(batch).is_err()) {
        return Err(anyhow!("the examples could not be stored"));
    }
    history::tell_left_out(&report, &labels);
    Ok((report, labels.unknown.values().sum()))
}
