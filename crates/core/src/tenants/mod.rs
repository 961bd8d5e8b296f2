//! Tenants: the configuration as written ([`TenantConfig`]), checked and compiled into a [`Tenant`].

mod check;
mod config;
mod kept;
mod models;
mod recogniser;
mod retention;
#[cfg(test)]
mod tests;
mod trial;

use std::{collections::HashMap, sync::Arc};

use sha2::{Digest, Sha256};

pub use config::{
    CategoryConfig, CustomersConfig, DeskConfig, EntityConfig, GenericHookConfig, HooksConfig, LearningConfig,
    LevelsConfig, PriorityConfig, QuotasConfig, ReviewConfig, RuleConditions, RuleConfig, ServiceLevelConfig,
    ServiceStatusConfig, TeamConfig, TenantConfig, WebhookRepeats, WeightsConfig,
};
pub use models::{
    BudgetConfig, EmbedLink, GuardrailConfig, ModelLink, ModelsConfig, OWN_EMBEDDING_MODEL, ProviderConfig,
    SureFromConfig, TicketMode,
};
pub use recogniser::Recogniser;
pub use retention::{KeepFor, Retention, RetentionConfig, RetentionPolicy};
pub use trial::{Trial, TrialConfig, TrialKind};

use crate::{
    error::FieldError,
    ids::{CategoryId, ConfigVersion, TeamId, TenantId},
    json::{self, JsonError},
    limits,
};

/// A tenant with its checked configuration and what is compiled from it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// The configuration as written.
    pub config: TenantConfig,
    /// Which version of it this is.
    pub version: ConfigVersion,
    /// Why a newer version is not in force, when there is a broken one.
    pub problem: Option<String>,
    /// A second configuration that is tried.
    pub trial: Option<Arc<Trial>>,
    pub(crate) recognisers: Vec<Recogniser>,
    pub(crate) rule_keywords: Vec<Option<regex::Regex>>,
    categories: HashMap<CategoryId, usize>,
    teams: HashMap<TeamId, usize>,
}

/// Why a configuration is refused: every mistake with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigMistakes(pub Vec<FieldError>);

impl Tenant {
    /// Reads, checks and compiles a configuration in JSON.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigMistakes> {
        if bytes.len() > limits::TENANT_CONFIG_BYTES {
            let detail = format!("is {} bytes; at most {} are allowed", bytes.len(), limits::TENANT_CONFIG_BYTES);
            return Err(ConfigMistakes(vec![FieldError::new("", detail)]));
        }
        let config: TenantConfig = json::parse(bytes).map_err(|error| {
            ConfigMistakes(vec![match error {
                JsonError::Shape(mistake) => mistake,
                syntax @ JsonError::Syntax { .. } => FieldError::new("", syntax.to_string()),
            }])
        })?;
        Self::from_config(config, version_of(bytes))
    }

    /// Checks and compiles a configuration.
    pub fn from_config(config: TenantConfig, version: ConfigVersion) -> Result<Self, ConfigMistakes> {
        let (recognisers, rule_keywords) = check::check(&config).map_err(ConfigMistakes)?;
        let categories = config.categories.iter().enumerate().map(|(n, category)| (category.id.clone(), n)).collect();
        let teams = config.teams.iter().enumerate().map(|(n, team)| (team.id.clone(), n)).collect();
        let id = config.tenant_id.clone();
        let mut tenant =
            Self { id, config, version, problem: None, trial: None, recognisers, rule_keywords, categories, teams };
        tenant.trial = trial::compile(&tenant.config, &tenant)?;
        Ok(tenant)
    }

    /// The same version, with the reason why a newer one is not in force.
    pub fn with_problem(&self, problem: String) -> Self {
        Self { problem: Some(problem), ..self.clone() }
    }

    /// The category of that id.
    pub fn category(&self, id: &CategoryId) -> Option<&CategoryConfig> {
        self.categories.get(id).and_then(|n| self.config.categories.get(*n))
    }

    /// The team of that id.
    pub fn team(&self, id: &TeamId) -> Option<&TeamConfig> {
        self.teams.get(id).and_then(|n| self.config.teams.get(*n))
    }
}

fn version_of(bytes: &[u8]) -> ConfigVersion {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    // invariant: sixteen hexadecimal digits are the form of a version
    hex.parse().unwrap_or_else(|_| unreachable!("sixteen hexadecimal digits"))
}
