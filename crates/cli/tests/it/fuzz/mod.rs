//! Every parser of outside input that its crate shows, against damaged inputs: nothing panics, nothing hangs, what comes out
//! is bounded by what went in, and what is written again is read as the same. Parsers that a crate keeps to itself have
//! their targets beside them (`connect`, `knowledge`, `settings`).
//!
//! A longer run: `SWITCHBOARD_TEST_FUZZ=1000000 cargo test -p switchboard --test it fuzz`.

mod files;
mod tenants;
mod words;

use serde_json::{Value, json};
use switchboard_core::{
    error::FieldError,
    json::{JsonError, parse},
    tickets::{
        draft::{Envelope, TicketDraft},
        review::ReviewDraft,
    },
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
fn reviews() {
    let whole =
        json!({"team": "billing", "priority": "high", "category": "invoice", "note": "It is \u{fc}ber the invoice."});
    fuzz("review", &[b"{}", whole.to_string().as_bytes()], |input| {
        if let Err(error) = parse::<ReviewDraft>(input) {
            readable_json(error);
        }
    });
}
