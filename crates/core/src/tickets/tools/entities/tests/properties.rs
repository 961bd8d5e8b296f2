//! What holds for every text.

use std::fmt::Write;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{super::*, tenant};
use crate::guard::{Pseudonyms, Redaction, redact};

/// Pieces that the recognisers know, and pieces that join them into something else.
const PIECES: &[&str] = &[
    "4111 1111 1111 1111",
    "4111111111111111",
    "378282246310005",
    "4111-",
    "1111",
    "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32",
    "a@b.co",
    "ana.lopez@example.org",
    "@",
    "+49 30 5550 1234",
    "(555) 123-4567",
    "0171/1234567",
    "00",
    "+",
    "(",
    ")",
    "-",
    ".",
    "/",
    " ",
    "\n",
    ",",
    ":",
    "https://example.org/a?b=c",
    "www.",
    "://u:pw0rd@",
    "10.0.0.1",
    "fe80::1",
    "123-45-6789",
    "12345678Z",
    "AB123456C",
    "86095742719",
    "2026-11-02",
    "3.11.2026",
    "5 May",
    "$1,200.50",
    "49,90 €",
    "password: ",
    "token=",
    "hunter2",
    "sk-0123456789abcdefXYZ",
    "eyJhbGciOiJI.eyJzdWIiOiIx.abc",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----END RSA PRIVATE KEY-----",
    "[email]",
    "[phone_1]",
    "[",
    "]",
    "phone",
    "order",
    "version",
    "ACC-1",
    "ORD-123",
    "SVC204",
    "ERR-504",
    "MDM-00FF12AB",
    "12 Harbour View Road",
    "Lindenstraße 14",
    "Calle Mayor 23",
    "ä",
    "é\u{301}",
    "\u{202e}",
    "١٢٣",
    "４１１１",
    "🙂",
    "x",
    "7",
    "99",
];

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,200}",
        "[0-9 .,:@+()/-]{0,200}",
        vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat()),
        vec(select(PIECES), 0..30).prop_map(|pieces| pieces.join(" ")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn findings_are_in_order_apart_and_inside(text in texts()) {
        let tenant = tenant();
        let mut end = 0;
        for found in find(&tenant.recognisers, &text) {
            prop_assert!(found.range.start >= end && !found.range.is_empty());
            prop_assert!(text.get(found.range.clone()).is_some());
            end = found.range.end;
        }
    }

    #[test]
    fn spans_count_characters(text in texts()) {
        let chars: Vec<char> = text.chars().collect();
        for entity in extract(&tenant(), &Untrusted::new(text)).0.values().flatten() {
            let span = entity.span.unwrap();
            let piece: String = chars[span.start as usize..span.end as usize].iter().collect();
            prop_assert!(entity.value == piece || entity.value.starts_with("****"));
        }
    }

    #[test]
    fn redacting_twice_changes_nothing_more(text in texts()) {
        let tenant = tenant();
        for redaction in [Redaction::built_in(), Redaction::of(&tenant)] {
            let once = redact(&Untrusted::new(text.clone()), &redaction);
            let twice = redact(&Untrusted::new(once.to_string()), &redaction);
            prop_assert_eq!(once.as_str(), twice.as_str());
            prop_assert!(twice.covered().is_empty());
        }
    }

    #[test]
    fn the_rest_stays_as_it_was(text in texts()) {
        let redacted = redact(&Untrusted::new(text.clone()), &Redaction::built_in());
        let mut rest = redacted.as_str();
        let mut from = 0;
        for covered in redacted.covered() {
            let plain = &text[from..covered.range.start];
            prop_assert!(rest.starts_with(plain));
            rest = &rest[plain.len()..];
            rest = &rest[rest.find(']').unwrap() + 1..];
            from = covered.range.end;
        }
        prop_assert_eq!(rest, &text[from..]);
    }

    #[test]
    fn a_model_s_text_can_be_restored(text in texts()) {
        let tenant = tenant();
        let redaction = Redaction::of(&tenant);
        let mut pseudonyms = Pseudonyms::default();
        let text = Untrusted::new(text);
        let covered = pseudonyms.cover(&text, &redaction);
        prop_assert!(pseudonyms.restore(&covered) == text);
        prop_assert!(pseudonyms.cover(&covered, &redaction) == covered);
    }

    #[test]
    fn no_card_account_or_mail_is_left(before in "[a-z ,.]{0,12}", card in select(&["4111111111111111", "5500 0000 0000 0004", "378282246310005"][..]),
        iban in select(&["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"][..]), after in "[a-z ,.!]{0,12}") {
        let mut text = String::new();
        write!(text, "{before} {card} {after} {iban} {after} ana@example.org {after}").unwrap();
        let redacted = redact(&Untrusted::new(text), &Redaction::built_in()).to_string();
        prop_assert!(!redacted.contains(card) && !redacted.contains(iban) && !redacted.contains("@example.org"), "{}", redacted);
    }
}
