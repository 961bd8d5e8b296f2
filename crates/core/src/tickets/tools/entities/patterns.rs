//! Kinds that a pattern alone tells: numbers with their own prefix, and addresses of streets.

use std::sync::LazyLock;

use regex::Regex;

use super::finder::{Finder, Hit, pattern};

pub(super) const FIND_ACCOUNTS: Finder = |text, hits| all(&ACCOUNT, text, hits);
pub(super) const FIND_SERVICES: Finder = |text, hits| all(&SERVICE, text, hits);
pub(super) const FIND_ORDERS: Finder = |text, hits| all(&ORDER, text, hits);
pub(super) const FIND_ERROR_CODES: Finder = |text, hits| all(&ERROR_CODE, text, hits);
pub(super) const FIND_ADDRESSES: Finder = |text, hits| all(&ADDRESS, text, hits);

// Word boundaries are ASCII ones: Unicode's would take the engine off its fast path in every text with an umlaut.
static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u:\b)ACC-[0-9]{1,20}(?-u:\b)"));
static SERVICE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u:\b)SVC[0-9]{1,20}(?-u:\b)"));
static ORDER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?-u:\b)(?:ORD|ORDER|PO)[-#][0-9]{3,20}(?-u:\b)"));
static ERROR_CODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?-u:\b)[A-Z]{2,12}-[0-9]{1,8}(?-u:\b)"));
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)(?-u:\b)[0-9]{1,5}(?-u:\s)(?:[A-Z][A-Za-zÀ-ž]{1,30}(?-u:\s)){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Way|Court|Square|Boulevard|Blvd)(?-u:\b)
          | (?-u:\b)[A-ZÄÖÜ][A-Za-zÀ-ž-]{1,40}(?:straße|strasse|str\.|weg|platz|allee|gasse)(?-u:\s)[0-9]{1,4}[a-z]?(?-u:\b)
          | (?-u:\b)(?:Calle|Avenida|Av\.|Plaza|Paseo)(?-u:\s)(?:[A-Za-zÀ-ž]{1,30}(?-u:\s)?){1,4},?(?-u:\s)?[0-9]{1,4}(?-u:\b)",
    )
});

fn all(pattern: &Regex, text: &str, hits: &mut Vec<Hit>) {
    hits.extend(pattern.find_iter(text).map(|found| Hit::plain(found.range())));
}
