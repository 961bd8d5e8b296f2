//! What opens something: keys of well-known services, tokens, private keys, passwords that a text names as such.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::finder::{Finder, Hit, pattern};

pub(super) const FIND: Finder = find;

/// Keys that their services begin with their own letters, and JSON web tokens.
static PREFIXED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)(?-u:\b)(?:
            sk-[A-Za-z0-9_-]{16,} | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,} | sb_(?:live|test)_[A-Za-z0-9_-]{16,}
          | (?:AKIA|ASIA|AGPA|AIDA|AROA)[0-9A-Z]{16} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
          | gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{16,} | xox[abeoprs]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}
          | AIza[0-9A-Za-z_-]{30,} | ya29\.[A-Za-z0-9_-]{20,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
          | hf_[A-Za-z0-9]{20,} | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_-]{30,} | dop_v1_[a-f0-9]{40,} | shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,}
          | whsec_[A-Za-z0-9+/=_-]{16,} | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
        )",
    )
});

/// A word for a secret, then the secret: group 1 is the assignment, 2 the value.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi)(?:
            (?:password|passwort|kennwort|contraseña|contrasena|passwd|passphrase|pwd|secret|api[_\ -]?key|apikey|api[_-]?token
              |access[_\ -]?key|access[_-]?token|auth[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|token|clave)
            ["']?(?-u:\s){0,3}(:=?|=>?|(?-u:\b)(?:is|ist|lautet|es)(?-u:\b):?)(?-u:\s){0,3}["'“„«`]?([^\s"'“”„«»`,;]{4,})
          | (?-u:\b)(?:pin|puk|tan|cvv2?|cvc2?)(?-u:\b)["']?(?-u:\s){0,3}(:|=|(?:is|ist|lautet|es)(?-u:\b):?)?(?-u:\s){0,3}["'“„«`]?([0-9]{3,8})(?-u:\b)
          | (?-u:\b)(?:bearer|basic)((?-u:\s))([A-Za-z0-9._~+/-]{16,}=*)
          | (://)[^\s/:@]{1,64}:([^\s/@]{1,128})@
        )"#,
    )
});

static PRIVATE_KEY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"));

fn find(text: &str, hits: &mut Vec<Hit>) {
    let mut ranges = private_keys(text);
    let prefixed = PREFIXED.find_iter(text).map(|found| found.range());
    // A word that only begins like a key has no digit: "sk-learn-style-estimators".
    ranges.extend(prefixed.filter(|range| text[range.clone()].bytes().any(|byte| byte.is_ascii_digit())));
    ranges.extend(ASSIGNED.captures_iter(text).filter_map(|captures| {
        let (assignment, value) =
            (1..captures.len()).step_by(2).find_map(|n| Some((captures.get(n), captures.get(n + 1)?)))?;
        let trimmed = value.as_str().trim_end_matches(['.', ',', ';', ':', ')', ']', '}', '>']);
        let range = value.start()..value.start() + trimmed.len();
        is_value(text, &range, assignment.map_or("", |sign| sign.as_str())).then_some(range)
    }));
    // The three may meet, "token: ghp_…": one hit each, from the first byte to the last.
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    hits.extend(joined.into_iter().map(Hit::plain));
}

/// Whether what follows the word for a secret is one, and not the rest of a sentence: "my password is wrong".
fn is_value(text: &str, range: &Range<usize>, sign: &str) -> bool {
    let value = &text[range.clone()];
    if value.chars().count() < 3 {
        return false;
    }
    let is_word = value.chars().all(char::is_alphabetic) && value.chars().skip(1).all(char::is_lowercase);
    if sign.starts_with('=') || !is_word {
        return true;
    }
    // A plain word is a password only where nothing goes on after a colon.
    sign.starts_with(':')
        && text[range.end..].trim_start_matches(['"', '\'', '.', ' ']).chars().next().is_none_or(|char| char == '\n')
}

/// Private keys in PEM, from the first line to the last; without a last one, as far as lines look like base64.
fn private_keys(text: &str) -> Vec<Range<usize>> {
    const END: &str = "-----END ";
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut no_more_ends = false;
    for begin in PRIVATE_KEY.find_iter(text) {
        if ranges.last().is_some_and(|last| begin.start() < last.end) {
            continue;
        }
        let body = &text[begin.end()..];
        let end = if no_more_ends { None } else { body.find(END) };
        no_more_ends |= end.is_none();
        let length = match end {
            Some(at) => {
                let last_line = &body[at + END.len()..];
                at + END.len() + last_line.find("-----").filter(|dashes| *dashes <= 60).map_or(0, |dashes| dashes + 5)
            }
            None => {
                let is_body = |line: &&str| !line.trim_end().contains(' ');
                body.split_inclusive('\n').take_while(is_body).map(str::len).sum()
            }
        };
        ranges.push(begin.start()..begin.end() + length);
    }
    ranges
}
