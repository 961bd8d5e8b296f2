//! Amounts of money: a number with thousands separators of either kind, and a currency.

use std::sync::LazyLock;

use regex::Regex;

use super::finder::{Finder, Hit, Reading, pattern, stands_alone};

pub(super) const FIND: Finder = find;

/// What people write for a currency, in small letters, and its code of ISO 4217 where one is certain.
const CURRENCIES: &[(&str, Option<&str>)] = &[
    ("us$", Some("USD")),
    ("€", Some("EUR")),
    ("£", Some("GBP")),
    ("eur", Some("EUR")),
    ("gbp", Some("GBP")),
    ("usd", Some("USD")),
    ("chf", Some("CHF")),
    ("fr.", Some("CHF")),
    ("mxn", Some("MXN")),
    ("cad", Some("CAD")),
    ("aud", Some("AUD")),
    ("jpy", Some("JPY")),
    ("pln", Some("PLN")),
    ("sek", Some("SEK")),
    ("ars", Some("ARS")),
    ("cop", Some("COP")),
    ("clp", Some("CLP")),
    ("¥", None),
    ("peso", None),
    ("pound", Some("GBP")),
    ("dollar", Some("USD")),
    ("dólar", Some("USD")),
    ("dolar", Some("USD")),
    ("franken", Some("CHF")),
    ("libra", Some("GBP")),
    ("$", Some("USD")),
];

static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    const SPACE: &str = r"[\ \x{a0}\x{202f}\t]";
    const CENTS: &str = r"(?:[.,][0-9]{1,2})?";
    const CODES: &str = "USD|EUR|GBP|CHF|MXN|CAD|AUD|JPY|PLN|SEK|ARS|COP|CLP";
    pattern(&format!(
        r"(?x)(?:(?:US\$|[$€£¥]|(?-u:\b)(?:{CODES})){SPACE}?[0-9]{{1,3}}(?:[.,'’\ \x{{a0}}\x{{202f}}]?[0-9]{{3}}){{0,3}}{CENTS}(?-u:\b)
          | (?-u:\b)[0-9]{{1,3}}(?:[.,'’\x{{a0}}\x{{202f}}]?[0-9]{{3}}){{0,3}}{CENTS}(?:,-)?{SPACE}?(?:[$€£¥]
              | (?i:{CODES}|euros?|dollars?|dólares|dolares|dólar|pounds?|libras|franken|pesos?)(?-u:\b)))"
    ))
});

fn find(text: &str, hits: &mut Vec<Hit>) {
    for found in PATTERN.find_iter(text) {
        if !stands_alone(text, &found.range()) || follows_more(&text[..found.start()]) {
            continue;
        }
        let form = amount(found.as_str()).map(|(value, currency)| format!("{value:.2} {currency}"));
        hits.push(Hit { range: found.range(), reading: Reading::Is(form) });
    }
}

/// Whether digits of the same number stand before: then the amount would be a wrong one.
fn follows_more(before: &str) -> bool {
    let mut before = before.chars().rev();
    before.next().is_some_and(|char| matches!(char, '.' | ',' | '\'' | '-'))
        && before.next().is_some_and(|char| char.is_ascii_digit())
}

/// The amount and its currency (ISO 4217). The last separator is the decimal one when one or two digits follow it; with
/// three digits after it, it groups thousands.
pub fn amount(text: &str) -> Option<(f64, &'static str)> {
    let lower = text.to_lowercase();
    let currency = CURRENCIES.iter().find(|(written, _)| lower.contains(written)).and_then(|(_, code)| *code)?;
    let number: String = text.chars().filter(|char| char.is_ascii_digit() || ".,".contains(*char)).collect();
    let number = number.trim_matches(['.', ',']);
    let (whole, cents) = match number.rfind(['.', ',']) {
        Some(at) if number.len() - at <= 3 => (&number[..at], &number[at + 1..]),
        _ => (number, ""),
    };
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    let value: f64 = format!("{whole}.{cents}0").parse().ok()?;
    (value < 1e12).then_some((value, currency))
}
