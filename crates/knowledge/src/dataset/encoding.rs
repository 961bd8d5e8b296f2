//! Bytes to text: UTF-8, UTF-16 with a byte order mark, and Windows-1252 where neither fits.

use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Cursor, Read},
};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::DatasetError;

/// Bytes from the beginning of a file that encoding, format and delimiter are told from.
const HEAD_BYTES: usize = 64 * 1024;
/// Bytes that are transcoded at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// A file whose beginning was looked at.
pub(super) struct Opened<'a> {
    /// The beginning, without a byte order mark.
    pub(super) head: Vec<u8>,
    /// All of it, the beginning included: UTF-8, or what somebody took for it.
    pub(super) source: Box<dyn BufRead + 'a>,
}

pub(super) fn open<'a>(source: impl BufRead + 'a) -> Result<Opened<'a>, DatasetError> {
    let (head, source) = peek(source)?;
    let utf_16 = match head.as_slice() {
        [] => return Err(DatasetError::Empty),
        [0xff, 0xfe, ..] => Some(UTF_16LE),
        [0xfe, 0xff, ..] => Some(UTF_16BE),
        _ => None,
    };
    if let Some(encoding) = utf_16 {
        let (head, source) = peek(transcoded(source, encoding))?;
        return opened(head, source);
    }
    refuse_binary(&head)?;
    match head.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => {
            let rest = rest.to_vec();
            let mut source = source;
            source.consume(head.len() - rest.len());
            opened(rest, source)
        }
        None => opened(head, source),
    }
}

fn opened<'a>(head: Vec<u8>, source: impl BufRead + 'a) -> Result<Opened<'a>, DatasetError> {
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(DatasetError::Empty);
    }
    Ok(Opened { head, source: Box::new(source) })
}

/// A source whose beginning was read and put back.
type PutBack<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// The beginning of `source`, and `source` with it put back.
fn peek<R: BufRead>(mut source: R) -> io::Result<(Vec<u8>, PutBack<R>)> {
    let mut head = Vec::new();
    source.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(source)))
}

fn refuse_binary(head: &[u8]) -> Result<(), DatasetError> {
    let unpack = "unpack it first";
    let (what, remedy) = match head {
        [b'P', b'K', 3, 4, ..] => ("a spreadsheet or a ZIP archive", "save it as CSV, or unpack it"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => ("an old Excel file", "save it as CSV"),
        [0x1f, 0x8b, ..] => ("compressed with gzip", unpack),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("compressed with zstd", unpack),
        [b'P', b'A', b'R', b'1', ..] => ("a Parquet file", "export it as CSV or JSON lines"),
        _ if head.contains(&0) => ("binary, or UTF-16 without a byte order mark", "save it as CSV in UTF-8"),
        _ => return Ok(()),
    };
    Err(DatasetError::NotText { what, remedy })
}

/// `source` as UTF-8; what is no text becomes U+FFFD.
pub(super) fn transcoded<R: BufRead>(source: R, encoding: &'static Encoding) -> BufReader<Transcoder<R>> {
    let decoder = encoding.new_decoder_with_bom_removal();
    BufReader::new(Transcoder { source, decoder, out: Vec::new(), at: 0, ended: false })
}

pub(super) struct Transcoder<R> {
    source: R,
    decoder: Decoder,
    out: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: BufRead> Read for Transcoder<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() && !self.ended {
            let input = self.source.fill_buf()?;
            let last = input.is_empty();
            self.out.resize(CHUNK_BYTES, 0);
            let (result, read, written, _) = self.decoder.decode_to_utf8(input, &mut self.out, last);
            self.source.consume(read);
            self.out.truncate(written);
            self.at = 0;
            self.ended = last && result == CoderResult::InputEmpty;
        }
        let mut rest = self.out.get(self.at..).unwrap_or_default();
        let n = rest.read(into)?;
        self.at += n;
        Ok(n)
    }
}

/// `bytes` as text, and whether they are UTF-8. Where they are not: Windows-1252, unless other parts can only be UTF-8, which
/// then was damaged.
pub(super) fn decoded(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), true),
        Err(_) if bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii()) => (String::from_utf8_lossy(bytes), false),
        Err(_) => (WINDOWS_1252.decode_without_bom_handling(bytes).0, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> String {
        let mut text = String::new();
        open(bytes).unwrap().source.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn byte_order_marks_are_understood() {
        assert_eq!(all(b"\xef\xbb\xbfa,\xc3\xa4"), "a,ä");
        let long = "text,label\n".to_owned() + &"für 😀,ä\n".repeat(20_000);
        let little: Vec<u8> = "\u{feff}"
            .chars()
            .chain(long.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(all(&little), long);
        let big: Vec<u8> = format!("\u{feff}{long}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(all(&big), long);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(matches!(open(&b""[..]), Err(DatasetError::Empty)));
        assert!(matches!(open(&b" \n\n"[..]), Err(DatasetError::Empty)));
        assert!(matches!(open(&b"PK\x03\x04..."[..]), Err(DatasetError::NotText { .. })));
        assert!(matches!(open(&b"a\0b\0"[..]), Err(DatasetError::NotText { .. })));
    }

    #[test]
    fn odd_bytes_are_read_as_far_as_they_go() {
        assert_eq!(decoded("für".as_bytes()), ("für".into(), true));
        assert_eq!(decoded(b"f\xfcr 10 \x80"), ("für 10 €".into(), false));
        assert_eq!(decoded(b"f\xc3\xbcr \xe2\x82"), ("für \u{fffd}".into(), false));
    }
}
