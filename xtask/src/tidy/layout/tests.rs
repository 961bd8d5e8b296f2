use super::super::workspace::{File, Package};
use super::*;

fn check(violations: &[Violation], expected: &[&str]) {
    let places: Vec<String> =
        violations.iter().map(|violation| format!("{}:{}", violation.path, violation.line)).collect();
    assert_eq!(places, expected);
}

#[test]
fn a_tenth_room_is_refused() {
    let mut workspace = Workspace::default();
    for folder in ["crates/core", "crates/lambda", "crates/utils", "crates/core/inner", "xtask", "bench"] {
        let package = Package { name: folder.to_owned(), folder: Some(folder.to_owned()), dependencies: Vec::new() };
        workspace.packages.insert(folder.to_owned(), package);
    }
    check(&rooms_are_known(&workspace), &["crates/core/inner/Cargo.toml:1", "crates/utils/Cargo.toml:1"]);
}

#[test]
fn a_long_file_is_refused() {
    let (longest, longer) = ("a\n".repeat(500), "a\n".repeat(501));
    let files =
        [("a.rs", longest.as_str()), ("b.rs", &longer), ("c.ts", &longer), ("d.tsx", &longer), ("Cargo.lock", &longer)];
    check(&files_are_short(&Workspace::of_files(&files)), &["b.rs:501", "c.ts:501", "d.tsx:501"]);
}

#[test]
fn a_large_folder_is_refused() {
    let mut workspace = Workspace::default();
    for (folder, count) in [("full", 20), ("overfull", 21), ("overfull/below", 1)] {
        for number in 0..count {
            workspace.files.push(File::new(format!("{folder}/{number}.rs"), String::new()));
        }
    }
    workspace.files.push(File::new("full/Cargo.toml".to_owned(), String::new()));
    check(&folders_are_small(&workspace), &["overfull:1"]);
}

#[test]
fn a_crate_root_without_a_description_is_refused() {
    let files = [
        ("crates/core/src/lib.rs", "//! Core.\n"),
        ("crates/http/src/lib.rs", "use std::fmt;\n"),
        ("crates/cli/src/main.rs", "\n//! Late.\n"),
        ("crates/cli/src/bin/other.rs", ""),
        ("crates/cli/src/serve.rs", ""),
        ("crates/cli/tests/it/main.rs", "// Not a doc comment.\n"),
    ];
    let expected = [
        "crates/http/src/lib.rs:1",
        "crates/cli/src/main.rs:1",
        "crates/cli/src/bin/other.rs:1",
        "crates/cli/tests/it/main.rs:1",
    ];
    check(&crate_roots_are_described(&Workspace::of_files(&files)), &expected);
}
