//! Runs of digits in groups, as people write long numbers: `4111 1111 1111 1111`, `(030) 555-1234`.

use std::ops::Range;

/// Digits without anything between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub start: usize,
    pub end: usize,
    /// Whether it stands in brackets.
    pub bracketed: bool,
    /// Whether only space parts it from the group before, so that a number may begin here.
    pub may_begin: bool,
    /// Whether only space parts it from the group after, so that a number may end here.
    pub may_end: bool,
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }
}

/// Groups that belong to one run.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Its groups, in order; at least one.
    pub groups: Vec<Group>,
    /// Where it begins, with its `+` or bracket.
    pub start: usize,
    /// Whether a `+` stands before it.
    pub plus: bool,
}

impl Run {
    /// The bytes of the groups `from..=to`, with the `+` or the bracket before the first.
    pub(super) fn range(&self, text: &str, from: usize, to: usize) -> Range<usize> {
        let (first, last) = (&self.groups[from], &self.groups[to]);
        // Brackets around the whole belong to the sentence.
        if from == to && !(from == 0 && self.plus) {
            return first.start..first.end;
        }
        let mut start = if from == 0 { self.start } else { first.start };
        if from > 0 && first.bracketed && text.as_bytes()[..first.start].last() == Some(&b'(') {
            start -= 1;
        }
        let end = if from == to && first.bracketed && start < first.start { last.end + 1 } else { last.end };
        start..end
    }

    /// The digits of the groups `from..=to`.
    pub(super) fn digits(&self, text: &str, from: usize, to: usize) -> String {
        self.groups[from..=to].iter().map(|group| &text[group.start..group.end]).collect()
    }
}

/// The runs of ASCII digits in `text`. Other scripts' digits are left alone. A run ends where more than three separators
/// stand in a row, or where something else follows; what touches a letter is left out.
pub(super) fn runs(text: &str, mut each: impl FnMut(&Run)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut run = Run::default();
    while let Some(first) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) {
        run.groups.clear();
        run.start = first;
        run.plus = false;
        let length = bytes[first..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - first);
        if first > 0 && bytes[first - 1] == b'(' && bytes.get(first + length) == Some(&b')') {
            run.start -= 1;
        }
        if run.start > 0 && bytes[run.start - 1] == b'+' {
            run.start -= 1;
            run.plus = true;
        }
        let touches_before = run.start == first
            && text[..first].chars().next_back().is_some_and(|char| char.is_alphanumeric() || char == '_');
        at = read_groups(text, first, &mut run.groups);
        let touches_after = text[at..].chars().next().is_some_and(|char| char.is_alphanumeric() || char == '_');
        if touches_after {
            run.groups.pop();
            if let Some(last) = run.groups.last_mut() {
                last.may_end = text[last.end..].starts_with(is_space);
            }
        }
        if touches_before && !run.groups.is_empty() {
            run.groups.remove(0);
            match run.groups.first() {
                Some(group) => {
                    run.start = group.start;
                    run.plus = false;
                }
                None => continue,
            }
        }
        if !run.groups.is_empty() {
            each(&run);
        }
    }
}

/// Reads groups from `at`, where a digit stands; gives where the last one ends.
fn read_groups(text: &str, mut at: usize, groups: &mut Vec<Group>) -> usize {
    let bytes = text.as_bytes();
    let mut may_begin = true;
    loop {
        let start = at;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        let bracketed = start > 0 && bytes[start - 1] == b'(' && bytes.get(at) == Some(&b')');
        groups.push(Group { start, end: at, bracketed, may_begin, may_end: true });
        let mut next = at;
        let mut only_space = true;
        let mut separators = 0;
        while let Some(char) = text[next..].chars().next() {
            if !(is_space(char) || matches!(char, '-' | '.' | '/' | '(' | ')' | '\u{2011}' | '\u{2013}')) {
                break;
            }
            only_space &= is_space(char);
            separators += 1;
            next += char.len_utf8();
            if separators > 3 {
                return at;
            }
        }
        if separators == 0 || !bytes.get(next).is_some_and(u8::is_ascii_digit) {
            return at;
        }
        may_begin = only_space || bytes[next - 1] == b'(';
        if let Some(group) = groups.last_mut() {
            group.may_end = only_space;
        }
        at = next;
    }
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\u{a0}' | '\u{202f}' | '\u{2009}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        runs(text, |run| {
            let groups: Vec<_> = run.groups.iter().map(|group| &text[group.start..group.end]).collect();
            found.push(format!("{}{}", if run.plus { "+" } else { "" }, groups.join("|")));
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn digits_come_in_groups() {
        check("call +49 (0)30 555-1234, or 12", &["+49|0|30|555|1234", "12"]);
        check("4111\u{a0}1111", &["4111|1111"]);
        check("12a 34", &["34"]);
        check("a12 34", &["34"]);
        check("1    2", &["1", "2"]);
        check("", &[]);
        check("\u{661}\u{ff14}", &[]);
    }
}
