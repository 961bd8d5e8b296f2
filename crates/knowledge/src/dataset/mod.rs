//! Labelled texts from files that other systems export: CSV, JSON lines, or a JSON array.
//!
//! Rows are streamed: one is in memory at a time, whatever the size of the file, and what is held of it is the caller's
//! choice ([`Reservoir`] holds a sample). Rows that cannot be used are counted with their reasons and never stop the reading.

mod columns;
mod encoding;
mod formats;
mod reservoir;
mod rows;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use serde::Serialize;

pub use columns::{Columns, Field};
pub use reservoir::Reservoir;

/// Bytes of one row: a longer one is a missing quotation mark or line break, not a ticket.
const ROW_BYTES: u64 = 8 * 1024 * 1024;
/// Characters of a label: longer ones are texts in the wrong column.
const LABEL_CHARS: usize = 200;
/// Line numbers that are remembered of each reason to leave rows out.
const REMEMBERED_LINES: usize = 5;

/// A labelled text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The text, at most [`switchboard_core::limits::READ_CHARS`] characters; subject and description with a blank line
    /// between them.
    pub text: String,
    /// The label, as it is written without blanks around it.
    pub label: String,
    /// The line of the file where the row begins, from 1.
    pub line: u64,
    /// The date, as it is written, where there is a column for it.
    pub date: Option<String>,
}

/// Which columns to read; what is left open is guessed from their names.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions<'a> {
    /// The columns of the text, joined by blank lines.
    pub text_columns: &'a [String],
    /// The column of the label.
    pub label_column: Option<&'a str>,
    /// The column of the date.
    pub date_column: Option<&'a str>,
}

/// Why a file as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The system cannot read it.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is no text.
    #[error("it is {what}, not text: {remedy}")]
    NotText {
        /// What it looks like.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// One JSON object is no list of rows.
    #[error("it is one JSON object; wanted is a JSON array of objects, or one object a line")]
    OneObject,
    /// A row has no end in sight.
    #[error(
        "the row that begins at line {line} is longer than {} MB: is a quotation mark missing there?",
        ROW_BYTES / 1024 / 1024
    )]
    RowTooLong {
        /// Where it begins.
        line: u64,
    },
    /// A column was named that is not there.
    #[error("there is no column `{name}` for the {field}; there are: {}", listed(.found))]
    NoSuchColumn {
        /// What it is wanted for.
        field: Field,
        /// The name that was given.
        name: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// No column's name says that it is the one.
    #[error("no column looks like the {field}; there are: {}", listed(.found))]
    NoColumn {
        /// What is wanted.
        field: Field,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// Several columns could be it.
    #[error("several columns could be the {field}: {}", listed(.found))]
    ManyColumns {
        /// What is wanted.
        field: Field,
        /// The columns that could be it.
        found: Vec<String>,
    },
    /// There are rows, and none can be used.
    #[error("none of its {rows} rows can be used: {}", reasons(.skipped))]
    NothingUsable {
        /// Rows found.
        rows: u64,
        /// Why they were left out.
        skipped: Vec<Skipped>,
    },
}

impl DatasetError {
    /// The column that the caller should name, where that would mend it.
    pub fn field(&self) -> Option<Field> {
        match self {
            Self::NoSuchColumn { field, .. } | Self::NoColumn { field, .. } | Self::ManyColumns { field, .. } => {
                Some(*field)
            }
            _ => None,
        }
    }
}

/// Rows that were left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub rows: u64,
    /// Where the first few begin.
    pub lines: Vec<u64>,
}

/// What was found in a file.
#[derive(Clone, Debug, Serialize)]
pub struct ReadReport {
    /// The format, such as `CSV with ;`.
    pub format: String,
    /// The columns that were read.
    pub columns: Columns,
    /// Rows found.
    pub rows: u64,
    /// Rows that could be used.
    pub usable: u64,
    /// Rows that could not.
    pub skipped: Vec<Skipped>,
    /// What else people should know.
    pub notes: Vec<String>,
}

/// Reads labelled texts from `source` and gives each usable row to `take`.
pub fn read(
    source: impl BufRead,
    options: &ReadOptions<'_>,
    take: &mut dyn FnMut(Row),
) -> Result<ReadReport, DatasetError> {
    let opened = encoding::open(source)?;
    let mut rows = rows::Rows::new(options, take);
    let format = formats::read(opened, &mut rows)?;
    rows.finish(format)
}

fn listed(names: &[String]) -> String {
    /// Names in one message.
    const MOST: usize = 40;
    let more = names.len().saturating_sub(MOST);
    let names: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match (names.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn reasons(skipped: &[Skipped]) -> String {
    let said = skipped.iter().map(|skipped| {
        let lines: Vec<String> = skipped.lines.iter().map(u64::to_string).collect();
        format!("{} ({}, first at line {})", skipped.reason, skipped.rows, lines.join(", "))
    });
    said.collect::<Vec<_>>().join("; ")
}
