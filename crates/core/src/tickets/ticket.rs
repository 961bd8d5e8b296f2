use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ids::{Channel, CorrelationId, CustomerId, IdempotencyKey, Language, TicketId},
    limits,
    time::Timestamp,
    untrusted::Untrusted,
};

/// A ticket as accepted. What somebody wrote in it stays [`Untrusted`].
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The ticket.
    pub id: TicketId,
    /// Its customer.
    pub customer_id: CustomerId,
    /// What it is about.
    pub subject: Untrusted<String>,
    /// What the customer wrote.
    pub description: Untrusted<String>,
    /// When the customer wrote it; the time of acceptance when the caller did not say.
    pub timestamp: Timestamp,
    /// Which way it came in.
    pub channel: Option<Channel>,
    /// The language, when the caller knows it.
    pub language: Option<Language>,
    /// Files that came with it.
    pub attachments: Vec<Attachment>,
    /// The caller's own fields.
    pub metadata: Untrusted<BTreeMap<String, String>>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The request that brought it.
    pub correlation_id: CorrelationId,
    /// The caller's key that made the request repeatable.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A file that came with a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: Untrusted<String>,
    /// Its media type, as the sender said.
    pub media_type: Untrusted<String>,
    /// Where it lies.
    pub url: Untrusted<String>,
}

/// A ticket as stored, and as shown to people who may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketRecord {
    /// The ticket.
    pub ticket_id: TicketId,
    /// Its customer.
    pub customer_id: CustomerId,
    /// What it is about.
    pub subject: String,
    /// What the customer wrote.
    pub description: String,
    /// When the customer wrote it.
    pub timestamp: Timestamp,
    /// Which way it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// The language, when the caller knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// Files that came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentRecord>,
    /// The caller's own fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The request that brought it.
    pub correlation_id: CorrelationId,
    /// The caller's key that made the request repeatable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
}

/// A file that came with a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachmentRecord {
    /// Its name.
    pub name: String,
    /// Its media type, as the sender said.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Where it lies.
    pub url: String,
}

impl Ticket {
    /// The ticket for a store to keep, or for a person to see.
    pub fn to_record(&self) -> TicketRecord {
        TicketRecord {
            ticket_id: self.id.clone(),
            customer_id: self.customer_id.clone(),
            subject: self.subject.for_storage().clone(),
            description: self.description.for_storage().clone(),
            timestamp: self.timestamp,
            channel: self.channel.clone(),
            language: self.language.clone(),
            attachments: self
                .attachments
                .iter()
                .map(|attachment| AttachmentRecord {
                    name: attachment.name.for_storage().clone(),
                    media_type: attachment.media_type.for_storage().clone(),
                    url: attachment.url.for_storage().clone(),
                })
                .collect(),
            metadata: self.metadata.for_storage().clone(),
            accepted_at: self.accepted_at,
            correlation_id: self.correlation_id.clone(),
            idempotency_key: self.idempotency_key.clone(),
        }
    }

    /// Subject and description, no more of them than recognisers read ([`limits::READ_CHARS`]).
    pub fn text(&self) -> Untrusted<String> {
        let mut text = self.subject.join(&self.description).for_storage().clone();
        if let Some((end, _)) = text.char_indices().nth(limits::READ_CHARS) {
            text.truncate(end);
        }
        Untrusted::new(text)
    }

    /// The names of the fields in which a repeated request differs from this ticket. A field that the repetition leaves
    /// out does not differ.
    pub fn differences(&self, again: &Self) -> Vec<&'static str> {
        let mut fields = Vec::new();
        let mut differs = |name, is: bool| {
            if is {
                fields.push(name);
            }
        };
        differs("/ticket_id", self.id != again.id);
        differs("/customer_id", self.customer_id != again.customer_id);
        differs("/subject", self.subject != again.subject);
        differs("/description", self.description != again.description);
        let timestamp_given = again.timestamp != again.accepted_at;
        differs("/timestamp", timestamp_given && self.timestamp != again.timestamp);
        differs("/channel", again.channel.is_some() && self.channel != again.channel);
        differs("/language", again.language.is_some() && self.language != again.language);
        differs("/attachments", !again.attachments.is_empty() && self.attachments != again.attachments);
        let metadata_given = !again.metadata.for_storage().is_empty();
        differs("/metadata", metadata_given && self.metadata != again.metadata);
        fields
    }
}

impl From<TicketRecord> for Ticket {
    fn from(record: TicketRecord) -> Self {
        Self {
            id: record.ticket_id,
            customer_id: record.customer_id,
            subject: Untrusted::new(record.subject),
            description: Untrusted::new(record.description),
            timestamp: record.timestamp,
            channel: record.channel,
            language: record.language,
            attachments: record
                .attachments
                .into_iter()
                .map(|attachment| Attachment {
                    name: Untrusted::new(attachment.name),
                    media_type: Untrusted::new(attachment.media_type),
                    url: Untrusted::new(attachment.url),
                })
                .collect(),
            metadata: Untrusted::new(record.metadata),
            accepted_at: record.accepted_at,
            correlation_id: record.correlation_id,
            idempotency_key: record.idempotency_key,
        }
    }
}
