//! From cells to rows: what is usable, and why the rest is not.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};
use switchboard_core::limits::READ_CHARS;

use super::{Columns, DatasetError, LABEL_CHARS, REMEMBERED_LINES, ReadOptions, ReadReport, Row, Skipped};

/// JSON objects that are looked at for the names of their members: an optional one may be missing in the first.
const NAMED_BY: usize = 50;
/// Lines of one CSV row that are worth a word.
const MANY_LINES: u64 = 1_000;

pub(super) const NO_TEXT: &str = "no text";
pub(super) const NO_LABEL: &str = "no label";
pub(super) const LONG_LABEL: &str = "a label of more than 200 characters";
pub(super) const FIELD_COUNT: &str = "another number of fields than the header";
pub(super) const BROKEN_JSON: &str = "broken JSON";
pub(super) const NO_OBJECT: &str = "not a JSON object";
pub(super) const NO_WORDS: &str = "a label that is neither text, number nor yes or no";
pub(super) const LONG_ROW: &str = "longer than 8 MB";

pub(super) struct Rows<'a> {
    options: &'a ReadOptions<'a>,
    take: &'a mut dyn FnMut(Row),
    columns: Option<Columns>,
    /// Objects that wait until the columns are known.
    waiting: Vec<(u64, Map<String, Value>)>,
    found: u64,
    usable: u64,
    skipped: BTreeMap<&'static str, Skipped>,
    /// Rows that are not UTF-8, that have several labels, whose text was cut, that span many lines.
    odd: [(u64, u64); 4],
    notes: Vec<String>,
}

#[derive(Clone, Copy)]
pub(super) enum Odd {
    NotUtf8,
    ManyLabels,
    Cut,
    ManyLines,
}

/// A cell of the label.
pub(super) enum Label<'a> {
    Missing,
    Words(Cow<'a, str>),
    Other,
}

impl<'a> Rows<'a> {
    pub(super) fn new(options: &'a ReadOptions<'a>, take: &'a mut dyn FnMut(Row)) -> Self {
        Self {
            options,
            take,
            columns: None,
            waiting: Vec::new(),
            found: 0,
            usable: 0,
            skipped: BTreeMap::new(),
            odd: [(0, 0); 4],
            notes: Vec::new(),
        }
    }

    /// Finds the columns among those of a table's header.
    pub(super) fn header(&mut self, names: &[String]) -> Result<Columns, DatasetError> {
        let columns = Columns::find(names, self.options)?;
        self.columns = Some(columns.clone());
        Ok(columns)
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(super) fn odd(&mut self, what: Odd, line: u64) {
        if let Some((rows, first)) = self.odd.get_mut(what as usize) {
            *rows += 1;
            if *rows == 1 {
                *first = line;
            }
        }
    }

    pub(super) fn spans(&mut self, line: u64, lines: u64) {
        if lines >= MANY_LINES {
            self.odd(Odd::ManyLines, line);
        }
    }

    pub(super) fn skip(&mut self, reason: &'static str, line: u64) {
        self.found += 1;
        let skipped = self.skipped.entry(reason).or_insert(Skipped { reason, rows: 0, lines: Vec::new() });
        skipped.rows += 1;
        if skipped.lines.len() < REMEMBERED_LINES {
            skipped.lines.push(line);
        }
    }

    /// Takes the cells of a row: the parts of its text, its label, its date.
    pub(super) fn cells<'c>(
        &mut self,
        line: u64,
        parts: impl Iterator<Item = Cow<'c, str>>,
        label: Label<'_>,
        date: Option<Cow<'_, str>>,
    ) {
        let mut text = String::new();
        let mut chars = 0;
        for part in parts {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push_str("\n\n");
                chars += 2;
            }
            // Cut here already: the rest may be megabytes.
            let end = part.char_indices().nth(READ_CHARS.saturating_sub(chars)).map(|(at, _)| at);
            text.push_str(part.get(..end.unwrap_or(part.len())).unwrap_or_default());
            if end.is_some() {
                self.odd(Odd::Cut, line);
                break;
            }
            chars += part.chars().count();
        }
        let label = match label {
            Label::Missing => return self.skip(NO_LABEL, line),
            Label::Other => return self.skip(NO_WORDS, line),
            Label::Words(words) => words.trim().to_owned(),
        };
        if label.is_empty() {
            return self.skip(NO_LABEL, line);
        }
        if label.chars().count() > LABEL_CHARS {
            return self.skip(LONG_LABEL, line);
        }
        if text.is_empty() {
            return self.skip(NO_TEXT, line);
        }
        self.found += 1;
        self.usable += 1;
        let date = date.map(|date| date.trim().to_owned()).filter(|date| !date.is_empty());
        (self.take)(Row { text, label, line, date });
    }

    /// Takes a JSON value as a row.
    pub(super) fn value(&mut self, line: u64, value: Value) -> Result<(), DatasetError> {
        let Value::Object(object) = value else {
            self.skip(NO_OBJECT, line);
            return Ok(());
        };
        if self.columns.is_some() {
            self.object(line, &object);
            return Ok(());
        }
        self.waiting.push((line, object));
        if self.waiting.len() >= NAMED_BY { self.settle() } else { Ok(()) }
    }

    /// Finds the columns among the members of the objects that wait, and takes these.
    fn settle(&mut self) -> Result<(), DatasetError> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let mut names: Vec<String> = Vec::new();
        for name in waiting.iter().flat_map(|(_, object)| object.keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        self.header(&names)?;
        for (line, object) in &waiting {
            self.object(*line, object);
        }
        Ok(())
    }

    fn object(&mut self, line: u64, object: &Map<String, Value>) {
        let Some(columns) = self.columns.take() else { return };
        let parts = columns.text.iter().filter_map(|name| object.get(name).and_then(words));
        let label = match object.get(&columns.label) {
            None | Some(Value::Null) => Label::Missing,
            Some(Value::Array(all)) => {
                if all.len() > 1 {
                    self.odd(Odd::ManyLabels, line);
                }
                all.first().map_or(Label::Missing, |first| words(first).map_or(Label::Other, Label::Words))
            }
            Some(one) => words(one).map_or(Label::Other, Label::Words),
        };
        let date = columns.date.as_ref().and_then(|name| object.get(name)).and_then(words);
        self.cells(line, parts, label, date);
        self.columns = Some(columns);
    }

    pub(super) fn finish(mut self, format: String) -> Result<ReadReport, DatasetError> {
        self.settle()?;
        let mut skipped: Vec<Skipped> = self.skipped.into_values().collect();
        skipped.sort_by_key(|skipped| std::cmp::Reverse(skipped.rows));
        let (rows, usable) = (self.found, self.usable);
        if rows == 0 {
            return Err(DatasetError::Empty);
        }
        let columns = match self.columns {
            Some(columns) if usable > 0 => columns,
            _ => return Err(DatasetError::NothingUsable { rows, skipped }),
        };
        let what = [
            "rows that are not UTF-8, read as Windows-1252 or with replacement characters",
            "rows with several labels, of which the first one counts",
            "rows longer than 20,000 characters, whose rest was cut off",
            "rows of more than 1,000 lines, where a quotation mark may be missing",
        ];
        for ((rows, first), what) in self.odd.into_iter().zip(what) {
            if rows > 0 {
                self.notes.push(format!("{what}: {rows} (first at line {first})"));
            }
        }
        Ok(ReadReport { format, columns, rows, usable, skipped, notes: self.notes })
    }
}

/// A JSON value in words; numbers, yes and no are words too.
fn words(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(yes) => Some(Cow::Owned(yes.to_string())),
        _ => None,
    }
}
