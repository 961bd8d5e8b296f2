use super::super::Rule;
use super::*;

fn check(rule: Rule, path: &str, text: &str, expected_lines: &[usize]) {
    let violations = rule(&Workspace::of_files(&[(path, text)]));
    let lines: Vec<usize> = violations.iter().map(|violation| violation.line).collect();
    assert_eq!(lines, expected_lines, "{path}: {text}");
}

#[test]
fn unfinished_code_is_caught_in_tests_too() {
    for name in ["todo", "unimplemented", "dbg"] {
        check(nothing_is_unfinished, "crates/core/src/lib.rs", &format!("fn a() {{\n    {name}!(b)\n}}"), &[2]);
        check(nothing_is_unfinished, "crates/core/tests/it/main.rs", &format!("std::{name}!()"), &[1]);
    }
    check(nothing_is_unfinished, "crates/core/src/lib.rs", "my_todo!(); todo(); // todo!()\n\"dbg!()\"", &[]);
}

#[test]
fn postponed_work_is_caught_in_all_languages() {
    for word in ["TODO", "FIXME", "XXX"] {
        check(nothing_is_postponed, "a.rs", &format!("// {word}: b"), &[1]);
        check(nothing_is_postponed, "a.rs", &format!("/*\n{word}*/"), &[2]);
        check(nothing_is_postponed, "a.ts", &format!("a();\n// {word} b"), &[2]);
        check(nothing_is_postponed, "a.toml", &format!("# ({word})"), &[1]);
        check(nothing_is_postponed, "a.rs", &format!("const A: &str = \"{word}\"; // MY_{word}, {word}S"), &[]);
        check(nothing_is_postponed, "package-lock.json", word, &[]);
    }
}

#[test]
fn unwrapping_is_caught_outside_tests() {
    check(values_are_not_unwrapped, "crates/core/src/a.rs", "a.unwrap();\nb\n    .expect(\"c\");", &[1, 3]);
    check(
        values_are_not_unwrapped,
        "crates/core/src/a.rs",
        "a.unwrap_or(b).unwrap_err().expect_err(c); // .unwrap()",
        &[],
    );
    check(
        values_are_not_unwrapped,
        "crates/core/src/a.rs",
        "#[cfg(test)]\nmod t {\n a.unwrap();\n}\nb.unwrap();",
        &[5],
    );
}

#[test]
fn tests_may_unwrap() {
    let paths = [
        "crates/core/tests/it/main.rs",
        "crates/core/src/a/tests.rs",
        "crates/core/src/a/tests/b.rs",
        "crates/testkit/src/a.rs",
    ];
    for path in paths {
        check(values_are_not_unwrapped, path, "a.unwrap()", &[]);
    }
    check(values_are_not_unwrapped, "crates/core/src/attests/b.rs", "a.unwrap()", &[1]);
}

#[test]
fn a_stated_invariant_may_unwrap() {
    let path = "crates/core/src/a.rs";
    check(values_are_not_unwrapped, path, "a.unwrap(); // invariant: b", &[]);
    check(values_are_not_unwrapped, path, "// invariant: b\n// c\n#[allow(d)]\na.unwrap();", &[]);
    check(values_are_not_unwrapped, path, "// invariant: b\nc();\na.unwrap();", &[3]);
    check(values_are_not_unwrapped, path, "// invariant: b\n\na.unwrap();", &[3]);
    check(values_are_not_unwrapped, path, "// no invariant: b\na.unwrap();", &[2]);
}

#[test]
fn ignored_tests_are_caught() {
    check(tests_are_not_ignored, "a/tests.rs", "#[test]\n#[ignore]\nfn a() {}", &[2]);
    check(tests_are_not_ignored, "a/tests.rs", "#[ignore = \"slow\"]\n// #[ignore]", &[1]);
}
