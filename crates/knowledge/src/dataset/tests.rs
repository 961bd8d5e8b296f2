use std::io::{BufReader, Read};

use super::*;

fn rows(bytes: &[u8]) -> (Vec<Row>, ReadReport) {
    let mut rows = Vec::new();
    // A small buffer, so that rows lie across its edge.
    let report = read(BufReader::with_capacity(7, bytes), &ReadOptions::default(), &mut |row| rows.push(row));
    (rows, report.expect("it can be read"))
}

fn error(bytes: &[u8]) -> String {
    read(bytes, &ReadOptions::default(), &mut |_| ()).expect_err("it cannot be read").to_string()
}

fn plain(rows: &[Row]) -> Vec<(&str, &str, u64)> {
    rows.iter().map(|row| (row.text.as_str(), row.label.as_str(), row.line)).collect()
}

#[test]
fn delimiters_are_guessed() {
    for delimiter in [",", ";", "\t", "|"] {
        let file = ["\"a, b; c\"", "text", "label"].join(delimiter) + "\r\n" + &["1", "hello", "x"].join(delimiter);
        let (found, report) = rows(file.as_bytes());
        assert_eq!(plain(&found), [("hello", "x", 2)], "{file}");
        assert!(report.format.starts_with("CSV"), "{}", report.format);
    }
    assert_eq!(plain(&rows(b"sep=;\ntext;label\na,b,c;x\n").0), [("a,b,c", "x", 3)]);
}

#[test]
fn quoted_line_breaks_and_bad_rows_keep_the_line_numbers() {
    let file = b"subject,description,team\n\"a\nb\",\"c \"\"d\"\"\",x\none,two\nonly,,y\n,,z\nlast,one,\nq,r,x\n";
    let (found, report) = rows(file);
    assert_eq!(plain(&found), [("a\nb\n\nc \"d\"", "x", 2), ("only", "y", 5), ("q\n\nr", "x", 8)]);
    assert_eq!((report.rows, report.usable), (6, 3));
    let skipped: Vec<_> = report.skipped.iter().map(|one| (one.reason, one.rows, one.lines.clone())).collect();
    assert!(skipped.contains(&(rows::FIELD_COUNT, 1, vec![4])), "{skipped:?}");
    assert!(skipped.contains(&(rows::NO_TEXT, 1, vec![6])), "{skipped:?}");
    assert!(skipped.contains(&(rows::NO_LABEL, 1, vec![7])), "{skipped:?}");
}

#[test]
fn json_lines_and_arrays_say_the_same() {
    let lines = b"{\"text\":\"a\",\"label\":1}\n\n{\"text\":\"b\",\"label\":true}\nnonsense\n[1]\n{\"text\":\"c\",\"label\":[\"x\",\"y\"]}\n{\"text\":\"d\",\"label\":null}\n{\"text\":\"e\",\"label\":{}}\n";
    let (found, report) = rows(lines);
    assert_eq!(plain(&found), [("a", "1", 1), ("b", "true", 3), ("c", "x", 6)]);
    assert_eq!((report.rows, report.skipped.len()), (7, 4));
    assert!(report.notes[0].contains("several labels"), "{:?}", report.notes);
    let array = b"[\n{\"text\":\"a\",\"label\":1},\n{\"text\":\"b\",\"label\":true},\n7,\n{\"text\":\"c\",\"label\":[\"x\",\"y\"]}]";
    let (found, report) = rows(array);
    assert_eq!(plain(&found), [("a", "1", 2), ("b", "true", 3), ("c", "x", 5)]);
    assert_eq!((report.format.as_str(), report.rows), ("JSON array", 4));
}

#[test]
fn a_broken_array_gives_what_stands_before() {
    let (found, report) = rows(b"[{\"text\":\"a\",\"label\":\"x\"},\n{\"text\":\"b\"");
    assert_eq!(plain(&found), [("a", "x", 1)]);
    assert!(report.notes[0].contains("breaks at line 2"), "{:?}", report.notes);
    assert_eq!(error(b"[{\"a\":1}]"), "no column looks like the text; there are: `a`");
}

#[test]
fn encodings_of_single_rows_are_told() {
    let (found, report) = rows(b"text,label\nf\xc3\xbcr,x\nf\xfcr,x\n");
    assert_eq!(plain(&found), [("für", "x", 2), ("für", "x", 3)]);
    assert!(report.notes[0].starts_with("rows that are not UTF-8"), "{:?}", report.notes);
    let (found, _) = rows(b"[{\"text\":\"f\xfcr\",\"label\":\"x\"}]");
    assert_eq!(plain(&found), [("für", "x", 1)]);
}

#[test]
fn hopeless_files_are_named() {
    assert_eq!(error(b""), "it is empty");
    assert_eq!(error(b"text,label\n"), "it is empty");
    assert!(error(b"text,label\n,x\n,y\n").contains("none of its 2 rows can be used: no text (2, first at line 2, 3)"));
    assert!(error(b"{\n  \"text\": \"a\"\n}\n").contains("one JSON object"));
    assert!(error(b"{\"text\": }\n{\"text\"\n").contains("broken JSON"));
    assert!(error(b"PK\x03\x04").contains("save it as CSV"));
}

#[test]
fn a_quotation_mark_that_never_ends_does_not_fill_the_memory() {
    let endless = std::io::repeat(b'a').take(40 * 1024 * 1024);
    let file = (&b"text,label\n\"begins"[..]).chain(endless);
    let error = read(BufReader::new(file), &ReadOptions::default(), &mut |_| ()).expect_err("it is too long");
    assert!(error.to_string().contains("begins at line 2 is longer than 8 MB"), "{error}");
    let line = (&b"{\"text\":\"a\",\"label\":\"x\"}\n"[..]).chain(std::io::repeat(b'{').take(20 * 1024 * 1024));
    let report = read(BufReader::new(line), &ReadOptions::default(), &mut |_| ()).expect("one row is good");
    assert_eq!((report.usable, report.skipped[0].reason), (1, rows::LONG_ROW));
}

#[test]
fn long_texts_are_cut_at_what_is_read() {
    let file = format!("text,label\n{},x\n", "ä".repeat(30_000));
    let (found, report) = rows(file.as_bytes());
    assert_eq!(found[0].text.chars().count(), switchboard_core::limits::READ_CHARS);
    assert!(report.notes[0].contains("20,000 characters"), "{:?}", report.notes);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 300, ..Default::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), start in 0..4usize) {
        let start: &[u8] = [&b""[..], b"text,label\n", b"{\"text\":\"a\",\"label\":\"b\"}\n", b"[{\"text\":\"a\",\"label\":\"b\"},"][start];
        let mut kept = 0;
        if let Ok(report) = read([start, &bytes].concat().as_slice(), &ReadOptions::default(), &mut |_| kept += 1) {
            proptest::prop_assert_eq!(report.usable, kept);
            let skipped: u64 = report.skipped.iter().map(|one| one.rows).sum();
            proptest::prop_assert_eq!(report.rows, report.usable + skipped);
        }
    }
}
