//! Files that nothing can be measured with: an exit code, what is wrong, and what to do.

use std::fmt::Write;

use super::{csv, home, json, put, rows};

fn check(content: impl AsRef<[u8]>, parts: &[&str]) {
    let home = home();
    let file = put(&home, "data.csv", content);
    for command in ["eval", "audit"] {
        let ran = home.run(&[command, &file]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "`{part}` is not in: {}", ran.stderr);
        }
    }
}

#[test]
fn hopeless_files_are_explained() {
    check("", &["data.csv", "it is empty"]);
    check("text,label\n", &["it is empty"]);
    check("text,label\n,a\nb,\n", &["none of its 2 rows can be used", "no text", "no label", "first at line"]);
    check("words,kind\na,b\n", &["no column looks like the text; there are: `words`, `kind`", "--text-column"]);
    check("text,kind\na,b\n", &["no column looks like the label", "--label-column"]);
    check("text,team,category\na,b,c\n", &["several columns could be the label: `team`, `category`"]);
    check(
        csv(&rows(0, 30)).replace("network", "billing").replace("<script>alert(1)</script>", "billing"),
        &["have the label `billing`", "two labels at least"],
    );
    check("PK\u{3}\u{4} and so on", &["a spreadsheet", "save it as CSV"]);
    check([0u8, 159, 146, 150], &["binary"]);
    let many = (0..10_000).fold("text,label\n".to_owned(), |mut file, n| {
        writeln!(file, "text {n} of many,label {n}\ntext {n} again,label {n}").unwrap();
        file
    });
    check(many, &["10000 labels", "choose a coarser label"]);
}

#[test]
fn wrong_names_are_explained() {
    let home = home();
    let file = put(&home, "data.csv", csv(&rows(0, 60)));
    let wrong = home.run(&["eval", &file, "--label-column", "queue"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("there is no column `queue` for the label; there are: `text`, `team`"), "{wrong:?}");
    let missing = home.run(&["eval", "no-such-file.csv"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("no-such-file.csv cannot be opened"), "{missing:?}");
    let folder = home.run(&["eval", home.beside("").to_str().unwrap()]);
    assert_eq!(folder.code, Some(1));
    assert!(folder.stderr.contains("cannot be read"), "{folder:?}");
    let same = home.run(&["eval", "--train", &file, "--test", &file]);
    assert_eq!(same.code, Some(1));
    assert!(same.stderr.contains("are the same file") && same.stderr.contains("holds a part back"), "{same:?}");
    let copy = put(&home, "copy.csv", csv(&rows(0, 60)));
    let copied = home.run(&["eval", "--train", &file, "--test", &copy]);
    assert_eq!(copied.code, Some(1));
    assert!(copied.stderr.contains("measures memory"), "{copied:?}");
    let model = home.run(&["eval", &file, "--stage", "both"]);
    assert_eq!(model.code, Some(1));
    assert!(model.stderr.contains("use --stage one"), "{model:?}");
    for usage in [
        &["eval"][..],
        &["eval", &file, "--train", &file, "--test", &file],
        &["eval", "--train", &file],
        &["eval", &file, "--holdout", "1.5"],
        &["eval", &file, "--shots", "0"],
        &["eval", &file, "--gate", "accuracy"],
        &["audit"],
    ] {
        assert_eq!(home.run(usage).code, Some(2), "{usage:?}");
    }
}

#[test]
fn odd_rows_are_counted_and_told() {
    let home = home();
    let mut bytes = csv(&rows(0, 120)).into_bytes();
    bytes.extend(b"too,many,fields\n,network\nr\xfccksendung please,network\n");
    let file = put(&home, "data.csv", bytes);
    let ran = home.run(&["eval", &file, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found = json(&ran);
    let file = &found["data"]["files"][0];
    assert_eq!((&file["rows"], &file["usable"]), (&123.into(), &121.into()));
    assert_eq!(file["skipped"][0]["lines"].as_array().map(Vec::len), Some(1));
    let notes = found["notes"].to_string();
    for part in ["another number of fields", "first at line 122", "no text", "rows that are not UTF-8"] {
        assert!(notes.contains(part), "`{part}` is not in {notes}");
    }
    let text = home.ok(&["eval", home.beside("data.csv").to_str().unwrap(), "--quiet"]);
    assert!(text.contains("note: ") && text.contains("another number of fields"), "{text}");
}
