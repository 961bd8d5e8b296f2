//! The configuration of a tenant, as written in `tenants/{tenant_id}/config.json`. Unknown keys are refused.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{models::ModelsConfig, retention::RetentionConfig, trial::TrialConfig};
use crate::{
    ids::{AccountType, CategoryId, Channel, EntityKind, Language, SecretName, TeamId, TenantId},
    tickets::Severity,
};

/// A tenant, as its operator writes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// The tenant; also its folder's name.
    pub tenant_id: TenantId,
    /// The name for people.
    pub name: String,
    /// Languages that the tenant serves; the first one is the default.
    #[serde(default)]
    pub languages: Vec<Language>,
    /// Teams that tickets are assigned to.
    pub teams: Vec<TeamConfig>,
    /// What tickets are about.
    pub categories: Vec<CategoryConfig>,
    /// Rules that come before the classifier; the first that fits decides.
    #[serde(default)]
    pub routing_rules: Vec<RuleConfig>,
    /// How urgency is weighed.
    #[serde(default)]
    pub priority: PriorityConfig,
    /// How urgent each kind of account is.
    #[serde(default)]
    pub service_levels: Vec<ServiceLevelConfig>,
    /// When a person should look.
    #[serde(default)]
    pub review: ReviewConfig,
    /// When the classifier is trained again.
    #[serde(default)]
    pub learning: LearningConfig,
    /// How long data are kept, where that differs from the server's rule.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// How many tickets may be sent in.
    #[serde(default)]
    pub quotas: QuotasConfig,
    /// Kinds of entities beside the built-in ones.
    #[serde(default)]
    pub entities: Vec<EntityConfig>,
    /// Where customers are looked up.
    #[serde(default)]
    pub customers: CustomersConfig,
    /// Where outages are looked up.
    #[serde(default)]
    pub service_status: ServiceStatusConfig,
    /// Language models, where the local classifier is not sure.
    #[serde(default)]
    pub models: ModelsConfig,
    /// A second configuration that is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialConfig>,
    /// How other systems send tickets in without a key.
    #[serde(default)]
    pub hooks: HooksConfig,
    /// The ticketing system that decisions are written back to.
    #[serde(default)]
    pub desk: DeskConfig,
}

/// A team.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamConfig {
    /// The team.
    pub id: TeamId,
    /// The name for people.
    pub name: String,
    /// What it handles.
    #[serde(default)]
    pub description: String,
    /// The id of the team's group in the ticketing system.
    #[serde(default)]
    pub desk_group: Option<String>,
}

/// A category.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryConfig {
    /// The category.
    pub id: CategoryId,
    /// The name for people.
    pub name: String,
    /// What belongs here, in the words that customers use.
    #[serde(default)]
    pub description: String,
    /// The team that handles it.
    pub team: TeamId,
    /// How bad it usually is.
    #[serde(default)]
    pub severity: Severity,
    /// What customers write.
    #[serde(default)]
    pub examples: Vec<String>,
}

/// A rule that comes before the classifier.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// What people call it; told in the reasoning.
    pub name: String,
    /// All of these must hold.
    pub when: RuleConditions,
    /// The team that gets the ticket.
    pub team: TeamId,
}

/// The conditions of a rule. Those that are given must all hold; at least one must be given.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConditions {
    /// One of these words or phrases stands in subject or description.
    #[serde(default)]
    pub any_keyword: Vec<String>,
    /// The classifier's first category.
    #[serde(default)]
    pub category: Option<CategoryId>,
    /// An entity of this kind was found.
    #[serde(default)]
    pub entity: Option<EntityKind>,
    /// The ticket came in this way.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// The ticket is in this language.
    #[serde(default)]
    pub language: Option<Language>,
    /// The customer is, or is not, a VIP.
    #[serde(default)]
    pub vip: Option<bool>,
    /// The customer has this kind of account.
    #[serde(default)]
    pub account_type: Option<AccountType>,
    /// An active outage touches, or does not touch, a service that the ticket names.
    #[serde(default)]
    pub outage: Option<bool>,
}

/// How urgency is weighed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PriorityConfig {
    /// The weight of each term; only their proportions matter.
    pub weights: WeightsConfig,
    /// From which score on each level begins.
    pub levels: LevelsConfig,
    /// The amount, in the ticket's own currency, from which on money counts in full.
    pub money_ceiling: MoneyCeiling,
}

/// An amount above which more money does not make a ticket more urgent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct MoneyCeiling(pub f64);

impl Default for MoneyCeiling {
    fn default() -> Self {
        Self(500.0)
    }
}

/// The weight of each term of the priority.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeightsConfig {
    /// How bad the issue is.
    pub severity: f64,
    /// The customer is a VIP.
    pub vip: f64,
    /// An outage touches the ticket.
    pub outage: f64,
    /// How the customer feels.
    pub sentiment: f64,
    /// The customer came back or had to be escalated.
    pub history: f64,
    /// Money is at stake.
    pub money: f64,
    /// What the customer's contract promises.
    pub service_level: f64,
}

impl Default for WeightsConfig {
    fn default() -> Self {
        Self { severity: 35.0, vip: 15.0, outage: 20.0, sentiment: 10.0, history: 5.0, money: 5.0, service_level: 10.0 }
    }
}

/// From which score on each level begins; below the last one is `low`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LevelsConfig {
    /// `critical` from here on.
    pub critical: f64,
    /// `high` from here on.
    pub high: f64,
    /// `medium` from here on.
    pub medium: f64,
}

impl Default for LevelsConfig {
    fn default() -> Self {
        Self { critical: 75.0, high: 55.0, medium: 30.0 }
    }
}

/// How urgent a kind of account is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevelConfig {
    /// The kind of account.
    pub account_type: AccountType,
    /// 0 to 1.
    pub urgency: f64,
}

/// When a person should look.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReviewConfig {
    /// How often what is routed without a person should be right, such as 0.97. The confidence that this takes is learned
    /// from held-back examples; a routing that is less sure wants review. From 0 (nothing is reviewed for its confidence)
    /// to 1.
    pub precision: f64,
}

impl Default for ReviewConfig {
    fn default() -> Self {
        Self { precision: 0.9 }
    }
}

/// When the tenant's classifier is trained again, in the server.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LearningConfig {
    /// Whether it is.
    pub automatic: bool,
    /// After so many reviews since the last training.
    pub after_reviews: u32,
    /// After so many hours, when there is anything new.
    pub every_hours: u32,
}

impl Default for LearningConfig {
    fn default() -> Self {
        Self { automatic: true, after_reviews: 50, every_hours: 24 }
    }
}

/// How many tickets may be sent in; what is absent has no quota. Days are those of UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotasConfig {
    /// Of the whole tenant, a day.
    pub tickets_per_day: Option<u32>,
    /// Of each of its customers, a day.
    pub tickets_per_customer_per_day: Option<u32>,
}

/// A kind of entity that the tenant defines.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EntityConfig {
    /// Its name.
    pub name: EntityKind,
    /// A regular expression without look-around and back-references, so that it runs in linear time.
    pub pattern: String,
    /// Whether what it finds is masked in decisions and covered in logs.
    #[serde(default)]
    pub sensitive: bool,
}

/// Where customers are looked up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CustomersConfig {
    /// In Switchboard's own store.
    #[default]
    Store,
    /// At `GET {url}/customers/{id}`; the store keeps what was answered.
    Http {
        /// The base URL.
        url: String,
        /// The bearer token's name among the secrets.
        #[serde(default)]
        token: Option<SecretName>,
        /// How long an answer is good for, in seconds.
        #[serde(default = "five_minutes")]
        cache_seconds: u64,
    },
}

fn five_minutes() -> u64 {
    300
}

/// Where outages are looked up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ServiceStatusConfig {
    /// Nowhere.
    #[default]
    None,
    /// In a file of the tenant's folder.
    File {
        /// The path within the folder.
        path: String,
    },
    /// At `POST {url}/status/batch`.
    Http {
        /// The base URL.
        url: String,
        /// The bearer token's name among the secrets.
        #[serde(default)]
        token: Option<SecretName>,
    },
}

/// Web hooks that come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HooksConfig {
    /// Tickets by `POST /hooks/generic`, signed as <https://www.standardwebhooks.com> asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic: Option<GenericHookConfig>,
}

/// Web hooks signed as <https://www.standardwebhooks.com> asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenericHookConfig {
    /// The signing secrets' names among the secrets: one, or two while it is changed.
    pub secrets: Vec<SecretName>,
}

/// What a web hook's receiver makes of a delivery that it has seen before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookRepeats {
    /// Nothing, as Standard Webhooks asks: repeating is safe.
    #[default]
    Safe,
    /// The same again: a delivery whose outcome is not known is not repeated unseen.
    Never,
}

/// The ticketing system that decisions are written back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DeskConfig {
    /// None: decisions stay here.
    #[default]
    None,
    /// One JSON file a decision, in a folder of the tenant's folder.
    Folder {
        /// The path within the folder.
        path: String,
    },
    /// A web hook signed as <https://www.standardwebhooks.com> asks.
    Webhook {
        /// Where it is sent.
        url: String,
        /// The signing secret's name among the secrets.
        secret: SecretName,
        /// Whether the receiver drops what it has seen before, told by `webhook-id`.
        #[serde(default)]
        repeats: WebhookRepeats,
        /// Where a receiver that does not can be asked whether it has acted: a URL with `{key}` in its path or query for
        /// the id. 200 says yes, 404 says no.
        #[serde(default)]
        look_up: Option<String>,
    },
    /// Zendesk.
    Zendesk {
        /// Such as `https://example.zendesk.com`.
        url: String,
        /// The agent as whom Switchboard acts.
        email: String,
        /// The API token's name among the secrets.
        token: SecretName,
        /// What stands before Zendesk's number in our ticket ids.
        #[serde(default)]
        ticket_prefix: String,
    },
}
