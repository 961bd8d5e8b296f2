//! CSV, JSON lines and JSON arrays, one row at a time.

use std::{
    cell::Cell,
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use encoding_rs::{UTF_8, WINDOWS_1252};
use serde::{Deserializer, de};
use serde_json::Value;

use super::{
    DatasetError, ROW_BYTES,
    encoding::{Opened, decoded, transcoded},
    rows::{BROKEN_JSON, FIELD_COUNT, LONG_ROW, Label, Odd, Rows},
};

/// Delimiters that exports use.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// Gives the rows of `opened` to `rows`, and the name of the format.
pub(super) fn read(opened: Opened<'_>, rows: &mut Rows<'_>) -> Result<String, DatasetError> {
    let text = opened.head.trim_ascii_start();
    match text.split_first() {
        Some((b'[', rest)) if matches!(rest.trim_ascii_start().first(), None | Some(b'{' | b'[' | b']')) => {
            array(opened, rows)?;
            Ok("JSON array".to_owned())
        }
        Some((b'{', rest)) => {
            // An object over several lines is not one of many lines.
            let first_line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let is_whole = first_line.len() < rest.len() || serde_json::from_slice::<Value>(text).is_ok();
            if is_whole && first_line.trim_ascii().is_empty() {
                return Err(DatasetError::OneObject);
            }
            lines(opened.source, rows)?;
            Ok("JSON lines".to_owned())
        }
        _ => table(opened, rows),
    }
}

fn table(opened: Opened<'_>, rows: &mut Rows<'_>) -> Result<String, DatasetError> {
    let mut source = opened.source;
    let first_line = opened.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // Excel's way to tell the delimiter.
    let told = first_line.strip_prefix(b"sep=").and_then(|rest| rest.first().copied());
    let delimiter = match told {
        Some(told) => {
            source.skip_until(b'\n')?;
            told
        }
        None => delimiter(&opened.head),
    };
    // The parser takes up the second half of CR LF with the next row, and counts from below the line that told the delimiter.
    let ahead = u64::from(first_line.ends_with(b"\r")) + u64::from(told.is_some());
    let (left, lines) = (Cell::new(ROW_BYTES), Cell::new(1));
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(Bounded {
        source,
        left: &left,
        lines: &lines,
    });
    let names: Vec<String> = reader
        .byte_headers()
        .map_err(|error| table_error(error, 1))?
        .iter()
        .map(|name| decoded(name).0.trim().to_owned())
        .collect();
    let columns = rows.header(&names)?;
    // invariant: the columns were found among the names.
    let place = |name: &String| names.iter().position(|one| one == name).unwrap_or(usize::MAX);
    let text: Vec<usize> = columns.text.iter().map(place).collect();
    let (label, date) = (place(&columns.label), columns.date.as_ref().map(place));
    let mut record = csv::ByteRecord::new();
    loop {
        left.set(ROW_BYTES);
        let begins = reader.position().line();
        if !reader.read_byte_record(&mut record).map_err(|error| table_error(error, begins))? {
            break;
        }
        let line = record.position().map_or(begins, csv::Position::line);
        rows.spans(line, reader.position().line().saturating_sub(line));
        let line = line + ahead;
        if record.len() != names.len() {
            rows.skip(FIELD_COUNT, line);
            continue;
        }
        let all_utf8 = Cell::new(true);
        let cell = |at: usize| {
            let (text, is_utf8) = decoded(record.get(at).unwrap_or_default());
            all_utf8.set(all_utf8.get() && is_utf8);
            text
        };
        let words = cell(label);
        let date = date.map(cell);
        let parts: Vec<_> = text.iter().map(|at| cell(*at)).collect();
        if !all_utf8.get() {
            rows.odd(Odd::NotUtf8, line);
        }
        rows.cells(line, parts.into_iter(), Label::Words(words), date);
    }
    Ok(match delimiter {
        b'\t' => "CSV with tabs".to_owned(),
        other => format!("CSV with {}", char::from(other)),
    })
}

/// The delimiter that the header has most of, outside quotation marks.
fn delimiter(head: &[u8]) -> u8 {
    let mut counts = [0usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in head.trim_ascii_start() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => counts.iter_mut().zip(DELIMITERS).filter(|(_, one)| one == byte).for_each(|(count, _)| *count += 1),
        }
    }
    // Of equals, the first: `max_by_key` would take the last.
    let most = counts.iter().zip(DELIMITERS).rev().max_by_key(|(count, _)| **count);
    most.map_or(b',', |(_, delimiter)| delimiter)
}

fn table_error(error: csv::Error, line: u64) -> DatasetError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => DatasetError::RowTooLong { line },
        csv::ErrorKind::Io(error) => DatasetError::Io(error),
        other => DatasetError::Io(io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}"))),
    }
}

fn lines(mut source: impl BufRead, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if source.by_ref().take(ROW_BYTES).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        if bytes.len() as u64 == ROW_BYTES && !bytes.ends_with(b"\n") {
            source.skip_until(b'\n')?;
            rows.skip(LONG_ROW, line);
            continue;
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let (text, is_utf8) = decoded(&bytes);
        if !is_utf8 {
            rows.odd(Odd::NotUtf8, line);
        }
        match serde_json::from_str(&text) {
            Ok(value) => rows.value(line, value)?,
            Err(_) => rows.skip(BROKEN_JSON, line),
        }
    }
    Ok(())
}

fn array(opened: Opened<'_>, rows: &mut Rows<'_>) -> Result<(), DatasetError> {
    // The parser takes nothing but UTF-8, so the encoding is decided once, from the beginning.
    let is_utf8 = match std::str::from_utf8(&opened.head) {
        Ok(_) => true,
        // The beginning may end within a character.
        Err(error) => error.error_len().is_none(),
    };
    if !is_utf8 {
        rows.note("it is not UTF-8 and was read as Windows-1252".to_owned());
    }
    let source = transcoded(opened.source, if is_utf8 { UTF_8 } else { WINDOWS_1252 });
    let (left, lines) = (Cell::new(ROW_BYTES), Cell::new(1));
    // The parser asks for single bytes, so that the count of the lines is exact.
    let bounded = Bounded { source: BufReader::new(source), left: &left, lines: &lines };
    let mut failed = None;
    let visitor = Elements { rows: &mut *rows, left: &left, lines: &lines, failed: &mut failed };
    let done = serde_json::Deserializer::from_reader(bounded).deserialize_seq(visitor);
    if let Some(error) = failed {
        return Err(error);
    }
    match done {
        Ok(()) => Ok(()),
        Err(error) if error.io_error_kind() == Some(io::ErrorKind::FileTooLarge) => {
            Err(DatasetError::RowTooLong { line: lines.get() })
        }
        Err(error) if error.is_io() => Err(DatasetError::Io(error.into())),
        Err(_) => {
            rows.skip(BROKEN_JSON, lines.get());
            rows.note(format!("the JSON array breaks at line {}; what follows was not read", lines.get()));
            Ok(())
        }
    }
}

struct Elements<'a, 'r> {
    rows: &'a mut Rows<'r>,
    left: &'a Cell<u64>,
    lines: &'a Cell<u64>,
    failed: &'a mut Option<DatasetError>,
}

impl<'de> de::Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON array")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        loop {
            self.left.set(ROW_BYTES);
            let Some(value) = elements.next_element::<Value>()? else { return Ok(()) };
            if let Err(error) = self.rows.value(self.lines.get(), value) {
                let said = de::Error::custom(&error);
                *self.failed = Some(error);
                return Err(said);
            }
        }
    }
}

/// Refuses to go on when one row takes more than its share, and counts lines.
struct Bounded<'a, R> {
    source: R,
    left: &'a Cell<u64>,
    lines: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let n = self.source.read(into)?;
        self.left.set(self.left.get().saturating_sub(n as u64));
        let breaks = into.get(..n).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        self.lines.set(self.lines.get() + breaks as u64);
        Ok(n)
    }
}
