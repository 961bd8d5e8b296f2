//! Numbers that a state gives a person: US SSN and ITIN, German Steuer-ID, Spanish DNI and NIE, British NINO.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    finder::{Finder, Hit, pattern, stands_alone},
    label::{Label, label},
};

pub(super) const FIND: Finder = find;

static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)(?-u:\b)(?:
            [0-9]{3}[-\ ][0-9]{2}[-\ ][0-9]{4}
          | [0-9]{2}\ ?[0-9]{3}\ ?[0-9]{3}\ ?[0-9]{3}
          | [0-9]{9}
          | [XYZxyz][-.\ ]?[0-9]\.?[0-9]{3}\.?[0-9]{3}[-.\ ]?[A-Za-z]
          | [0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}[-.\ ]?[A-Za-z]
          | [A-Za-z]{2}\ ?[0-9]{2}\ ?[0-9]{2}\ ?[0-9]{2}\ ?[A-Da-d]
        )(?-u:\b)",
    )
});

fn find(text: &str, hits: &mut Vec<Hit>) {
    for found in PATTERN.find_iter(text) {
        if !stands_alone(text, &found.range()) || is_part_of_more(text, found.start(), found.end()) {
            continue;
        }
        let said = label(&text[..found.start()]);
        if is_tax_id(found.as_str(), said) {
            hits.push(Hit::plain(found.range()));
        }
    }
}

/// Whether more of the same number stands on either side: a piece of a longer one is no number of a person.
fn is_part_of_more(text: &str, start: usize, end: usize) -> bool {
    let is_joint = |char: char| matches!(char, '-' | '.' | '/');
    let mut before = text[..start].chars().rev();
    let mut after = text[end..].chars();
    text[..start].ends_with('+')
        || (before.next().is_some_and(is_joint) && before.next().is_some_and(char::is_alphanumeric))
        || (after.next().is_some_and(is_joint) && after.next().is_some_and(|char| char.is_ascii_digit()))
}

/// Whether what is written is one of the numbers, where the words before it call it `said`.
pub(super) fn is_tax_id(written: &str, said: Option<Label>) -> bool {
    let compact: String = written.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let bytes = compact.as_bytes();
    let called_otherwise = matches!(said, Some(Label::Other | Label::Version | Label::Phone));
    match (bytes.first().is_some_and(u8::is_ascii_alphabetic), bytes.last().is_some_and(u8::is_ascii_alphabetic)) {
        (false, false) if bytes.len() == 9 => {
            let in_groups = written.len() == 11;
            let enough = if in_groups { !called_otherwise } else { said == Some(Label::TaxId) };
            enough && is_ssn_or_itin(&compact)
        }
        (false, false) => !called_otherwise && is_steuer_id(bytes),
        (false, true) => !called_otherwise && is_dni(&compact),
        (true, true) if bytes.len() == 9 && bytes[1].is_ascii_alphabetic() => !called_otherwise && is_nino(bytes),
        (true, true) => !called_otherwise && is_nie(&compact),
        (true, false) => false,
    }
}

/// Social Security leaves out areas 000 and 666, group 00 and serial 0000; areas from 900 are taxpayers' numbers, with groups
/// of their own.
fn is_ssn_or_itin(digits: &str) -> bool {
    let part = |from: usize, to: usize| digits[from..to].parse::<u32>().unwrap_or(0);
    let (area, group, serial) = (part(0, 3), part(3, 5), part(5, 9));
    let group_fits = if area >= 900 { matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99) } else { group != 0 };
    area != 0 && area != 666 && group_fits && serial != 0
}

/// Eleven digits: not 0 first, of the first ten one stands twice or three times and the others once, and the check digit of
/// ISO 7064 (mod 11, 10).
fn is_steuer_id(digits: &[u8]) -> bool {
    if digits.len() != 11 || digits[0] == b'0' {
        return false;
    }
    let mut counts = [0_u8; 10];
    let mut product = 10;
    for digit in &digits[..10] {
        let digit = digit - b'0';
        counts[usize::from(digit)] += 1;
        let sum = (u32::from(digit) + product) % 10;
        product = (if sum == 0 { 10 } else { sum }) * 2 % 11;
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let check = (11 - product) % 10;
    repeated == 1 && counts.iter().all(|count| *count <= 3) && u32::from(digits[10] - b'0') == check
}

fn is_dni(compact: &str) -> bool {
    (8..=9).contains(&compact.len()) && has_check_letter(compact)
}

fn is_nie(compact: &str) -> bool {
    let number = match compact.as_bytes() {
        [b'X', ..] => format!("0{}", &compact[1..]),
        [b'Y', ..] => format!("1{}", &compact[1..]),
        [b'Z', ..] => format!("2{}", &compact[1..]),
        _ => return false,
    };
    number.len() == 9 && has_check_letter(&number)
}

/// The letter is the number modulo 23, in the order of the Spanish register.
fn has_check_letter(number: &str) -> bool {
    let (digits, letter) = number.split_at(number.len() - 1);
    let Ok(value) = digits.parse::<usize>() else { return false };
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(value % 23) == letter.as_bytes().first()
}

fn is_nino(bytes: &[u8]) -> bool {
    let (first, second) = (bytes[0], bytes[1]);
    let prefix = [first, second];
    !b"DFIQUV".contains(&first)
        && !b"DFIOQUV".contains(&second)
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&prefix)
        && bytes[2..8].iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(&bytes[8])
}
