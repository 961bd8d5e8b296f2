//! A second configuration that is tried beside the first.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    ConfigMistakes, Tenant,
    config::{PriorityConfig, ReviewConfig, RuleConfig, TenantConfig},
    models::ModelsConfig,
};
use crate::{
    error::FieldError,
    ids::{TicketId, TrialName},
    limits,
    words::words,
};

words! {
    /// What becomes of the tickets that take part in a trial.
    TrialKind {
        /// They are decided as ever; what the other configuration would have decided is recorded beside it.
        Shadow = "shadow",
        /// They are decided by the other configuration.
        Split = "split",
    }
}

/// A second configuration that is tried: in the shadow of the first, or on a share of the tickets. It has these sections in place
/// of the configuration's own; what is not here is the same.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialConfig {
    /// Its name, in records and comparisons. Another name draws other tickets.
    pub name: TrialName,
    /// Whether it decides.
    pub kind: TrialKind,
    /// The share of tickets that take part, over 0 to 1; the others are what they are compared with, or are left out.
    pub share: f64,
    /// How long a ticket's decision may be kept waiting for its shadow, in seconds.
    #[serde(default = "three_seconds")]
    pub wait_seconds: u64,
    /// Language models. Without providers or a budget of its own, it has the configuration's; in any case, both spend the same
    /// tenant's money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<ModelsConfig>,
    /// When a person should look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewConfig>,
    /// How urgency is weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriorityConfig>,
    /// Rules that come before the classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_rules: Option<Vec<RuleConfig>>,
}

fn three_seconds() -> u64 {
    3
}

/// A checked trial.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its name.
    pub name: TrialName,
    /// Whether it decides.
    pub kind: TrialKind,
    /// How long a decision waits for its shadow.
    pub wait: Duration,
    /// The tenant by the other configuration.
    pub tenant: Tenant,
    share: f64,
}

impl Trial {
    /// Whether the ticket takes part: drawn by its id, so that it is the same whenever it is asked.
    pub fn takes(&self, ticket: &TicketId) -> bool {
        let digest =
            Sha256::new_with_prefix(self.name.as_str()).chain_update([0]).chain_update(ticket.as_str()).finalize();
        let drawn = digest.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        (drawn as f64) < self.share * (1_u64 << 48) as f64
    }
}

/// Checks and compiles the trial of a configuration that is well but for it.
pub(super) fn compile(config: &TenantConfig, of: &Tenant) -> Result<Option<Arc<Trial>>, ConfigMistakes> {
    let Some(trial) = &config.trial else { return Ok(None) };
    let mut mistakes = Vec::new();
    let mut add = |pointer: &str, detail: String| mistakes.push(FieldError::new(format!("/trial{pointer}"), detail));
    if !(trial.share > 0.0 && trial.share <= 1.0) {
        add("/share", "must be over 0 and at most 1".to_owned());
    }
    if trial.wait_seconds > limits::SHADOW_SECONDS {
        add("/wait_seconds", format!("must be at most {}", limits::SHADOW_SECONDS));
    }
    let TrialConfig { models, review, priority, routing_rules, .. } = trial;
    if models.is_none() && review.is_none() && priority.is_none() && routing_rules.is_none() {
        add("", "changes nothing; give it `models`, `review`, `priority` or `routing_rules`".to_owned());
    }
    if !mistakes.is_empty() {
        return Err(ConfigMistakes(mistakes));
    }
    let mut changed = TenantConfig { trial: None, ..config.clone() };
    if let Some(models) = models {
        let before = std::mem::replace(&mut changed.models, models.clone());
        if changed.models.providers.is_empty() {
            changed.models.providers = before.providers;
        }
        changed.models.budget = changed.models.budget.or(before.budget);
    }
    if let Some(review) = review {
        changed.review = review.clone();
    }
    if let Some(priority) = priority {
        changed.priority = priority.clone();
    }
    if let Some(rules) = routing_rules {
        changed.routing_rules = rules.clone();
    }
    let compiled = Tenant::from_config(changed, of.version.clone());
    let tenant = compiled.map_err(|mistakes| {
        let there = |mistake: FieldError| FieldError::new(format!("/trial{}", mistake.pointer), mistake.detail);
        ConfigMistakes(mistakes.0.into_iter().map(there).collect())
    })?;
    let wait = Duration::from_secs(trial.wait_seconds);
    Ok(Some(Arc::new(Trial { name: trial.name.clone(), kind: trial.kind, wait, tenant, share: trial.share })))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenant(trial: Value) -> Result<Tenant, ConfigMistakes> {
        let config = json!({
            "tenant_id": "t", "name": "T", "teams": [{"id": "a", "name": "A"}],
            "categories": [{"id": "c", "name": "C", "description": "d", "team": "a"}],
            "models": {
                "providers": {"p": {"kind": "openai", "url": "https://models.example.org/v1"}},
                "budget": {"month_usd": 5},
            },
            "trial": trial,
        });
        Tenant::from_json(config.to_string().as_bytes())
    }

    #[test]
    fn a_trial_has_its_sections_in_place_of_the_configurations() {
        let cascade = json!({"mode": "cascade", "small": [{"provider": "p", "model": "gpt-4o-mini"}]});
        let tenant = tenant(json!({
            "name": "with-models", "kind": "shadow", "share": 1, "models": cascade, "review": {"precision": 0.8},
        }))
        .unwrap();
        let trial = tenant.trial.as_ref().unwrap();
        assert_eq!((trial.tenant.config.models.small.len(), trial.tenant.config.models.providers.len()), (1, 1));
        assert_eq!(trial.tenant.config.models.budget.unwrap().month_usd, 5.0);
        assert_eq!((trial.tenant.config.review.precision, &trial.tenant.id), (0.8, &tenant.id));
        assert!(tenant.config.models.small.is_empty() && trial.tenant.trial.is_none());
    }

    #[test]
    fn mistakes_are_told_where_they_stand() {
        let of = |trial| tenant(trial).unwrap_err().to_string();
        let unknown = of(json!({
            "name": "x", "kind": "split", "share": 0.5,
            "models": {"mode": "cascade", "small": [{"provider": "q", "model": "gpt-4o-mini"}]},
        }));
        assert!(
            unknown.contains("/trial/models/small/0/provider") && unknown.contains("did you mean `p`"),
            "{unknown}"
        );
        let nothing = of(json!({"name": "x", "kind": "split", "share": 0.5}));
        assert!(nothing.contains("/trial") && nothing.contains("changes nothing"), "{nothing}");
        for (field, value) in [("share", json!(0)), ("share", json!(1.5)), ("wait_seconds", json!(1_000))] {
            let mut trial = json!({"name": "x", "kind": "shadow", "share": 1, "review": {"precision": 0.8}});
            trial[field] = value;
            assert!(of(trial).contains(&format!("/trial/{field}")), "{field}");
        }
        let unknown = of(json!({"name": "x", "kind": "split", "share": 0.5, "desk": {"kind": "none"}}));
        assert!(unknown.contains("desk"), "{unknown}");
    }

    #[test]
    fn tickets_are_drawn_by_their_ids_in_the_share_that_is_asked_for() {
        let of = |name: &str, share: f64| {
            let trial = json!({"name": name, "kind": "split", "share": share, "review": {"precision": 0.8}});
            let trial = tenant(trial).unwrap().trial.unwrap();
            (0..10_000).map(|n| trial.takes(&format!("T-{n}").parse().unwrap())).collect::<Vec<bool>>()
        };
        let (third, same, other) = (of("x", 0.3), of("x", 0.3), of("y", 0.3));
        let count = third.iter().filter(|takes| **takes).count();
        assert!((2_850..3_150).contains(&count), "{count}");
        assert_eq!(third, same);
        assert_ne!(third, other);
        let half = of("x", 0.5);
        assert!(third.iter().zip(&half).all(|(third, half)| *half || !third), "a larger share keeps those it has");
        assert!(of("x", 1.0).into_iter().all(|takes| takes));
    }
}
