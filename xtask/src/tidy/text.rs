//! Rules about what a line must not say.

use super::Violation;
use super::rust_lines::Line;
use super::workspace::{File, Workspace};

/// Code that stops where the work is missing, or that prints for its author, is not committed.
pub(crate) fn nothing_is_unfinished(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        for (index, line) in file.rust.iter().enumerate() {
            for name in ["todo", "unimplemented", "dbg"] {
                if words(&line.code).any(|(word, rest)| word == name && rest.starts_with('!')) {
                    violations.push(Violation {
                        path: file.path.clone(),
                        line: index + 1,
                        rule: "unfinished",
                        advice: format!("`{name}!` is for unfinished work: finish it, or return an error that says so"),
                    });
                }
            }
        }
    }
    violations
}

/// Work that is put off is written where it is planned, not where nobody looks.
pub(crate) fn nothing_is_postponed(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        if file.is_lock_file() {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            // In Rust a string may hold the words, as in the tests of this rule; the comments and names may not.
            let rust = file.rust.get(index).map(|line| format!("{} {}", line.code, line.comment));
            for (word, _) in words(rust.as_deref().unwrap_or(line)) {
                if matches!(word, "TODO" | "FIXME" | "XXX") {
                    violations.push(Violation {
                        path: file.path.clone(),
                        line: index + 1,
                        rule: "postponed",
                        advice: format!("`{word}`: do it now, or open an issue and describe the limit in the comment"),
                    });
                }
            }
        }
    }
    violations
}

/// Outside tests a missing value is an error to return, or an invariant that a comment states.
pub(crate) fn values_are_not_unwrapped(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        if is_test_file(file) {
            continue;
        }
        for (index, line) in file.rust.iter().enumerate() {
            let unwraps = line.code.contains(".unwrap()") || line.code.contains(".expect(");
            if unwraps && !line.is_test && !states_invariant(&file.rust[..=index]) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: index + 1,
                    rule: "unwrap",
                    advice: "return an error, or say in a comment `// invariant: …` why this cannot fail".to_owned(),
                });
            }
        }
    }
    violations
}

/// A test that does not run tells nothing.
pub(crate) fn tests_are_not_ignored(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &workspace.files {
        for (index, line) in file.rust.iter().enumerate() {
            if line.code.contains("#[ignore") {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: index + 1,
                    rule: "ignored-test",
                    advice: "repair or delete the test; a slow one returns early if SWITCHBOARD_TEST_FAST is set"
                        .to_owned(),
                });
            }
        }
    }
    violations
}

fn is_test_file(file: &File) -> bool {
    file.name() == "tests.rs"
        || file.path.starts_with("crates/testkit/")
        || file.folder().split('/').any(|folder| folder == "tests")
}

/// Whether the last of `lines` has the comment, or the comments and attributes right above it.
fn states_invariant(lines: &[Line]) -> bool {
    let Some((last, above)) = lines.split_last() else {
        return false;
    };
    if is_invariant(last) {
        return true;
    }
    for line in above.iter().rev() {
        let code = line.code.trim();
        let is_comment = code.is_empty() && !line.comment.is_empty();
        if !is_comment && !code.starts_with("#[") {
            return false;
        }
        if is_invariant(line) {
            return true;
        }
    }
    false
}

fn is_invariant(line: &Line) -> bool {
    line.comment.trim_start_matches('/').trim_start().starts_with("invariant:")
}

/// The identifiers of a line, each with the text behind it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(is_word)?;
        let tail = &rest[start..];
        let (word, behind) = tail.split_at(tail.find(|character| !is_word(character)).unwrap_or(tail.len()));
        rest = behind;
        Some((word, behind))
    })
}

#[cfg(test)]
mod tests;
