//! The table of security requirements, held against the code: nothing is missing, and what it names exists.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::workspace::{File, Workspace};

const PAGE: &str = "docs/asvs.md";
/// The numbers of OWASP ASVS 5.0.0, levels 1 and 2, each with its level.
const REQUIREMENTS: &str = include_str!("asvs_ids.txt");
/// Checks of every build that a row may name.
const COMMANDS: &[&str] = &["cargo clippy", "cargo deny", "cargo xtask tidy", "cargo xtask test"];

/// A row of the table.
struct Row<'a> {
    line: usize,
    id: &'a str,
    level: &'a str,
    about: &'a str,
    held_by: &'a str,
}

/// Every requirement has one row, and each test, command and page that a row names exists.
pub(crate) fn the_table_is_whole_and_true(workspace: &Workspace) -> Vec<Violation> {
    let Some(page) = workspace.file(PAGE) else {
        // A made-up workspace of another rule's test has no pages; the real one does.
        return workspace
            .file("Cargo.lock")
            .map(|_| violation(1, "the page is missing".to_owned()))
            .into_iter()
            .collect();
    };
    let rows = rows(page);
    let tests: BTreeSet<String> = workspace.files.iter().flat_map(tests_of).collect();
    let mut violations = Vec::new();
    let mut seen = BTreeMap::new();
    let levels: BTreeMap<&str, &str> = REQUIREMENTS.lines().filter_map(|line| line.split_once(' ')).collect();
    for row in &rows {
        let mut wrong = |advice: String| violations.push(violation(row.line, format!("{}: {advice}", row.id)));
        match levels.get(row.id) {
            None => wrong("is no requirement of level 1 or 2".to_owned()),
            Some(level) if *level != row.level => wrong(format!("is of level {level}")),
            Some(_) => {}
        }
        if let Some(first) = seen.insert(row.id, row.line) {
            wrong(format!("stands in line {first} already"));
        }
        if row.about.is_empty() {
            wrong("say in a few words what it is about".to_owned());
        }
        check_holding(row.held_by, &tests, workspace, &mut wrong);
    }
    for id in levels.keys().filter(|id| !seen.contains_key(*id)) {
        violations.push(violation(1, format!("{id} is missing")));
    }
    let counts = counts(&rows);
    if !page.text.contains(&counts) {
        violations.push(violation(1, format!("the counts are wrong: write `{counts}`")));
    }
    violations
}

fn check_holding(held_by: &str, tests: &BTreeSet<String>, workspace: &Workspace, wrong: &mut impl FnMut(String)) {
    let (way, rest) = held_by.split_once(':').unwrap_or((held_by, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        wrong(
            "say what holds it, or why not, behind `test:`, `command:`, `doc:`, `n/a:` or `not yet (part):`".to_owned(),
        );
        return;
    }
    let names = || rest.split(", ").map(|name| name.trim_matches('`'));
    match way {
        "test" => {
            for name in names().filter(|name| !tests.contains(*name)) {
                wrong(format!("there is no test `{name}`"));
            }
        }
        "command" => {
            for name in names().filter(|name| !COMMANDS.contains(name)) {
                wrong(format!("`{name}` is no check of every build"));
            }
        }
        "doc" => {
            let target = rest.split_once("](").and_then(|(_, target)| target.strip_suffix(')'));
            let is_there = target.is_some_and(|target| {
                !target.contains('/') && target.ends_with(".md") && workspace.pages.contains(&format!("docs/{target}"))
            });
            if !is_there {
                wrong(format!("`{rest}` is no link to a page beside this one"));
            }
        }
        "n/a" => {}
        _ if way.starts_with("not yet (") && way.ends_with(')') => {}
        _ => wrong(format!("`{way}` is none of test, command, doc, n/a, not yet (part)")),
    }
}

fn rows(page: &File) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (index, line) in page.text.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        if let [id, level, about, held_by] = cells[..]
            && id.starts_with('V')
        {
            rows.push(Row { line: index + 1, id, level, about, held_by });
        }
    }
    rows
}

fn counts(rows: &[Row<'_>]) -> String {
    let beginning = |word: &str| rows.iter().filter(|row| row.held_by.starts_with(word)).count();
    let (not_applicable, not_yet) = (beginning("n/a"), beginning("not yet"));
    let held = rows.len() - not_applicable - not_yet;
    format!("**{held} held, {not_applicable} not applicable, {not_yet} not yet; {} in all.**", rows.len())
}

/// The paths of the tests of a file: `core::error::tests::name`, `cli::it::tickets::name`.
fn tests_of(file: &File) -> Vec<String> {
    let Some(module) = module_of(&file.path) else { return Vec::new() };
    let mut tests = Vec::new();
    for (index, line) in file.rust.iter().enumerate() {
        let Some(name) = function_name(&line.code) else { continue };
        let attributes = file.rust[..index].iter().rev().map(|line| line.code.trim());
        let mut attributes = attributes.take_while(|code| code.starts_with("#["));
        let is_test = attributes.any(|code| code.starts_with("#[test]") || code.starts_with("#[tokio::test"));
        if is_test {
            tests.push(format!("{module}::{name}"));
        }
    }
    tests
}

fn module_of(path: &str) -> Option<String> {
    let (room, rest) = path.strip_prefix("crates/")?.split_once('/')?;
    let (is_source, rest) = match rest.split_once('/')? {
        ("src", rest) => (true, rest),
        ("tests", rest) => (false, rest),
        _ => return None,
    };
    let parts = rest.strip_suffix(".rs")?.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    let mut module = vec![room];
    module.extend(parts);
    if is_source && !module.contains(&"tests") {
        module.push("tests");
    }
    Some(module.join("::"))
}

fn function_name(code: &str) -> Option<&str> {
    let code = code.trim_start();
    let rest = code.strip_prefix("async fn ").or_else(|| code.strip_prefix("fn "))?;
    rest.split(['(', '<']).next().filter(|name| !name.is_empty())
}

fn violation(line: usize, advice: String) -> Violation {
    Violation { path: PAGE.to_owned(), line, rule: "asvs", advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_holds() {}\n    fn helper() {}\n}\n";

    /// What the rule says of one requirement's row, that others are missing aside.
    fn said_of(row: &str) -> Vec<String> {
        let mut workspace = Workspace::of_files(&[
            ("docs/asvs.md", &format!("| id | level | about | held by |\n{row}\n")),
            ("crates/core/src/error.rs", CODE),
            ("crates/cli/tests/it/eval/mod.rs", "#[tokio::test(flavor = \"x\")]\nasync fn end_to_end() {}\n"),
        ]);
        workspace.pages = vec!["docs/security.md".to_owned()];
        let violations = the_table_is_whole_and_true(&workspace);
        let said = violations.into_iter().map(|violation| violation.advice);
        said.filter(|advice| !advice.ends_with(" is missing") && !advice.starts_with("the counts")).collect()
    }

    #[test]
    fn what_holds_a_requirement_exists() {
        for good in [
            "test: `core::error::tests::it_holds`, `cli::it::eval::end_to_end`",
            "command: `cargo xtask tidy`",
            "doc: [security.md](security.md)",
            "n/a: no mail",
            "not yet (TLS): a proxy",
        ] {
            assert_eq!(said_of(&format!("| V1.1.1 | 2 | words | {good} |")), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn what_dangles_is_caught() {
        for (row, expected) in [
            (
                "| V1.1.1 | 2 | words | test: `core::error::tests::is_gone` |",
                "V1.1.1: there is no test `core::error::tests::is_gone`",
            ),
            (
                "| V1.1.1 | 2 | words | test: `core::error::tests::helper` |",
                "V1.1.1: there is no test `core::error::tests::helper`",
            ),
            ("| V1.1.1 | 2 | words | command: `cargo run` |", "V1.1.1: `cargo run` is no check of every build"),
            (
                "| V1.1.1 | 2 | words | doc: [gone](gone.md) |",
                "V1.1.1: `[gone](gone.md)` is no link to a page beside this one",
            ),
            (
                "| V1.1.1 | 2 | words | perhaps: yes |",
                "V1.1.1: `perhaps` is none of test, command, doc, n/a, not yet (part)",
            ),
            ("| V1.1.1 | 1 | words | n/a: x |", "V1.1.1: is of level 2"),
            ("| V99.1.1 | 1 | words | n/a: x |", "V99.1.1: is no requirement of level 1 or 2"),
        ] {
            assert_eq!(said_of(row), [expected], "{row}");
        }
        assert_eq!(said_of("| V1.1.1 | 2 | words | n/a: |").len(), 1);
        assert_eq!(
            said_of("| V1.1.1 | 2 | words | n/a: x |\n| V1.1.1 | 2 | words | n/a: x |"),
            ["V1.1.1: stands in line 2 already"]
        );
    }

    #[test]
    fn what_is_missing_and_miscounted_is_caught() {
        let workspace = Workspace::of_files(&[("docs/asvs.md", "| V1.1.1 | 2 | words | n/a: x |\n")]);
        let violations = the_table_is_whole_and_true(&workspace);
        assert_eq!(violations.len(), 253);
        assert!(
            violations
                .iter()
                .any(|violation| violation.advice.contains("**0 held, 1 not applicable, 0 not yet; 1 in all.**"))
        );
        assert!(violations.iter().any(|violation| violation.advice == "V17.3.2 is missing"));
    }
}
