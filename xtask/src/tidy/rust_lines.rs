//! Takes the lines of a Rust file apart: code, comment, and whether it is test code.
//!
//! Enough of a lexer to tell a string and a comment from code; it knows nothing of the grammar.

/// A line of a Rust file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The code without what stands in string and character literals.
    pub(crate) code: String,
    /// The text of comments, doc comments included, with the slashes that begin it.
    pub(crate) comment: String,
    /// Whether it belongs to an item under `#[cfg(test)]`.
    pub(crate) is_test: bool,
}

enum State {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text,
    RawText { hashes: usize },
}

/// Splits the text of a Rust file.
pub(crate) fn split(text: &str) -> Vec<Line> {
    let characters: Vec<char> = text.chars().collect();
    let mut lines = Vec::new();
    let mut current = Line::default();
    let mut state = State::Code;
    let mut index = 0;
    while index < characters.len() {
        let rest = &characters[index..];
        let mut width = 1;
        if rest[0] == '\n' {
            lines.push(std::mem::take(&mut current));
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            index += 1;
            continue;
        }
        match &mut state {
            State::Code => match rest {
                ['/', '/', ..] => {
                    current.comment.push_str("//");
                    state = State::LineComment;
                    width = 2;
                }
                ['/', '*', ..] => {
                    state = State::BlockComment { depth: 1 };
                    width = 2;
                }
                ['"', ..] => {
                    current.code.push('"');
                    state = match raw_hashes(&characters[..index]) {
                        Some(hashes) => State::RawText { hashes },
                        None => State::Text,
                    };
                }
                ['\'', ..] => {
                    current.code.push('\'');
                    width = character_literal_width(rest);
                }
                _ => current.code.push(rest[0]),
            },
            State::LineComment => current.comment.push(rest[0]),
            State::BlockComment { depth } => match rest {
                ['/', '*', ..] => {
                    *depth += 1;
                    width = 2;
                }
                ['*', '/', ..] => {
                    *depth -= 1;
                    width = 2;
                    if *depth == 0 {
                        state = State::Code;
                    }
                }
                _ => current.comment.push(rest[0]),
            },
            State::Text => match rest {
                // A line break after the backslash still ends the line.
                ['\\', '\n', ..] => {}
                ['\\', ..] => width = 2,
                ['"', ..] => {
                    current.code.push('"');
                    state = State::Code;
                }
                _ => {}
            },
            State::RawText { hashes } => {
                let closing = rest[1..].iter().take_while(|character| **character == '#').count();
                if rest[0] == '"' && closing >= *hashes {
                    current.code.push('"');
                    width = 1 + *hashes;
                    state = State::Code;
                }
            }
        }
        index += width;
    }
    if current != Line::default() {
        lines.push(current);
    }
    mark_tests(&mut lines);
    lines
}

/// The number of `#` of the raw string that a quote opens after `before`; `None` if it opens an ordinary one.
fn raw_hashes(before: &[char]) -> Option<usize> {
    let hashes = before.iter().rev().take_while(|character| **character == '#').count();
    let (mark, before) = before[..before.len() - hashes].split_last()?;
    let prefix = before.iter().rev().take_while(|character| character.is_alphanumeric() || **character == '_').count();
    let prefix: String = before[before.len() - prefix..].iter().collect();
    (*mark == 'r' && matches!(prefix.as_str(), "" | "b" | "c")).then_some(hashes)
}

/// How far to go on from a single quote: over a character literal, or past the quote of a lifetime.
fn character_literal_width(rest: &[char]) -> usize {
    match rest {
        // The escaped character may itself be a quote, so the search begins behind it.
        [_, '\\', _, tail @ ..] => tail.iter().position(|character| *character == '\'').map_or(1, |end| end + 4),
        [_, _, '\'', ..] => 3,
        _ => 1,
    }
}

/// Marks the item after each `#[cfg(test)]`: up to its `;`, or to the end of its outermost brackets.
fn mark_tests(lines: &mut [Line]) {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    if lines.iter().any(|line| line.code.contains("#![cfg(test)]")) {
        lines.iter_mut().for_each(|line| line.is_test = true);
        return;
    }
    let mut depth = None;
    for line in lines {
        let mut code = line.code.as_str();
        if depth.is_none()
            && let Some(start) = code.find(ATTRIBUTE)
        {
            depth = Some(0);
            code = &code[start + ATTRIBUTE.len()..];
        }
        line.is_test = depth.is_some();
        for character in code.chars() {
            depth = match (depth, character) {
                (Some(depth), '{' | '(' | '[') => Some(depth + 1),
                (Some(depth), ')' | ']') => Some(depth - 1),
                (Some(0 | 1), '}') | (Some(0), ';') => None,
                (Some(depth), '}') => Some(depth - 1),
                (depth, _) => depth,
            };
        }
    }
}

#[cfg(test)]
mod tests;
