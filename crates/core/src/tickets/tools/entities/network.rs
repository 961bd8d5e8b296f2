//! Addresses of the net: URLs, and IP addresses of both versions.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use regex::Regex;

use super::{
    finder::{Finder, Hit, Reading, pattern, stands_alone},
    label::{Label, label},
};

pub(super) const FIND_URLS: Finder = find_urls;
pub(super) const FIND_IPS: Finder = find_ips;

static URL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)(?-u:\b)(?:(?:https?|ftp|wss?)://|www\.)[^\s<>"`{}|\\^\[\]]+"#));
static IP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)(?-u:\b)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?-u:\b) | [0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:(?:\.[0-9]{1,3}){3})?",
    )
});

fn find_urls(text: &str, hits: &mut Vec<Hit>) {
    for found in URL.find_iter(text) {
        let written = trim_url(found.as_str());
        let range = found.start()..found.start() + written.len();
        let with_scheme = if written.contains("://") { written.to_owned() } else { format!("https://{written}") };
        let host = url::Url::parse(&with_scheme).ok().and_then(|url| url.host_str().map(str::to_owned));
        // "www." alone, or "http://" before nothing, is a word about addresses.
        if host.is_some_and(|host| host.len() > 1 && host != "www." && !host.ends_with("..")) {
            hits.push(Hit::plain(range));
        }
    }
}

/// Without the punctuation of the sentence around it.
fn trim_url(mut written: &str) -> &str {
    loop {
        let trimmed = written.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '"', '*', '…', '“', '”', '’', '»']);
        let closing = trimmed.ends_with(')') && !trimmed.contains('(');
        let shorter = if closing { &trimmed[..trimmed.len() - 1] } else { trimmed };
        if shorter.len() == written.len() {
            return written;
        }
        written = shorter;
    }
}

fn find_ips(text: &str, hits: &mut Vec<Hit>) {
    for found in IP.find_iter(text) {
        // A colon may follow before a port or at the end of a clause.
        let written = found.as_str();
        let written = if written.ends_with("::") { written } else { written.trim_end_matches(':') };
        let range = found.start()..found.start() + written.len();
        if !stands_alone(text, &range) || is_part_of_more(text, range.start, range.end) {
            continue;
        }
        let form = if written.contains(':') { ip_v6(written) } else { ip_v4(written) };
        if let Some(form) = form
            && label(&text[..range.start]) != Some(Label::Version)
        {
            hits.push(Hit { range, reading: Reading::Is(Some(form)) });
        }
    }
}

fn is_part_of_more(text: &str, start: usize, end: usize) -> bool {
    let mut before = text[..start].chars().rev();
    let mut after = text[end..].chars();
    let joined_before = matches!(before.next(), Some('.' | '-')) && before.next().is_some_and(char::is_alphanumeric);
    let joined_after = matches!(after.next(), Some('.' | '-')) && after.next().is_some_and(char::is_alphanumeric);
    joined_before || joined_after
}

fn ip_v4(written: &str) -> Option<String> {
    written.parse::<Ipv4Addr>().ok().map(|address| address.to_string())
}

fn ip_v6(written: &str) -> Option<String> {
    // Without a digit it is a path in a program: "fade::bad".
    let has_digit = written.bytes().any(|byte| byte.is_ascii_digit());
    written.parse::<Ipv6Addr>().ok().filter(|_| has_digit).map(|address| address.to_string())
}
