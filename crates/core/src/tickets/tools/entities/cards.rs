//! Payment card numbers: the lengths and first digits of the issuers, and the check digit of Luhn.

use super::{
    finder::{Finder, Hit},
    label::{Label, label},
    numbers::{self, Run},
};

pub(super) const FIND: Finder = find;

/// Prefixes of numbers that are another kind's by their own words, whatever their digits.
const OWN_PREFIXES: &[&str] = &["ACC-", "ORD-", "ORD#", "ORDER-", "ORDER#", "PO-", "PO#"];

fn find(text: &str, hits: &mut Vec<Hit>) {
    numbers::runs(text, |run| {
        let mut from = 0;
        while from < run.groups.len() {
            match card_from(text, run, from) {
                Some(to) => {
                    hits.push(Hit::plain(run.groups[from].start..run.groups[to].end));
                    from = to + 1;
                }
                None => from += 1,
            }
        }
    });
}

/// The last group of a card number that begins with the group `from`.
fn card_from(text: &str, run: &Run, from: usize) -> Option<usize> {
    if has_own_prefix(&text[..run.groups[from].start]) {
        return None;
    }
    let mut digits = [0_u8; 19];
    let mut count = 0;
    // Of a number of nobody known, the longest: its first groups may pass the check by chance.
    let mut longest = None;
    for (to, group) in run.groups.iter().enumerate().skip(from) {
        if count + group.len() > digits.len() || (to > from && !(2..=7).contains(&group.len())) {
            return longest;
        }
        // Written in groups, the first has four digits: all issuers do, and lists of other numbers mostly do not.
        if to > from && run.groups[from].len() != 4 {
            return longest;
        }
        for byte in text[group.start..group.end].bytes() {
            digits[count] = byte - b'0';
            count += 1;
        }
        if (12..=19).contains(&count) && luhn(&digits[..count]) {
            let issuer = issuer(&digits[..count]);
            let is_one = match issuer {
                Issuer::Known => true,
                // So short or of nobody known, it takes the words before it to tell.
                Issuer::KnownShort => label(&text[..run.range(text, from, from).start]) != Some(Label::Other),
                Issuer::Unknown => label(&text[..run.range(text, from, from).start]) == Some(Label::Card),
            };
            if is_one && issuer != Issuer::Unknown {
                return Some(to);
            }
            longest = if is_one { Some(to) } else { longest };
        }
    }
    longest
}

fn has_own_prefix(before: &str) -> bool {
    let bytes = before.as_bytes();
    OWN_PREFIXES.iter().any(|prefix| {
        bytes.len() >= prefix.len() && bytes[bytes.len() - prefix.len()..].eq_ignore_ascii_case(prefix.as_bytes())
    })
}

/// Who issues cards that begin so and are so long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Issuer {
    Known,
    /// A card of fewer than sixteen digits from an issuer whose prefixes are many: other numbers look like it too.
    KnownShort,
    Unknown,
}

/// The issuer of a number of 12 to 19 digits, by the prefixes of ISO/IEC 7812 that the networks publish.
fn issuer(digits: &[u8]) -> Issuer {
    let prefix = digits[..6].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let length = digits.len();
    let known = match prefix {
        // Visa, Mastercard, American Express
        400_000..=499_999 => matches!(length, 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => length == 16,
        340_000..=349_999 | 370_000..=379_999 => length == 15,
        // Diners; JCB, today's and the older ones
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => matches!(length, 14 | 16 | 19),
        352_800..=358_999 => length >= 16,
        180_000..=180_099 | 213_100..=213_199 => length == 15,
        // Discover and RuPay, UnionPay, Mir
        601_100..=601_199 | 622_126..=622_925 | 644_000..=659_999 => length >= 16,
        620_000..=629_999 | 810_000..=819_999 | 220_000..=220_499 => length >= 16,
        // Maestro
        501_800..=501_899 | 502_000..=502_099 | 503_800..=503_899 | 560_000..=589_999 => return maestro(length),
        630_400..=630_499 | 639_000..=639_099 | 670_000..=679_999 => return maestro(length),
        _ => false,
    };
    if known { Issuer::Known } else { Issuer::Unknown }
}

fn maestro(length: usize) -> Issuer {
    if length >= 16 { Issuer::Known } else { Issuer::KnownShort }
}

/// Whether these digits are a card number that needs no word before it.
#[cfg(test)]
pub(super) fn is_card(digits: &[u8]) -> bool {
    (12..=19).contains(&digits.len()) && issuer(digits) == Issuer::Known && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit) * 2) {
            (0, _) => u32::from(*digit),
            (_, doubled) => doubled / 10 + doubled % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
