//! E-mail addresses, also with letters beyond ASCII (RFC 6531) on both sides of the `@`.

use super::finder::{Finder, Hit, Reading};

pub(super) const FIND: Finder = find;

fn find(text: &str, hits: &mut Vec<Hit>) {
    let mut free_from = 0;
    for (at, _) in text.match_indices('@') {
        if at < free_from {
            continue;
        }
        let local = &text[free_from..at];
        let local_start = local.trim_end_matches(is_local).len();
        let local = local[local_start..].trim_start_matches(['.', '\'', '-', '+', '%']);
        let start = at - local.len();
        let domain = &text[at + 1..];
        let domain = &domain[..domain.find(|char| !is_domain(char)).unwrap_or(domain.len())];
        let length = domain_length(domain);
        if local.is_empty() || length == 0 {
            // No local part reaches beyond an `@`, so each character is looked at twice at most.
            free_from = at + 1;
            continue;
        }
        let end = at + 1 + length;
        hits.push(Hit { range: start..end, reading: Reading::Is(Some(text[start..end].to_lowercase())) });
        free_from = end;
    }
}

fn is_local(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '.' | '_' | '%' | '+' | '-' | '\'')
}

fn is_domain(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '.' | '-')
}

/// The length of the longest beginning that is a domain: labels with dots, the last one of letters.
fn domain_length(text: &str) -> usize {
    let mut longest = 0;
    let mut start = 0;
    for (n, label) in text.split('.').enumerate() {
        let letters = label.find(|char: char| !char.is_alphabetic()).unwrap_or(label.len());
        let ends_here = label[letters..].chars().next().is_none_or(|char| char == '-');
        let puny = label.len() > 4 && label.as_bytes()[..4].eq_ignore_ascii_case(b"xn--");
        if n > 0 && puny {
            longest = start + label.trim_end_matches('-').len();
        } else if n > 0 && ends_here && label[..letters].chars().nth(1).is_some() {
            longest = start + letters;
        }
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            break;
        }
        start += label.len() + 1;
    }
    longest
}
