use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read},
};

use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};
use sha2::{Digest, Sha256};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::{EventId, TenantId},
    limits,
    ports::TenantScope,
    tickets::SyncStatus,
};
use ulid::Ulid;

use super::{END, EXPORT_FORMAT, EXPORT_VERSION, End, ExportHeader, FILE, TenantFile, hex};
use crate::{
    db::explain,
    store::{SqliteStore, rows::code},
    tables::{Column, Fields, Form, TABLES, Table},
};

/// One row of an export, checked.
pub struct ImportRow {
    line: u64,
    table: &'static Table,
    values: Vec<Value>,
    children: Vec<Option<Vec<Value>>>,
}

/// What the next line of an export is.
pub enum ReadExport {
    /// A file of the configuration.
    File(TenantFile),
    /// A row.
    Row(Box<ImportRow>),
    /// The last line: everything before it was as it was written, and here is how many lines there were of each kind.
    End(BTreeMap<String, u64>),
}

/// How an import goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// The tenant has another id here: events get ids of their own, made from both, for they are unique over all tenants.
    pub renamed: bool,
}

/// What became of the rows of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows that were not there before, by kind.
    pub new: BTreeMap<&'static str, u64>,
    /// Rows that were there already and stay as they are, by kind.
    pub there: BTreeMap<&'static str, u64>,
    /// Unfinished tickets that came in held: nobody works on them.
    pub held: u64,
}

impl Imported {
    /// Adds what another part came to.
    pub fn add(&mut self, other: &Self) {
        for (all, more) in [(&mut self.new, &other.new), (&mut self.there, &other.there)] {
            for (kind, count) in more {
                *all.entry(kind).or_default() += count;
            }
        }
        self.held += other.held;
    }
}

/// Reads an export line by line and refuses everything that none can have: one that is cut off, changed, or newer.
pub struct ExportReader<R> {
    from: R,
    header: ExportHeader,
    line: Vec<u8>,
    number: u64,
    hash: Sha256,
    read: BTreeMap<String, u64>,
}

impl<R: BufRead> ExportReader<R> {
    /// Reads the first line. `None` when it is no header of an export: the file is something else.
    pub fn open(from: R) -> Result<Option<Self>> {
        // Enough for any header: what else a file begins with is not read whole.
        const HEADER_BYTES: usize = 1_000;
        let header = ExportHeader {
            format: String::new(),
            version: 0,
            // invariant: a letter is an id
            tenant: "x".parse().map_err(|_| refused(1, "no tenant"))?,
        };
        let (hash, read) = (Sha256::new(), BTreeMap::new());
        let mut reader = Self { from, header, line: Vec::new(), number: 0, hash, read };
        if !reader.next_line(HEADER_BYTES)? {
            return Ok(None);
        }
        let Ok(known) = serde_json::from_slice::<serde_json::Value>(&reader.line) else { return Ok(None) };
        if known.get("format").and_then(serde_json::Value::as_str) != Some(EXPORT_FORMAT) {
            return Ok(None);
        }
        reader.header = serde_json::from_value(known).map_err(|error| refused(1, error.to_string()))?;
        if reader.header.version > EXPORT_VERSION {
            let found = reader.header.version;
            let message = format!(
                "the export has format version {found}, this program reads up to {EXPORT_VERSION}: use a newer program"
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        reader.take_line();
        Ok(Some(reader))
    }

    /// The first line.
    pub fn header(&self) -> &ExportHeader {
        &self.header
    }

    /// The next line, checked.
    pub fn next_part(&mut self) -> Result<ReadExport> {
        if !self.next_line(limits::EXPORT_LINE_BYTES)? {
            return Err(refused(self.number, "the file is cut off: its last line is missing"));
        }
        let number = self.number;
        let mut fields: Fields =
            serde_json::from_slice(&self.line).map_err(|error| refused(number, error.to_string()))?;
        let kind: String = fields
            .remove("kind")
            .and_then(|kind| serde_json::from_str(kind.get()).ok())
            .ok_or_else(|| refused(number, "`kind` is missing"))?;
        if kind == END {
            return self.end().map(ReadExport::End);
        }
        self.take_line();
        *self.read.entry(kind.clone()).or_default() += 1;
        if kind == FILE {
            let file = serde_json::from_slice(&self.line).map_err(|error| refused(number, error.to_string()))?;
            return Ok(ReadExport::File(file));
        }
        let known = TABLES.iter().find(|table| table.kind == kind && table.exported.is_some());
        let table = known.ok_or_else(|| refused(number, "`kind` is unknown: use a newer program"))?;
        let row = row(table, fields, number).map_err(|problem| refused(number, problem))?;
        Ok(ReadExport::Row(Box::new(row)))
    }

    fn end(&mut self) -> Result<BTreeMap<String, u64>> {
        let number = self.number;
        let end: End = serde_json::from_slice(&self.line).map_err(|error| refused(number, error.to_string()))?;
        if end.lines != self.read || end.sha256 != hex(std::mem::take(&mut self.hash)) {
            return Err(refused(number, "the file is not as it was written: its hash or its number of lines differs"));
        }
        if self.next_line(1)? {
            return Err(refused(self.number, "there is more after the last line"));
        }
        Ok(std::mem::take(&mut self.read))
    }

    /// Reads a line without its end; `false` when there is none. One without a line end is cut off, too.
    fn next_line(&mut self, limit: usize) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        let unreadable =
            |error: io::Error| Error::new(ErrorKind::Unavailable, "the file cannot be read").caused_by(error);
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut self.line).map_err(unreadable)?;
        if self.line.pop_if(|last| *last == b'\n').is_none() && read > limit && limit == limits::EXPORT_LINE_BYTES {
            return Err(refused(self.number, format!("is longer than {limit} bytes")));
        }
        Ok(read > 0)
    }

    fn take_line(&mut self) {
        self.hash.update(&self.line);
        self.hash.update(b"\n");
    }
}

fn refused(line: u64, problem: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("line {line}: {problem}"))
}

fn row(table: &'static Table, mut fields: Fields, line: u64) -> std::result::Result<ImportRow, String> {
    let exported = table.exported.as_ref().ok_or("is not imported")?;
    (exported.check)(&fields)?;
    let values = values(exported.columns, &mut fields)?;
    let mut children = Vec::with_capacity(table.children.len());
    for child in table.children {
        let is_there = child.columns.first().is_some_and(|column| fields.contains_key(column.field));
        children.push(if is_there { Some(self::values(child.columns, &mut fields)?) } else { None });
    }
    match fields.keys().next() {
        Some(unknown) => Err(format!("`{unknown}` is unknown: use a newer program")),
        None => Ok(ImportRow { line, table, values, children }),
    }
}

fn values(columns: &[Column], fields: &mut Fields) -> std::result::Result<Vec<Value>, String> {
    let value = |column: &Column| match fields.remove(column.field) {
        Some(raw) => column.form.to_sql(&raw).map_err(|problem| format!("`{}`: {problem}", column.field)),
        None if column.optional => Ok(Value::Null),
        None => Err(format!("`{}` is missing", column.field)),
    };
    columns.iter().map(value).collect()
}

impl SqliteStore {
    /// Stores rows of an export in one write; the caller bounds how many. What is there already stays as it is, and
    /// unfinished tickets are held: the rest of them, such as what has left the system, may be in a later write.
    pub async fn import(&self, scope: &TenantScope, rows: Vec<ImportRow>, options: ImportOptions) -> Result<Imported> {
        self.need_room()?;
        let tenant = scope.tenant().clone();
        self.db
            .writer
            .write(move |connection| {
                let mut imported = Imported::default();
                for row in &rows {
                    store(connection, &tenant, row, options, &mut imported)?;
                }
                Ok(imported)
            })
            .await
    }

    /// The tenant's held tickets are worked on from now on: the sweep finds them and queues their events. Only when all of
    /// the export is stored. Says how many they are.
    pub async fn resume(&self, scope: &TenantScope) -> Result<u64> {
        let tenant = scope.tenant().clone();
        let resume = move |connection: &Connection| {
            connection
                .execute("UPDATE tickets SET held = 0 WHERE tenant = ?1 AND held = 1", [tenant.as_str()])
                .map(|rows| rows as u64)
                .map_err(explain)
        };
        self.db.writer.write(resume).await
    }
}

fn store(
    connection: &Connection,
    tenant: &TenantId,
    row: &ImportRow,
    options: ImportOptions,
    imported: &mut Imported,
) -> Result<()> {
    let table = row.table;
    let columns = table.exported.as_ref().map_or(&[][..], |exported| exported.columns);
    let mut values = row.values.clone();
    if options.renamed {
        for (column, value) in columns.iter().zip(&mut values) {
            if matches!(column.form, Form::Event) {
                *value = renamed(tenant, value).ok_or_else(|| refused(row.line, "an event's id is none"))?.into();
            }
        }
    }
    let identity = columns.iter().position(|column| column.name == table.identity).and_then(|n| values.get(n).cloned());
    let inserted = insert(connection, table.name, ("tenant", tenant.as_str().to_owned().into()), columns, values)?;
    if !inserted {
        let known: Option<i64> = connection
            .prepare_cached(&format!("SELECT 1 FROM {} WHERE tenant = ?1 AND {} = ?2", table.name, table.identity))
            .and_then(|mut find| find.query_row(params![tenant.as_str(), identity], |row| row.get(0)).optional())
            .map_err(explain)?;
        if known.is_none() {
            let problem = format!("this {} clashes with another one that is here already", table.kind);
            return Err(Error::new(ErrorKind::Conflict, format!("line {}: {problem}", row.line)));
        }
        *imported.there.entry(table.kind).or_default() += 1;
        return Ok(());
    }
    *imported.new.entry(table.kind).or_default() += 1;
    let number = connection.last_insert_rowid();
    for (child, values) in table.children.iter().zip(&row.children) {
        if let Some(values) = values {
            insert(connection, child.name, ("ticket", number.into()), child.columns, values.clone())?;
        }
    }
    if !table.children.is_empty() {
        imported.held += hold(connection, number)?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    table: &str,
    owner: (&str, Value),
    columns: &[Column],
    values: Vec<Value>,
) -> Result<bool> {
    let names: Vec<&str> = std::iter::once(owner.0).chain(columns.iter().map(|column| column.name)).collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
    let sql =
        format!("INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT DO NOTHING", names.join(", "), places.join(", "));
    let values = std::iter::once(owner.1).chain(values);
    let inserted = connection.prepare_cached(&sql).and_then(|mut insert| insert.execute(params_from_iter(values)));
    inserted.map(|rows| rows > 0).map_err(explain)
}

fn hold(connection: &Connection, ticket: i64) -> Result<u64> {
    let pending = code(SyncStatus::ALL, &SyncStatus::Pending);
    connection
        .prepare_cached("UPDATE tickets SET held = 1 WHERE id = ?1 AND sync = ?2 AND dropped = 0")
        .and_then(|mut update| update.execute([ticket, pending]))
        .map(|rows| rows as u64)
        .map_err(explain)
}

/// The id of an event in a tenant of another name: the same time, the rest made from both, so that a repetition makes it again.
fn renamed(tenant: &TenantId, id: &Value) -> Option<String> {
    let Value::Text(id) = id else { return None };
    let time = Ulid::from_string(id).ok()?.timestamp_ms();
    let digest = Sha256::new().chain_update(tenant.as_str()).chain_update([0]).chain_update(id).finalize();
    let random = digest.iter().take(10).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    Some(EventId::from_ulid(Ulid::from_parts(time, random)).as_str().to_owned())
}
