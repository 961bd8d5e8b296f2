//! What happened, as kept in the queue and the archive, and as published on an event bus.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{
        AccountType, CategoryId, CorrelationId, CustomerId, DecisionId, EffectId, EventId, TeamId, TenantId, TicketId,
    },
    ports::{Lane, TenantScope},
    tickets::{
        PriorityLevel, Ticket,
        review::{Changed, Reviewer},
    },
    time::Timestamp,
    untrusted::Untrusted,
};

/// Something that happened, once.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id; ids sort by time.
    pub id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it happened.
    pub at: Timestamp,
    /// The request that led to it.
    pub correlation_id: CorrelationId,
    /// What happened.
    pub detail: EventDetail,
}

/// What happened: the closed list, so that one `match` shows everything that can follow.
#[derive(Clone, Debug)]
pub enum EventDetail {
    /// A ticket was accepted.
    TicketReceived(TicketReceived),
    /// A ticket has its decision.
    TicketRouted(TicketRouted),
    /// A person has confirmed or corrected a decision.
    TicketReviewed(TicketReviewed),
    /// The ticketing system has the decision.
    TicketSynced(TicketSynced),
    /// The ticketing system does not have the decision, and nobody will try again by himself.
    TicketSyncFailed(TicketSyncFailed),
}

/// A ticket was accepted.
#[derive(Clone, Debug)]
pub struct TicketReceived {
    /// The ticket.
    pub ticket_id: TicketId,
    /// Its customer.
    pub customer_id: CustomerId,
    /// What it is about.
    pub subject: Untrusted<String>,
    /// What the customer wrote.
    pub description: Untrusted<String>,
    /// When the customer wrote it.
    pub timestamp: Timestamp,
    /// What was known of the customer when the ticket came in.
    pub customer_context: Option<CustomerContext>,
}

/// What was known of a customer when the ticket came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerContext {
    /// Whether the customer is a VIP.
    pub is_vip: bool,
    /// The kind of account.
    pub account_type: AccountType,
}

/// A ticket has its decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketRouted {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The decision.
    pub decision_id: DecisionId,
    /// The team that gets it.
    pub assigned_team: TeamId,
    /// How urgent it is.
    pub priority_level: PriorityLevel,
    /// How sure the routing is, 0 to 1.
    pub confidence_score: f64,
    /// Whether a person should look.
    pub requires_manual_review: bool,
}

/// A person has confirmed or corrected a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketReviewed {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The review.
    pub review_id: DecisionId,
    /// The decision that was reviewed.
    pub decision_id: DecisionId,
    /// Who has looked.
    pub reviewer: Reviewer,
    /// The team that gets the ticket.
    pub assigned_team: TeamId,
    /// How urgent it is.
    pub priority_level: PriorityLevel,
    /// What it is about.
    pub primary_category: CategoryId,
    /// What differs from the decision.
    pub changed: Changed,
    /// Whether the ticketing system is to be told.
    pub write_back: bool,
}

/// The ticketing system has the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSynced {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The decision, or the review.
    pub decision_id: DecisionId,
    /// What the ticketing system said.
    pub receipt: String,
}

/// The ticketing system does not have the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSyncFailed {
    /// The ticket.
    pub ticket_id: TicketId,
    /// The decision, or the review.
    pub decision_id: DecisionId,
    /// Why, for the people who run the system.
    pub error: String,
}

impl Event {
    /// The scope of the tenant whose event it is.
    pub fn scope(&self) -> TenantScope {
        TenantScope::of_event(self)
    }

    /// The JSON of the detail, for the queue, the archive and the event bus.
    pub fn detail_json(&self) -> String {
        // invariant: plain structs of strings, numbers and booleans always serialise
        let json = match &self.detail {
            EventDetail::TicketReceived(detail) => serde_json::to_string(&ReceivedRecord::from(detail)),
            EventDetail::TicketRouted(detail) => serde_json::to_string(detail),
            EventDetail::TicketReviewed(detail) => serde_json::to_string(detail),
            EventDetail::TicketSynced(detail) => serde_json::to_string(detail),
            EventDetail::TicketSyncFailed(detail) => serde_json::to_string(detail),
        };
        json.unwrap_or_default()
    }
}

impl EventDetail {
    /// The name of the event on the bus (`detail-type` of EventBridge).
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::TicketReceived(_) => "TicketReceived",
            Self::TicketRouted(_) => "TicketRouted",
            Self::TicketReviewed(_) => "TicketReviewed",
            Self::TicketSynced(_) => "TicketSynced",
            Self::TicketSyncFailed(_) => "TicketSyncFailed",
        }
    }

    /// The ticket that it is about.
    pub fn ticket_id(&self) -> &TicketId {
        match self {
            Self::TicketReceived(detail) => &detail.ticket_id,
            Self::TicketRouted(detail) => &detail.ticket_id,
            Self::TicketReviewed(detail) => &detail.ticket_id,
            Self::TicketSynced(detail) => &detail.ticket_id,
            Self::TicketSyncFailed(detail) => &detail.ticket_id,
        }
    }

    /// Whether somebody has work to do when it happens; the others are only archived.
    pub fn makes_work(&self) -> bool {
        match self {
            Self::TicketReceived(_) | Self::TicketRouted(_) => true,
            Self::TicketReviewed(detail) => detail.write_back,
            Self::TicketSynced(_) | Self::TicketSyncFailed(_) => false,
        }
    }

    /// The effect outside that its work has.
    pub fn effect(&self) -> Option<EffectId> {
        match self {
            Self::TicketRouted(detail) => Some(EffectId::from(&detail.decision_id)),
            Self::TicketReviewed(detail) => detail.write_back.then(|| EffectId::from(&detail.review_id)),
            Self::TicketReceived(_) | Self::TicketSynced(_) | Self::TicketSyncFailed(_) => None,
        }
    }

    /// How soon it is worked on: what is known to be pressing comes first.
    pub fn lane(&self) -> Lane {
        let priority = match self {
            Self::TicketRouted(detail) => detail.priority_level,
            Self::TicketReviewed(detail) => detail.priority_level,
            Self::TicketReceived(_) | Self::TicketSynced(_) | Self::TicketSyncFailed(_) => return Lane::Ordinary,
        };
        match priority {
            PriorityLevel::Critical | PriorityLevel::High => Lane::Urgent,
            PriorityLevel::Medium | PriorityLevel::Low => Lane::Ordinary,
        }
    }

    /// Reads back what [`Event::detail_json`] wrote.
    pub fn from_record(detail_type: &str, json: &str) -> Result<Self, serde_json::Error> {
        Ok(match detail_type {
            "TicketReceived" => Self::TicketReceived(serde_json::from_str::<ReceivedRecord<'_>>(json)?.into()),
            "TicketRouted" => Self::TicketRouted(serde_json::from_str(json)?),
            "TicketReviewed" => Self::TicketReviewed(serde_json::from_str(json)?),
            "TicketSynced" => Self::TicketSynced(serde_json::from_str(json)?),
            "TicketSyncFailed" => Self::TicketSyncFailed(serde_json::from_str(json)?),
            _ => return Err(serde::de::Error::custom("unknown detail type")),
        })
    }
}

impl TicketReceived {
    /// The event of `ticket`.
    pub fn of(ticket: &Ticket) -> Self {
        Self {
            ticket_id: ticket.id.clone(),
            customer_id: ticket.customer_id.clone(),
            subject: ticket.subject.clone(),
            description: ticket.description.clone(),
            timestamp: ticket.timestamp,
            customer_context: None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ReceivedRecord<'a> {
    ticket_id: TicketId,
    customer_id: CustomerId,
    #[serde(borrow)]
    subject: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    description: std::borrow::Cow<'a, str>,
    timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer_context: Option<CustomerContext>,
}

impl<'a> From<&'a TicketReceived> for ReceivedRecord<'a> {
    fn from(detail: &'a TicketReceived) -> Self {
        Self {
            ticket_id: detail.ticket_id.clone(),
            customer_id: detail.customer_id.clone(),
            subject: detail.subject.for_storage().as_str().into(),
            description: detail.description.for_storage().as_str().into(),
            timestamp: detail.timestamp,
            customer_context: detail.customer_context.clone(),
        }
    }
}

impl From<ReceivedRecord<'_>> for TicketReceived {
    fn from(record: ReceivedRecord<'_>) -> Self {
        Self {
            ticket_id: record.ticket_id,
            customer_id: record.customer_id,
            subject: Untrusted::new(record.subject.into_owned()),
            description: Untrusted::new(record.description.into_owned()),
            timestamp: record.timestamp,
            customer_context: record.customer_context,
        }
    }
}
