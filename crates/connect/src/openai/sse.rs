//! Server-sent events (WHATWG HTML, 9.2), as far as answers of models use them: only `data`, and never more than a limit.

use std::collections::VecDeque;

use switchboard_core::untrusted::Untrusted;

/// Cuts pieces of a body into the data of events. Names, ids and comments say nothing here.
pub(super) struct EventReader {
    /// Bytes of a line, and of the data of an event.
    most: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
}

impl EventReader {
    /// A reader of events of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, line: Vec::new(), data: Vec::new(), has_data: false, after_cr: false, at_start: true }
    }

    /// Reads the next piece and adds the data of each event that it ends to `events`; `false` when one is too long.
    pub(super) fn read(&mut self, piece: &Untrusted<Vec<u8>>, events: &mut VecDeque<Untrusted<Vec<u8>>>) -> bool {
        piece.read_as(|bytes| self.read_bytes(bytes, events))
    }

    fn read_bytes(&mut self, mut bytes: &[u8], events: &mut VecDeque<Untrusted<Vec<u8>>>) -> bool {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + part.len() > self.most {
                return false;
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { return true };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if !self.end_line(events) {
                return false;
            }
        }
        true
    }

    fn end_line(&mut self, events: &mut VecDeque<Untrusted<Vec<u8>>>) -> bool {
        let mut line = self.line.as_slice();
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                events.push_back(Untrusted::new(std::mem::take(&mut self.data)));
            }
        } else if let Some(value) = line.strip_prefix(b"data")
            && let Some(value) = if value.is_empty() { Some(value) } else { value.strip_prefix(b":") }
        {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data.len() + value.len() + 1 > self.most {
                return false;
            }
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
        self.line.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 200;

    /// The data of all events; `None` when one was too long.
    fn read(pieces: &[&[u8]]) -> Option<Vec<String>> {
        let (mut reader, mut events) = (EventReader::new(MOST), VecDeque::new());
        for piece in pieces {
            if !reader.read(&Untrusted::new(piece.to_vec()), &mut events) {
                return None;
            }
        }
        Some(events.iter().map(|data| String::from_utf8_lossy(data.for_storage()).into_owned()).collect())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(read(&[text.as_bytes()]).unwrap(), expected, "{text:?}");
    }

    #[test]
    fn events_are_cut_as_the_standard_says() {
        check("data: one\n\ndata:two\r\n\r\ndata:  three\r\r", &["one", "two", " three"]);
        check("data: a\ndata: b\ndata\n\n", &["a\nb\n"]);
        check(": a comment\nevent: x\nid: 7\nretry: 5\nnonsense\ndata: a\n\n\n\n", &["a"]);
        check("data:\n\n", &[""]);
        check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["a"]);
        check("database: a\n\ndata : b\n\n", &[]);
        // Cut before its end.
        check("data: a\n\ndata: b\n", &["a"]);
        check("", &[]);
    }

    #[test]
    fn what_has_no_end_is_given_up() {
        assert_eq!(read(&[&[b'x'; MOST], b"x"]), None);
        assert_eq!(read(&[b": ", &[b'x'; MOST]]), None);
        let line = format!("data: {}\n", "x".repeat(MOST / 2));
        assert_eq!(read(&[line.as_bytes(), line.as_bytes()]), None);
        assert_eq!(read(&[format!("data: {}\n\n", "x".repeat(MOST - 10)).as_bytes()]).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_pieces_are_cut(text in "(data: ?|[a-z:é]|\r|\n|\r\n){0,60}", cut in 0usize..200) {
            let whole = read(&[text.as_bytes()]);
            let cut = cut.min(text.len());
            prop_assert_eq!(&whole, &read(&[&text.as_bytes()[..cut], &text.as_bytes()[cut..]]));
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(&whole, &read(&bytes));
        }
    }

    #[test]
    fn fuzzed_events_are_bounded() {
        let seeds: [&[u8]; 2] = [
            b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n",
            b": ping\r\n\r\nevent: x\r\ndata: a\r\ndata: b\r\n\r\n",
        ];
        switchboard_testkit::fuzz::fuzz("server-sent-events", &seeds, |input| {
            let Some(events) = read(&[input]) else { return };
            assert!(events.iter().map(String::len).sum::<usize>() <= 3 * input.len());
            let (first, second) = input.split_at(input.len() / 2);
            assert_eq!(read(&[first, second]).unwrap(), events);
        });
    }
}
