//! Dates of the calendar, in figures and with the names of months in English, Spanish and German. Words that need to know
//! what day it is ("yesterday", "next Monday") are no dates here.

use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

use super::finder::{Finder, Hit, Reading, pattern, stands_alone};

pub(super) const FIND: Finder = find;

/// The names of the months, the longest first where one begins with another.
const MONTHS: [&[&str]; 12] = [
    &["january", "januar", "jänner", "enero", "jan", "ene"],
    &["february", "februar", "febrero", "feb"],
    &["march", "märz", "maerz", "marzo", "mar", "mär", "mrz"],
    &["april", "abril", "apr", "abr"],
    &["mayo", "may", "mai"],
    &["june", "junio", "juni", "jun"],
    &["july", "julio", "juli", "jul"],
    &["august", "agosto", "aug", "ago"],
    &["september", "septiembre", "setiembre", "sept", "sep"],
    &["october", "oktober", "octubre", "oct", "okt"],
    &["november", "noviembre", "nov"],
    &["december", "dezember", "diciembre", "dec", "dez", "dic"],
];

static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let month = MONTHS.concat().join("|");
    pattern(&format!(
        r"(?xi)(?-u:\b)(?:
            [0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}} | [0-9]{{4}}/[0-9]{{1,2}}/[0-9]{{1,2}} | [0-9]{{4}}\.[0-9]{{2}}\.[0-9]{{2}}
          | [0-9]{{1,2}}\.\ ?[0-9]{{1,2}}\.\ ?[0-9]{{4}} | [0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{4}} | [0-9]{{1,2}}-[0-9]{{1,2}}-[0-9]{{4}}
          | [0-9]{{2}}\.[0-9]{{2}}\.[0-9]{{2}} | [0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{2}}
          | (?: [0-9]{{1,2}}(?:st|nd|rd|th|º|\.)? | primero )[\ -]?(?:of\ |de\ )?(?:{month})(?:\.|\b)(?:,?[\ -](?:de\ |del\ )?[0-9]{{4}}(?-u:\b))?
          | (?:{month})\.?\ (?:the\ )?[0-9]{{1,2}}(?:st|nd|rd|th)?(?-u:\b)(?:,?\ (?:of\ )?[0-9]{{4}}(?-u:\b))?
        )"
    ))
});

fn find(text: &str, hits: &mut Vec<Hit>) {
    for found in PATTERN.find_iter(text) {
        let range = found.start()..found.start() + found.as_str().trim_end_matches('.').len();
        let written = &text[range.clone()];
        let named = written.contains(|char: char| char.is_alphabetic());
        let ends_in_time = !named && is_time(&text[range.end..]);
        if !(stands_alone(text, &range) || ends_in_time) || is_part_of_more(text, range.start, range.end) {
            continue;
        }
        let reading = if named { read_named(written) } else { read_figures(written) };
        if let Some(reading) = reading {
            hits.push(Hit { range, reading });
        }
    }
}

/// Whether the time of ISO 8601 follows.
fn is_time(after: &str) -> bool {
    matches!(after.as_bytes(), [b'T' | b't', digit, ..] if digit.is_ascii_digit())
}

fn is_part_of_more(text: &str, start: usize, end: usize) -> bool {
    let is_joint = |char: char| matches!(char, '.' | '-' | '/');
    let mut before = text[..start].chars().rev();
    let mut after = text[end..].chars();
    (before.next().is_some_and(is_joint) && before.next().is_some_and(char::is_alphanumeric))
        || (after.next().is_some_and(is_joint) && after.next().is_some_and(|char| char.is_ascii_digit()))
}

fn read_figures(written: &str) -> Option<Reading> {
    let parts: Vec<i16> = written.split(['-', '.', '/']).filter_map(|part| part.trim().parse().ok()).collect();
    let [first, second, third] = parts[..] else { return None };
    if written.as_bytes()[..4].iter().all(u8::is_ascii_digit) {
        return Some(certain(date(first, second, third)));
    }
    let two_digits = third < 100 && !written.ends_with(&format!("{third:04}"));
    let year = if two_digits { 2000 + third } else { third };
    let (day_first, month_first) = (date(year, second, first), date(year, first, second));
    if two_digits {
        // Of which century is not said; and three small numbers that are no date may be a version.
        return (day_first.is_some() || month_first.is_some()).then_some(Reading::Is(None));
    }
    if written.contains('.') {
        return Some(certain(day_first));
    }
    // With slashes, who writes the month first cannot be told unless only one order gives a date.
    Some(match (day_first, month_first) {
        (None, None) => Reading::OnlyLooks,
        (Some(one), Some(other)) if one != other => Reading::Is(None),
        (one, other) => certain(one.or(other)),
    })
}

fn read_named(written: &str) -> Option<Reading> {
    let lower = written.to_lowercase();
    let mut words = lower.split(|char: char| !char.is_alphanumeric() && char != 'º').filter(|word| !word.is_empty());
    let (mut day, mut month, mut year) = (None, None, None);
    for word in words.by_ref() {
        let figures = word.trim_end_matches(|char: char| !char.is_ascii_digit());
        if figures.len() == 4 {
            year = figures.parse().ok();
        } else if !figures.is_empty() {
            day = figures.parse().ok();
        } else if word == "primero" {
            day = Some(1);
        } else if let Some(at) = MONTHS.iter().position(|names| names.contains(&word)) {
            month = i16::try_from(at + 1).ok();
        }
    }
    let (day, month): (i16, i16) = (day?, month?);
    match year {
        Some(year) => Some(certain(date(year, month, day))),
        // "2 may be", "march 3 miles": in small letters, these are verbs more often than months.
        None if is_verb(written) => None,
        // Without a year, 29 February must be allowed.
        None => Some(if date(2000, month, day).is_some() { Reading::Is(None) } else { Reading::OnlyLooks }),
    }
}

fn is_verb(written: &str) -> bool {
    written.split(|char: char| !char.is_alphabetic()).any(|word| matches!(word, "may" | "march" | "mar" | "dec"))
}

fn date(year: i16, month: i16, day: i16) -> Option<Date> {
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    (1900..=2100).contains(&year).then(|| Date::new(year, month, day).ok())?
}

fn certain(date: Option<Date>) -> Reading {
    date.map_or(Reading::OnlyLooks, |date| Reading::Is(Some(date.to_string())))
}
