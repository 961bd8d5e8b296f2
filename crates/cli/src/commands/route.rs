use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use switchboard_core::{
    json, learning,
    ports::TicketFile,
    tenants::Tenant,
    tickets::{
        Decision, SyncState, Ticket,
        draft::{Envelope, TicketDraft},
        route,
    },
};
use switchboard_local::Role;

use super::{IN_PART, Session};
use crate::{data::DataFolder, demo, output, wire};

pub(super) async fn route(mut session: Session, file: &Path) -> Result<ExitCode> {
    let text = read(file)?;
    // Spreadsheets and some editors put a byte order mark before the text.
    let rows = rows(file, text.strip_prefix('\u{feff}').unwrap_or(&text))?;
    // Without data, the demo tenant routes, from a folder that goes away again.
    let temporary = tempfile::tempdir().context("no temporary folder")?;
    let is_demo = session.data.is_new();
    let wired = if is_demo {
        session.data = DataFolder::find(Some(temporary.path()))?;
        session.data.create()?;
        let wired = wire::wire(&session.data, &session.settings, Role::Tool).await?;
        demo::install(&session.data.tenants(), wired.store.as_ref(), wired.app.clock.now()).await?;
        wired
    } else {
        session.wire().await?
    };
    let id = session.tenant(wired.app.tenants.as_ref()).await?;
    let tenant = wired.app.tenants.tenant(&id).await?.with_context(|| format!("tenant `{id}` has gone"))?;
    if let Some(embedder) = wired.embedding.open()? {
        wired.classifier.with_embeddings(embedder);
    }
    if is_demo {
        super::train::run(&session, &wired.app, Arc::clone(&tenant), learning::Options::default()).await?;
    }
    if let Err(error) = learning::refresh(&wired.app, &tenant).await {
        eprintln!("{}", error.report());
    }
    let progress = progress(&session, rows.len());
    let (mut refused, mut shown) = (0, Vec::new());
    for (place, row) in rows {
        let ticket = row.and_then(|row| ticket(&wired.app, &tenant, row, place));
        progress.inc(1);
        match ticket {
            Ok(ticket) => {
                let decision = route::route(&wired.app, &tenant, &ticket).await;
                if session.global.json {
                    progress.suspend(|| output::json_line(&decision))?;
                } else {
                    shown.push((ticket, decision));
                }
            }
            Err(mistakes) => {
                refused += 1;
                progress.suspend(|| eprintln!("row {place}: {}", output::printable(&mistakes)));
            }
        }
    }
    progress.finish_and_clear();
    if !session.global.json {
        show(shown);
    }
    if refused > 0 {
        eprintln!("{refused} rows were refused");
        return Ok(ExitCode::from(IN_PART));
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("standard input cannot be read as UTF-8")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| format!("{} cannot be read as UTF-8", file.display()))
}

type Row = std::result::Result<Map<String, Value>, String>;

/// The rows with their numbers, from 1: a whole JSON document, one JSON object a line, or CSV with a header.
fn rows(file: &Path, text: &str) -> Result<Vec<(usize, Row)>> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let first = text.trim_start().chars().next();
    match (extension.as_str(), first) {
        (_, None) => bail!("{} is empty", file.display()),
        ("csv", _) | (_, Some('A'..='Z' | 'a'..='z' | '"')) => csv_rows(text),
        (_, Some('{' | '[')) => Ok(json_rows(text)),
        _ => bail!("{} is neither JSON, JSONL nor CSV with a header", file.display()),
    }
}

fn json_rows(text: &str) -> Vec<(usize, Row)> {
    let row = |value: Value| match value {
        Value::Object(row) => Ok(row),
        _ => Err("must be a JSON object".to_owned()),
    };
    match serde_json::from_str(text) {
        Ok(Value::Array(values)) => values.into_iter().map(row).enumerate().map(|(n, row)| (n + 1, row)).collect(),
        Ok(value) => vec![(1, row(value))],
        Err(_) => text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(n, line)| (n + 1, serde_json::from_str(line).map_err(|error| error.to_string()).and_then(row)))
            .collect(),
    }
}

fn csv_rows(text: &str) -> Result<Vec<(usize, Row)>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let headers = reader.headers().context("the CSV header cannot be read")?.clone();
    let row = |record: csv::Result<csv::StringRecord>| -> Row {
        let record = record.map_err(|error| error.to_string())?;
        let cells = headers.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        Ok(cells.map(|(name, cell)| (name.to_owned(), Value::String(cell.to_owned()))).collect())
    };
    Ok(reader.records().enumerate().map(|(n, record)| (n + 1, row(record))).collect())
}

/// A row that names no ticket or customer still routes: nothing is stored under these names.
fn ticket(
    app: &switchboard_core::app::App,
    tenant: &Tenant,
    mut row: Map<String, Value>,
    place: usize,
) -> std::result::Result<Ticket, String> {
    row.entry("ticket_id").or_insert_with(|| format!("row-{place}").into());
    row.entry("customer_id").or_insert_with(|| "unknown".into());
    let draft: TicketDraft =
        json::parse(Value::Object(row).to_string().as_bytes()).map_err(|error| error.to_string())?;
    let envelope = Envelope {
        tenant: &tenant.id,
        accepted_at: app.clock.now(),
        correlation_id: app.correlation_id(),
        idempotency_key: None,
    };
    draft.validate(envelope).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

fn progress(session: &Session, rows: usize) -> ProgressBar {
    if session.global.quiet || rows < 2 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tickets, {per_sec}, {eta} left");
    ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(mut shown: Vec<(Ticket, Decision)>) {
    if shown.len() == 1
        && let Some((ticket, decision)) = shown.pop()
    {
        super::tickets::print_file(TicketFile {
            ticket,
            decision: Some(decision),
            review: None,
            sync: SyncState::pending(),
            sync_of: None,
        });
        return;
    }
    let rows = shown.into_iter().map(|(_, decision)| {
        vec![
            decision.ticket_id.to_string(),
            decision.assigned_team.to_string(),
            format!("{} ({})", decision.priority_level, decision.priority_score),
            decision.issue_classification.primary_category.to_string(),
            format!("{:.0} %", decision.confidence_score * 100.0),
            decision.review_reasons.join("; "),
        ]
    });
    output::table(&["ticket", "team", "priority", "category", "sure", "review"], rows.collect(), "no tickets");
}
