use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use rusqlite::{Connection, Row};
use serde_json::json;
use sha2::{Digest, Sha256};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
};

use super::{END, EXPORT_FORMAT, EXPORT_VERSION, End, ExportHeader, FILE, TenantFile, hex};
use crate::{
    backup::open_snapshot,
    db::{corrupt, explain},
    tables::{Column, Exported, TABLES, Table},
};

/// Writes everything of a tenant that is history to `to`, as it is at one moment, while others go on writing; says how many
/// lines of each kind. One row is in memory at a time. `progress` is told the number of lines now and then.
pub fn export(
    database: &Path,
    tenant: &TenantId,
    files: &[TenantFile],
    to: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<BTreeMap<String, u64>> {
    let connection = open_snapshot(database)?;
    let mut out = Lines { to, hash: Sha256::new(), written: BTreeMap::new(), total: 0, progress };
    let header = ExportHeader { format: EXPORT_FORMAT.to_owned(), version: EXPORT_VERSION, tenant: tenant.clone() };
    out.line(&to_line(&header)?)?;
    for file in files {
        out.row(FILE, &json!({"kind": FILE, "path": file.path, "text": file.text}).to_string())?;
    }
    for table in TABLES {
        if let Some(exported) = &table.exported {
            rows(&connection, tenant, table, exported, &mut out)?;
        }
    }
    out.end()
}

struct Lines<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
    written: BTreeMap<String, u64>,
    total: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Lines<'_> {
    fn line(&mut self, line: &str) -> Result<()> {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.raw(line)
    }

    fn row(&mut self, kind: &str, line: &str) -> Result<()> {
        match self.written.get_mut(kind) {
            Some(count) => *count += 1,
            None => {
                self.written.insert(kind.to_owned(), 1);
            }
        }
        self.total += 1;
        if self.total.is_multiple_of(1_000) {
            (self.progress)(self.total);
        }
        self.line(line)
    }

    fn end(mut self) -> Result<BTreeMap<String, u64>> {
        let sha256 = hex(std::mem::take(&mut self.hash));
        let end = End { kind: END.to_owned(), lines: self.written.clone(), sha256 };
        self.raw(&to_line(&end)?)?;
        self.to.flush().map_err(unwritable)?;
        Ok(self.written)
    }

    fn raw(&mut self, line: &str) -> Result<()> {
        self.to.write_all(line.as_bytes()).and_then(|()| self.to.write_all(b"\n")).map_err(unwritable)
    }
}

fn unwritable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the export cannot be written").caused_by(error)
}

fn to_line(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "a line cannot be written as JSON").caused_by(error))
}

fn rows(
    connection: &Connection,
    tenant: &TenantId,
    table: &Table,
    exported: &Exported,
    out: &mut Lines<'_>,
) -> Result<()> {
    let mut columns: Vec<(String, &Column)> =
        exported.columns.iter().map(|column| (format!("t.{}", column.name), column)).collect();
    let mut joins = String::new();
    for (n, child) in table.children.iter().enumerate() {
        joins += &format!(" LEFT JOIN {} c{n} ON c{n}.ticket = t.id", child.name);
        columns.extend(child.columns.iter().map(|column| (format!("c{n}.{}", column.name), column)));
    }
    let selected: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    // The `+` keeps the order of the table: by an index of the tenant, everything would have to be sorted first.
    let plus = if exported.by_index { "" } else { "+" };
    let sql = format!(
        "SELECT {} FROM {} t{joins} WHERE {plus}t.tenant = ?1 ORDER BY t.{}",
        selected.join(", "),
        table.name,
        table.order
    );
    let mut statement = connection.prepare(&sql).map_err(explain)?;
    let mut rows = statement.query([tenant.as_str()]).map_err(explain)?;
    let mut line = String::new();
    while let Some(row) = rows.next().map_err(explain)? {
        write_line(&mut line, table.kind, &columns, row).map_err(explain)?;
        out.row(table.kind, &line)?;
    }
    Ok(())
}

fn write_line(
    line: &mut String,
    kind: &'static str,
    columns: &[(String, &Column)],
    row: &Row<'_>,
) -> rusqlite::Result<()> {
    line.clear();
    line.push_str("{\"kind\":\"");
    line.push_str(kind);
    line.push('"');
    for (n, (_, column)) in columns.iter().enumerate() {
        let value = row.get_ref(n)?;
        if value == rusqlite::types::ValueRef::Null {
            continue;
        }
        line.push_str(",\"");
        line.push_str(column.field);
        line.push_str("\":");
        line.push_str(&column.form.to_json(value).map_err(|error| corrupt(kind, Unreadable(error)))?);
    }
    line.push('}');
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreadable(Box<dyn std::error::Error + Send + Sync>);
