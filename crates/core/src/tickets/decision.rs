use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::trial::TrialRecord;
use crate::{
    ids::{CategoryId, ConfigVersion, CorrelationId, CustomerId, DecisionId, EntityKind, Language, TeamId, TicketId},
    time::Timestamp,
    untrusted::Closed,
    words::words,
};

words! {
    /// How urgent a ticket is.
    PriorityLevel {
        /// Can wait.
        Low = "low",
        /// In its turn.
        Medium = "medium",
        /// Before others.
        High = "high",
        /// Now.
        Critical = "critical",
    }
}

words! {
    /// How bad an issue is.
    Severity {
        /// A question or a wish.
        Low = "low",
        /// Something does not work as it should.
        Medium = "medium",
        /// Something important does not work.
        High = "high",
        /// Nothing works, or somebody is in danger.
        Critical = "critical",
    }
}

#[expect(clippy::derivable_impls, reason = "the macro that makes the enum takes no attribute for one of its variants")]
impl Default for Severity {
    fn default() -> Self {
        Self::Medium
    }
}

words! {
    /// How a customer feels.
    Sentiment {
        /// Angry or desperate.
        Negative = "negative",
        /// Matter-of-fact.
        Neutral = "neutral",
        /// Friendly.
        Positive = "positive",
    }
}

words! {
    /// Who decided.
    DecidedBy {
        /// The local classifier.
        Local = "local",
        /// A small model.
        Small = "small",
        /// A large model.
        Large = "large",
        /// A person.
        Person = "person",
        /// A rule of the tenant.
        Rule = "rule",
    }
}

words! {
    /// How a write-back goes.
    SyncStatus {
        /// On its way.
        Pending = "pending",
        /// The ticketing system has it.
        Success = "success",
        /// Given up; it lies in the dead letters.
        Failed = "failed",
    }
}

words! {
    /// One of the seven tools of ticket routing.
    ToolName {
        /// Category, severity, sentiment, language.
        ClassifyIssue = "classify_issue",
        /// Numbers, names and amounts in the text.
        ExtractEntities = "extract_entities",
        /// Who the customer is.
        CheckVipStatus = "check_vip_status",
        /// Outages and known issues.
        CheckServiceStatus = "check_service_status",
        /// The score of urgency.
        CalculatePriority = "calculate_priority",
        /// The team.
        RouteToTeam = "route_to_team",
        /// The customer's earlier tickets.
        GetHistoricalContext = "get_historical_context",
    }
}

/// A category with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CategoryProbability {
    /// The category.
    pub category: CategoryId,
    /// 0 to 1.
    pub probability: f64,
}

/// What a ticket is about, as kept in the decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IssueClassification {
    /// The most probable category.
    pub primary_category: CategoryId,
    /// Another one, when it is probable too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary_category: Option<CategoryId>,
    /// How bad it is.
    pub severity: Severity,
    /// How the customer feels.
    pub sentiment: Sentiment,
    /// The language, when it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The most probable categories, most probable first.
    pub probabilities: Vec<CategoryProbability>,
    /// How sure the other answers are; absent in decisions of earlier versions and when the classifier failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
}

/// How sure a classifier is of what it says beside the category, each a calibrated probability from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Certainty {
    /// Of the severity.
    pub severity: f64,
    /// Of the sentiment.
    pub sentiment: f64,
    /// Of the language, when it was detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<f64>,
    /// That the ticket is about none of the categories; were such tickets as frequent as the others.
    pub out_of_scope: f64,
    /// That nobody asks for help: advertising, phishing, an automatic reply, gibberish.
    pub spam: f64,
}

/// Something that a recogniser found in a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entity {
    /// As written, at most [`crate::limits::ENTITY_CHARS`] characters. Masked, such as `**** 1111`, where the kind is
    /// sensitive: cards, bank accounts, tax numbers, secrets, and the tenant's own that are marked so.
    pub value: String,
    /// In one form: amounts as `49.90 USD`, phones in E.164, dates as `2026-11-20`, where that is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalized: Option<String>,
    /// Where it first stands. Decisions of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

impl Closed for Entity {}

/// A piece of the text `subject\n\ndescription`, counted in Unicode code points from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// The first code point.
    pub start: u32,
    /// The code point after the last one.
    pub end: u32,
}

impl Closed for Span {}

/// One term of the priority score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PriorityTerm {
    /// The term: `severity`, `vip`, `outage`, `sentiment`, `history`, `money`, `service_level`.
    pub term: String,
    /// How much of it applies, 0 to 1.
    pub value: f64,
    /// Its share of all weights, 0 to 1.
    pub weight: f64,
    /// The points it adds to the score: `100 · weight · value`.
    pub points: f64,
    /// Why, for people.
    pub reason: String,
}

/// Something that a decision had to do without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The tool that could not give it.
    pub tool: ToolName,
    /// What was missing, for people.
    pub detail: String,
}

/// One call of a tool, kept so that the decision can be followed and run again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// The tool.
    pub name: ToolName,
    /// What went in.
    #[schema(value_type = serde_json::Value)]
    pub input: serde_json::Value,
    /// What came out; the error when it failed.
    #[schema(value_type = serde_json::Value)]
    pub output: serde_json::Value,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// Whether it gave an answer.
    pub ok: bool,
}

/// Tokens that models used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// In the prompts.
    pub input: u64,
    /// In the answers.
    pub output: u64,
}

/// Where a ticket goes, how urgent it is, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// The decision; also the idempotency key of its write-back.
    pub decision_id: DecisionId,
    /// The ticket.
    pub ticket_id: TicketId,
    /// When it was decided.
    pub timestamp: Timestamp,
    /// The customer.
    pub customer_id: CustomerId,
    /// The team that gets it.
    pub assigned_team: TeamId,
    /// How urgent it is.
    pub priority_level: PriorityLevel,
    /// The score behind it, 0 to 100.
    pub priority_score: f64,
    /// The terms of the score.
    pub priority_terms: Vec<PriorityTerm>,
    /// How sure the routing is, 0 to 1.
    pub confidence_score: f64,
    /// What it is about.
    pub issue_classification: IssueClassification,
    /// What the recognisers found, by kind.
    pub entities: BTreeMap<EntityKind, Vec<Entity>>,
    /// Why, for people.
    pub reasoning: String,
    /// Whether a person should look.
    pub requires_manual_review: bool,
    /// Why a person should look.
    pub review_reasons: Vec<String>,
    /// What it had to do without.
    pub findings: Vec<Finding>,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// The classifier or model, with its version.
    pub model: String,
    /// The prompt by which a model was asked, such as `decide_ticket/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// How long it took from the start of routing, in milliseconds.
    pub processing_time_ms: f64,
    /// What was asked and answered on the way.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens that models used.
    pub tokens: Tokens,
    /// What models cost, in US dollars.
    pub cost_usd: f64,
    /// Its part in a trial of another configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialRecord>,
    /// The request that brought the ticket.
    pub correlation_id: CorrelationId,
    /// The version of the tenant's configuration.
    pub config_version: ConfigVersion,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it will be deleted, in seconds since 1970 (a DynamoDB time to live).
    pub ttl: i64,
}

/// How a write-back goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SyncState {
    /// The state.
    pub status: SyncStatus,
    /// Failed tries so far.
    pub failed_attempts: u32,
    /// What the ticketing system said, once it has the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When this last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

impl SyncState {
    /// Nothing tried yet.
    pub fn pending() -> Self {
        Self { status: SyncStatus::Pending, failed_attempts: 0, receipt: None, last_error: None, changed_at: None }
    }
}
