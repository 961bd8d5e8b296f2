//! Every parser of outside input that its crate shows, against damaged inputs: nothing panics, nothing hangs, what comes out
//! is bounded by what went in, and what is written again is read as the same. Parsers that a crate keeps to itself have
//! their targets beside them (`connect`, `knowledge`, `settings`).
//!
//! A longer run: `cargo xtask fuzz`.

mod files;
mod tenants;
mod words;

use std::slice;

use serde_json::{Value, json};
use switchboard_core::{
    error::FieldError,
    ids::IdempotencyKey,
    json::{JsonError, parse},
    tickets::{
        draft::{Envelope, TicketDraft},
        review::ReviewDraft,
    },
    webhook::{Delivery, SigningKey},
};
use switchboard_testkit::{fuzz::fuzz, sample, world::start};

use crate::tenant::ticket;

/// Mistakes that a caller can read: each has a place and words, and both are bounded whatever the input is.
fn readable(mistakes: &[FieldError]) {
    assert!(!mistakes.is_empty(), "a refusal without a reason");
    for mistake in mistakes {
        assert!(mistake.pointer.is_empty() || mistake.pointer.starts_with('/'), "{mistake:?}");
        assert!(
            !mistake.detail.is_empty() && mistake.to_string().len() < 10_000,
            "{} bytes",
            mistake.to_string().len()
        );
    }
}

fn readable_json(error: JsonError) {
    match error {
        JsonError::Shape(mistake) => readable(&[mistake]),
        syntax @ JsonError::Syntax { .. } => assert!(syntax.to_string().len() < 1_000),
    }
}

fn rich() -> Value {
    let mut ticket = ticket("T-1");
    ticket["timestamp"] = "2026-11-20T08:00:00+01:00".into();
    ticket["channel"] = "web".into();
    ticket["language"] = "de-AT".into();
    ticket["attachments"] = json!([{"name": "a.png", "type": "image/png", "url": "https://files.example/a.png?x=1#y"}]);
    ticket["metadata"] = json!({"plan": "gold", "k\u{fc}": "\u{1f525}"});
    ticket["tenant_id"] = "acme".into();
    ticket
}

#[test]
fn tickets() {
    let (plain, rich) = (ticket("T-1").to_string(), rich().to_string());
    fuzz("ticket", &[plain.as_bytes(), rich.as_bytes()], |input| {
        let draft: TicketDraft = match parse(input) {
            Ok(draft) => draft,
            Err(error) => return readable_json(error),
        };
        let envelope = Envelope {
            tenant: &sample::parsed("acme"),
            accepted_at: start(),
            correlation_id: sample::parsed("c"),
            idempotency_key: None,
        };
        match draft.validate(envelope) {
            Ok(ticket) => {
                let chars = ticket.text().read_as(|text| text.chars().count());
                assert!(chars <= 50_600 && chars <= input.len() + 4, "{chars} characters of {} bytes", input.len());
            }
            Err(mistakes) => {
                assert!(mistakes.len() < 200, "{} mistakes", mistakes.len());
                readable(&mistakes);
            }
        }
    });
}

#[test]
fn web_hooks() {
    let key = SigningKey::new(&"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()).unwrap();
    let (id, timestamp, body) = ("msg_1", "1795161600", ticket("T-1").to_string());
    let genuine = key.sign(id, timestamp, body.as_bytes());
    // The three headers and the body, a line each.
    let seed = format!("{id}\n{timestamp}\n{genuine}\n{body}");
    let several = format!("{id}\n{timestamp}\nv2,x v1,AAAA {genuine}\n{body}");
    fuzz("web-hook", &[seed.as_bytes(), several.as_bytes()], |input| {
        let mut lines = input.splitn(4, |byte| *byte == b'\n');
        let mut header = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let headers = [header(), header(), header()];
        let body_here = lines.next().unwrap_or_default();
        let delivery = Delivery { id: &headers[0], timestamp: &headers[1], signature: &headers[2], body: body_here };
        if delivery.is_signed_by(slice::from_ref(&key), start()) {
            assert_eq!((delivery.id, delivery.timestamp, body_here), (id, timestamp, body.as_bytes()), "forged");
            assert!(delivery.signature.split(' ').any(|one| one == genuine), "forged: {}", delivery.signature);
        }
        let signature = key.sign(delivery.id, delivery.timestamp, body_here);
        let signed = Delivery { signature: &signature, ..delivery };
        if signed.is_signed_by(slice::from_ref(&key), start()) {
            let sent: i64 = delivery.timestamp.parse().expect("a number");
            assert!((sent - start().as_millis() / 1_000).abs() <= 300, "{sent}");
        }
        if let Ok(key) = IdempotencyKey::of_webhook(delivery.id) {
            assert!(IdempotencyKey::of_caller(key.as_str()).is_err());
        }
    });
}

#[test]
fn reviews() {
    let whole =
        json!({"team": "billing", "priority": "high", "category": "invoice", "note": "It is \u{fc}ber the invoice."});
    fuzz("review", &[b"{}", whole.to_string().as_bytes()], |input| {
        if let Err(error) = parse::<ReviewDraft>(input) {
            readable_json(error);
        }
    });
}
