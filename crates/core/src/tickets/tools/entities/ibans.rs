//! International bank account numbers: the structure of each country in the register, and the check digits.

use std::sync::LazyLock;

use iban::Iban;
use regex::Regex;

use super::finder::{Finder, Hit, pattern, stands_alone};

pub(super) const FIND: Finder = find;

/// The longest number that the standard allows.
const LONGEST: usize = 34;
/// The shortest one in the register (Norway).
const SHORTEST: usize = 15;

static BEGINNING: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u:\b)[A-Za-z]{2}[0-9]{2}"));

fn find(text: &str, hits: &mut Vec<Hit>) {
    let mut at = 0;
    while let Some(beginning) = BEGINNING.find_at(text, at) {
        at = beginning.start() + 1;
        if let Some(end) = end_of_iban(text, beginning.start()) {
            let range = beginning.start()..end;
            if stands_alone(text, &range) {
                at = end;
                hits.push(Hit::plain(range));
            }
        }
    }
}

/// Where the number ends that begins at `start`. People write it in one piece or in groups with single separators.
fn end_of_iban(text: &str, start: usize) -> Option<usize> {
    let mut compact = String::with_capacity(LONGEST);
    let mut chars = text[start..].char_indices().peekable();
    let mut found = None;
    while let Some((offset, char)) = chars.next() {
        if !char.is_ascii_alphanumeric() || compact.len() == LONGEST {
            break;
        }
        compact.push(char.to_ascii_uppercase());
        let next = chars.peek().map(|(_, next)| *next);
        // A number ends where a word ends; what follows may be its next group or the next word.
        if !next.is_some_and(|next| next.is_alphanumeric()) {
            if compact.len() >= SHORTEST && compact.parse::<Iban>().is_ok() {
                found = Some(start + offset + 1);
                break;
            }
            if next.is_some_and(|next| matches!(next, ' ' | '-' | '.' | '\u{a0}' | '\u{202f}')) {
                chars.next();
            }
        }
    }
    found
}
