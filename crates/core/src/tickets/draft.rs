//! A ticket as a caller sends it, and the limits it must keep.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Attachment, Ticket};
use crate::{
    error::FieldError,
    ids::{CorrelationId, IdempotencyKey, InvalidId, TenantId},
    json::escape,
    limits,
    time::Timestamp,
    untrusted::Untrusted,
};

/// A ticket as a caller sends it. Unknown fields are refused by name, so that a typing error is seen.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketDraft {
    /// The ticket, as the caller's system names it: 1 to 128 letters, digits or any of `. _ : @ # / + = -`.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[A-Za-z0-9._:@#/+=-]+$",
        example = "T-1001"
    )]
    ticket_id: Option<String>,
    /// Its customer, in the same form.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[A-Za-z0-9._:@#/+=-]+$",
        example = "CUST-1001"
    )]
    customer_id: Option<String>,
    /// What it is about; not empty.
    #[schema(value_type = String, required, nullable = false, min_length = 1, max_length = 500, example = "No internet since this morning")]
    subject: Option<Untrusted<String>>,
    /// What the customer wrote; not empty.
    #[schema(value_type = String, required, nullable = false, min_length = 1, max_length = 50_000, example = "The router's light is red and nothing loads. My service is SVC204.")]
    description: Option<Untrusted<String>>,
    /// When the customer wrote it; the time of acceptance when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<String>,
    /// Which way it came in, such as `email`, `web` or `phone`.
    #[schema(max_length = 64, pattern = r"^[a-z0-9][a-z0-9_-]*$", example = "web")]
    channel: Option<String>,
    /// The language, such as `en` or `de-AT`; told from the text when absent.
    #[schema(pattern = r"^[a-z]{2,3}(-[A-Z]{2})?$", example = "en")]
    language: Option<String>,
    /// Files that came with it.
    #[serde(default)]
    #[schema(max_items = 20, required = false)]
    attachments: Vec<AttachmentDraft>,
    /// The caller's own fields: at most 50 strings.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    metadata: Untrusted<BTreeMap<String, String>>,
    /// The tenant; the key says it when absent, and must agree when present.
    tenant_id: Option<String>,
}

/// A file that came with a ticket.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachmentDraft {
    /// Its name.
    #[schema(value_type = String, max_length = 255)]
    name: Untrusted<String>,
    /// Its media type.
    #[serde(rename = "type")]
    #[schema(value_type = String, max_length = 255)]
    media_type: Untrusted<String>,
    /// Where it lies.
    #[schema(value_type = String, max_length = 2000)]
    url: Untrusted<String>,
}

/// What a request says beside the ticket itself.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The tenant of the caller's key.
    pub tenant: &'a TenantId,
    /// Now.
    pub accepted_at: Timestamp,
    /// The request.
    pub correlation_id: CorrelationId,
    /// The caller's key that makes the request repeatable.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl TicketDraft {
    /// The ticket, or every mistake in it.
    pub fn validate(self, envelope: Envelope<'_>) -> Result<Ticket, Vec<FieldError>> {
        let mut check = Check(Vec::new());
        let id = check.required("/ticket_id", self.ticket_id);
        let customer_id = check.required("/customer_id", self.customer_id);
        let subject = check.required_text("/subject", self.subject, limits::SUBJECT_CHARS);
        let description = check.required_text("/description", self.description, limits::DESCRIPTION_CHARS);
        let timestamp = check.optional("/timestamp", self.timestamp);
        let channel = check.optional("/channel", self.channel);
        let language = check.optional("/language", self.language);
        let attachments = check.attachments(self.attachments);
        check.metadata(&self.metadata);
        if let Some(tenant) = self.tenant_id
            && tenant != envelope.tenant.as_str()
        {
            check.refuse("/tenant_id", format!("is not the tenant of the API key, `{}`", envelope.tenant));
        }
        match (id, customer_id, subject, description) {
            (Some(id), Some(customer_id), Some(subject), Some(description)) if check.0.is_empty() => Ok(Ticket {
                id,
                customer_id,
                subject,
                description,
                timestamp: timestamp.unwrap_or(envelope.accepted_at),
                channel,
                language,
                attachments,
                metadata: self.metadata,
                accepted_at: envelope.accepted_at,
                correlation_id: envelope.correlation_id,
                idempotency_key: envelope.idempotency_key,
            }),
            _ => Err(check.0),
        }
    }
}

/// What is wrong with a text that may have so many characters.
pub(super) fn text_mistakes(pointer: &str, text: &Untrusted<String>, limit: usize) -> Vec<FieldError> {
    let mut mistakes = Vec::new();
    let chars = text.read_as(|text| text.chars().count());
    if chars > limit {
        mistakes.push(FieldError::new(pointer, format!("is {chars} characters long; at most {limit} are allowed")));
    }
    if let Some(at) = text.read_as(|text| text.chars().position(|char| char == '\0')) {
        mistakes.push(FieldError::new(pointer, format!("has a NUL character at position {at}; remove it")));
    }
    mistakes
}

struct Check(Vec<FieldError>);

impl Check {
    fn refuse(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    fn required<T: std::str::FromStr<Err = InvalidId>>(&mut self, pointer: &str, text: Option<String>) -> Option<T> {
        if text.is_none() {
            self.refuse(pointer, "is missing");
        }
        self.optional(pointer, text)
    }

    fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        pointer: &str,
        text: Option<String>,
    ) -> Option<T> {
        text?.parse().map_err(|error: T::Err| self.refuse(pointer, error.to_string())).ok()
    }

    fn required_text(
        &mut self,
        pointer: &str,
        text: Option<Untrusted<String>>,
        limit: usize,
    ) -> Option<Untrusted<String>> {
        let Some(text) = text else {
            self.refuse(pointer, "is missing");
            return None;
        };
        if text.read_as(|text| text.trim().is_empty()) {
            self.refuse(pointer, "is empty");
        }
        self.text(pointer, &text, limit);
        Some(text)
    }

    fn text(&mut self, pointer: &str, text: &Untrusted<String>, limit: usize) {
        self.0.extend(text_mistakes(pointer, text, limit));
    }

    fn attachments(&mut self, drafts: Vec<AttachmentDraft>) -> Vec<Attachment> {
        if drafts.len() > limits::ATTACHMENTS {
            let detail = format!("has {} entries; at most {} are allowed", drafts.len(), limits::ATTACHMENTS);
            self.refuse("/attachments", detail);
            return Vec::new();
        }
        for (n, draft) in drafts.iter().enumerate() {
            self.text(&format!("/attachments/{n}/name"), &draft.name, limits::ATTACHMENT_NAME_CHARS);
            self.text(&format!("/attachments/{n}/type"), &draft.media_type, limits::ATTACHMENT_NAME_CHARS);
            self.text(&format!("/attachments/{n}/url"), &draft.url, limits::URL_CHARS);
            let fetchable = draft.url.read_as(|url| {
                url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.host().is_some())
            });
            if !fetchable {
                self.refuse(&format!("/attachments/{n}/url"), "must be an http or https URL");
            }
        }
        drafts
            .into_iter()
            .map(|draft| Attachment { name: draft.name, media_type: draft.media_type, url: draft.url })
            .collect()
    }

    fn metadata(&mut self, metadata: &Untrusted<BTreeMap<String, String>>) {
        let entries = metadata.read_as(|map| map.len());
        if entries > limits::METADATA_ENTRIES {
            let detail = format!("has {entries} entries; at most {} are allowed", limits::METADATA_ENTRIES);
            self.refuse("/metadata", detail);
            return;
        }
        let mistakes = metadata.read_as(|map| {
            let mut seen = HashSet::new();
            let mut mistakes = Vec::new();
            for (n, (key, value)) in map.iter().enumerate() {
                let name: String = key.chars().filter(|char| !char.is_control()).take(40).collect();
                let key_fits = (1..=limits::METADATA_KEY_CHARS).contains(&key.chars().count()) && !key.contains('\0');
                if !key_fits && seen.insert("key") {
                    let detail = format!("key {n} must be 1 to {} characters without NUL", limits::METADATA_KEY_CHARS);
                    mistakes.push(FieldError::new("/metadata", detail));
                }
                if value.chars().count() > limits::METADATA_VALUE_CHARS || value.contains('\0') {
                    let detail = format!("must be at most {} characters without NUL", limits::METADATA_VALUE_CHARS);
                    mistakes.push(FieldError::new(format!("/metadata/{}", escape(&name)), detail));
                }
            }
            mistakes
        });
        self.0.extend(mistakes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::parse;

    fn validate(change: impl FnOnce(&mut Value)) -> Result<Ticket, Vec<FieldError>> {
        let mut value = json!({"ticket_id": "T-1", "customer_id": "C-1", "subject": "s", "description": "d"});
        change(&mut value);
        let draft: TicketDraft = parse(value.to_string().as_bytes()).unwrap();
        draft.validate(Envelope {
            tenant: &"acme".parse().unwrap(),
            accepted_at: Timestamp::from_millis(1_000),
            correlation_id: "c".parse().unwrap(),
            idempotency_key: None,
        })
    }

    fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
        let mistakes: Vec<_> = validate(change).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(mistakes, expected);
    }

    #[test]
    fn a_whole_ticket_is_taken() {
        let ticket = validate(|value| {
            value["timestamp"] = "2026-11-20T08:00:00+01:00".into();
            value["channel"] = "email".into();
            value["language"] = "de-AT".into();
            value["attachments"] =
                json!([{"name": "a.png", "type": "image/png", "url": "https://files.example/a.png"}]);
            value["metadata"] = json!({"plan": "gold"});
            value["tenant_id"] = "acme".into();
        })
        .unwrap();
        assert_eq!(ticket.timestamp.to_string(), "2026-11-20T07:00:00.000Z");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        check(
            |value| {
                *value = json!({"subject": " ", "timestamp": "now", "tenant_id": "other"});
            },
            &[
                "/ticket_id: is missing",
                "/customer_id: is missing",
                "/subject: is empty",
                "/description: is missing",
                "/timestamp: must be an RFC 3339 time such as 2026-11-20T08:15:30Z, not before 1970",
                "/tenant_id: is not the tenant of the API key, `acme`",
            ],
        );
    }

    #[test]
    fn limits_are_held_at_their_edges() {
        assert!(validate(|value| value["subject"] = "ü".repeat(500).into()).is_ok());
        check(
            |value| value["subject"] = "ü".repeat(100_000).into(),
            &["/subject: is 100000 characters long; at most 500 are allowed"],
        );
        check(
            |value| value["description"] = "a\0b".into(),
            &["/description: has a NUL character at position 1; remove it"],
        );
        let many: BTreeMap<_, _> = (0..51).map(|n| (n.to_string(), "x")).collect();
        check(|value| value["metadata"] = json!(many), &["/metadata: has 51 entries; at most 50 are allowed"]);
        check(
            |value| value["metadata"] = json!({"k": "x".repeat(1_001)}),
            &["/metadata/k: must be at most 1000 characters without NUL"],
        );
        check(
            |value| value["attachments"] = json!([{"name": "a", "type": "b", "url": "javascript:alert(1)"}]),
            &["/attachments/0/url: must be an http or https URL"],
        );
    }
}
