//! Configurations of tenants, and the patterns in them.

use switchboard_core::{
    guard::{Redaction, redact},
    tenants::{Recogniser, Tenant},
    tickets::tools::entities::{extract, find},
    untrusted::Untrusted,
};
use switchboard_testkit::{fuzz::fuzz, sample};

use super::readable;

const TELECORP: &[u8] = include_bytes!("../../../../../examples/telecorp/config.json");

#[test]
fn configurations() {
    let small = sample::tenant_json().to_string();
    fuzz("tenant", &[small.as_bytes(), small.as_bytes(), small.as_bytes(), TELECORP], |input| {
        let tenant = match Tenant::from_json(input) {
            Ok(tenant) => tenant,
            Err(mistakes) => return readable(&mistakes.0),
        };
        let written = serde_json::to_vec(&tenant.config).expect("a configuration is written");
        let again = Tenant::from_json(&written).unwrap_or_else(|error| panic!("what was written is refused: {error}"));
        assert_eq!(serde_json::to_vec(&again.config).unwrap(), written);
        // What a checked configuration promises: every category and rule has its team.
        assert!(tenant.config.categories.iter().all(|category| tenant.team(&category.team).is_some()));
    });
}

const TEXT: &str = "Rufen Sie +43 660 1234567 oder mail a.b@c.example, IBAN AT61 1904 3002 3457 3201, card 4111 1111 1111 1111, \
    SVC204 and ERR-7, $1,200.50 on 2026-11-20, invoice INV-2026-001, 10.0.0.1, VAT ATU12345678, password: hunter2!";

/// What every finding must be: in the text, at characters' edges, in order and apart.
fn sound(recognisers: &[Recogniser], text: &str) {
    let found = find(recognisers, text);
    let mut end = 0;
    for one in &found {
        assert!(text.get(one.range.clone()).is_some_and(|piece| !piece.is_empty()), "{:?} of {text:?}", one.range);
        assert!(one.range.start >= end, "findings overlap");
        end = one.range.end;
    }
    let redacted = redact(&Untrusted::new(text.to_owned()), &Redaction::built_in()).as_str().to_owned();
    let twice = redact(&Untrusted::new(redacted.clone()), &Redaction::built_in());
    assert_eq!(twice.as_str(), redacted, "redacting twice changes something");
}

#[test]
fn entities() {
    let german = "Störung seit heute 8:00 Uhr! Kundennr. 4711-0815, Betrag 1.234,56 €, Tel. 0043/660/123-45-67";
    fuzz("entities", &[TEXT.as_bytes(), german.as_bytes()], |input| sound(&[], &String::from_utf8_lossy(input)));
}

#[test]
fn patterns() {
    // A pattern, a line break, a text.
    let seeds: Vec<String> = [r"\bSVC(\d{3})\b", r"(?i)order[- ]?(?P<n>[a-z0-9]{4,12})", r"(?:a|b)*c", r"^\w+\s\p{Lu}"]
        .iter()
        .map(|pattern| format!("{pattern}\n{TEXT}"))
        .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(String::as_bytes).collect();
    fuzz("pattern", &seeds, |input| {
        let input = String::from_utf8_lossy(input);
        let (pattern, text) = input.split_once('\n').unwrap_or((&input, TEXT));
        let tenant = sample::tenant_with(|_| {});
        match Recogniser::new(sample::parsed("own"), pattern, true) {
            Ok(own) => sound(&[own], text),
            // The message quotes the pattern, which is as long as its author made it.
            Err(error) => assert!(error.to_string().len() < 20 * pattern.len() + 1_000),
        }
        let entities = extract(&tenant, &Untrusted::new(text.to_owned()));
        assert!(entities.0.values().all(|values| values.len() <= switchboard_core::limits::ENTITIES_PER_KIND));
    });
}
