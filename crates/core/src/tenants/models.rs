//! Which language models a tenant uses, and what they may cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Mistakes, check_url};
use crate::{
    ids::{ProviderName, SecretName},
    limits,
    models::{ModelPrice, NanoUsd, PriceList},
    ports::Ceilings,
};

/// Language models: none unless they are configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// How tickets are decided.
    pub mode: TicketMode,
    /// Where models are asked.
    pub providers: BTreeMap<ProviderName, ProviderConfig>,
    /// The models asked first where the local classifier is not sure, each when the ones before it fail.
    pub small: Vec<ModelLink>,
    /// The models asked where the small one is not sure either.
    pub large: Vec<ModelLink>,
    /// The model that turns texts into vectors. It is one and no chain: vectors of two models cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<EmbedLink>,
    /// How sure a model must say that it is, 0 to 1, for its answer to stand without a look; `switchboard eval --tune` finds
    /// good values.
    pub sure_from: SureFromConfig,
    /// What may be spent. Without models it need not be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetConfig>,
}

/// How tickets are decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketMode {
    /// By the local classifier alone.
    #[default]
    Local,
    /// By the local classifier where it is sure, else by a small model, else by a large one, else by a person.
    Cascade,
    /// By a model that calls the tools itself, the large one where there is one; else as without it.
    Agent,
}

/// How sure a model must say that it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SureFromConfig {
    /// The small one; else the large one is asked.
    pub small: f64,
    /// The large one; else a person is.
    pub large: f64,
}

impl Default for SureFromConfig {
    fn default() -> Self {
        Self { small: 0.8, large: 0.7 }
    }
}

/// A provider of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ProviderConfig {
    /// Any server with OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp.
    Openai {
        /// The base URL, such as `https://api.openai.com/v1`.
        url: String,
        /// The API key's name among the secrets, where one is needed.
        #[serde(default)]
        key: Option<SecretName>,
        /// A provider of kind `bedrock` whose guardrail reads what outsiders write before it goes to the models, and their
        /// answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guardrail: Option<ProviderName>,
    },
    /// Amazon Bedrock, with the credentials of the program's own: environment, profile or role.
    Bedrock {
        /// The region, such as `eu-central-1`; without it, the one of the program's settings or environment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// What checks prompts and answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guardrail: Option<GuardrailConfig>,
    },
    /// The program itself, by [`OWN_EMBEDDING_MODEL`] on its own processor, for vectors alone. They cost nothing.
    Local {},
}

/// A guardrail of Amazon Bedrock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardrailConfig {
    /// Its id or ARN.
    pub id: String,
    /// Its version: a number, or `DRAFT`.
    pub version: String,
}

/// The only model of [`ProviderConfig::Local`].
pub const OWN_EMBEDDING_MODEL: &str = "all-MiniLM-L6-v2";

/// One model of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelLink {
    /// One of the providers.
    pub provider: ProviderName,
    /// The model, as the provider names it.
    pub model: String,
    /// What it costs; without it, what the program's price list says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<ModelPrice>,
}

/// The model that turns texts into vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedLink {
    /// One of the providers.
    pub provider: ProviderName,
    /// The model, as the provider names it.
    pub model: String,
    /// Dimensions of its vectors, where the model lets one choose; without it, as many as it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// What it costs; without it, what the program's price list says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<ModelPrice>,
}

/// What may be spent on models, in US dollars. Days and months are those of UTC. What is used up is not asked any more, and
/// tickets are decided by the local classifier and by people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetConfig {
    /// By the tenant in a month.
    pub month_usd: f64,
    /// By the tenant in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day_usd: Option<f64>,
    /// For one of its customers in a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_day_usd: Option<f64>,
}

impl ProviderConfig {
    /// The word for its kind, as in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Openai { .. } => "openai",
            Self::Bedrock { .. } => "bedrock",
            Self::Local {} => "local",
        }
    }
}

impl ModelLink {
    /// What the model costs: a checked configuration has a price for each.
    pub fn price(&self) -> ModelPrice {
        let known = self.price.or_else(|| PriceList::built_in().of(&self.model));
        known.unwrap_or(UNKNOWN_PRICE)
    }
}

/// A model that costs what nobody knows is never asked, because no budget has room for it.
const UNKNOWN_PRICE: ModelPrice = ModelPrice { input: f64::INFINITY, output: f64::INFINITY };

impl EmbedLink {
    /// What the model costs: a checked configuration has a price for it.
    pub fn price(&self, config: &ModelsConfig) -> ModelPrice {
        self.known_price(config).unwrap_or(UNKNOWN_PRICE)
    }

    fn known_price(&self, config: &ModelsConfig) -> Option<ModelPrice> {
        let own = matches!(config.providers.get(&self.provider), Some(ProviderConfig::Local {}));
        let listed = || if own { Some(ModelPrice::FREE) } else { PriceList::built_in().of(&self.model) };
        self.price.or_else(listed)
    }
}

impl BudgetConfig {
    /// The ceilings, as the ledger takes them.
    pub fn ceilings(&self) -> Ceilings {
        Ceilings {
            month: Some(NanoUsd::from_usd(self.month_usd)),
            day: self.day_usd.map(NanoUsd::from_usd),
            customer_day: self.customer_day_usd.map(NanoUsd::from_usd),
        }
    }
}

/// Checks the providers, the chains, their prices and the budget.
pub(super) fn check(config: &ModelsConfig, mistakes: &mut Mistakes) {
    for (name, provider) in &config.providers {
        let pointer = format!("/models/providers/{name}");
        match provider {
            ProviderConfig::Openai { url, guardrail, .. } => {
                check_url(&format!("{pointer}/url"), url, mistakes);
                if let Some(named) = guardrail {
                    check_borrowed(&format!("{pointer}/guardrail"), named, config, mistakes);
                }
            }
            ProviderConfig::Bedrock { region, guardrail } => {
                check_bedrock(&pointer, region.as_deref(), guardrail.as_ref(), mistakes);
            }
            ProviderConfig::Local {} => {}
        }
    }
    for (role, chain) in [("small", &config.small), ("large", &config.large)] {
        if chain.len() > limits::MODEL_CHAIN {
            let detail = format!("has {} models; at most {} make a chain", chain.len(), limits::MODEL_CHAIN);
            mistakes.add(format!("/models/{role}"), detail);
        }
        for (n, link) in chain.iter().enumerate() {
            check_link(&format!("/models/{role}/{n}"), link, config, mistakes);
        }
    }
    if let Some(link) = &config.embed {
        check_embed(link, config, mistakes);
    }
    for (role, sure) in [("small", config.sure_from.small), ("large", config.sure_from.large)] {
        if !(0.0..=1.0).contains(&sure) {
            mistakes.add(format!("/models/sure_from/{role}"), "must be from 0 to 1");
        }
    }
    let has_chain = !config.small.is_empty() || !config.large.is_empty();
    let is_used = has_chain || config.embed.as_ref().is_some_and(|link| link.price(config) != ModelPrice::FREE);
    if config.mode != TicketMode::Local && !has_chain {
        mistakes.add("/models/small", "is empty; the modes `cascade` and `agent` need a model, small or large");
    }
    match &config.budget {
        None if is_used => mistakes.add("/models/budget", "is missing; say what may be spent a month (`month_usd`)"),
        None => {}
        Some(budget) => {
            let ceilings = [
                ("month_usd", Some(budget.month_usd)),
                ("day_usd", budget.day_usd),
                ("customer_day_usd", budget.customer_day_usd),
            ];
            for (field, usd) in ceilings {
                if usd.is_some_and(|usd| !(0.0..=limits::BUDGET_USD).contains(&usd)) {
                    let detail = format!("must be from 0 to {} dollars", limits::BUDGET_USD);
                    mistakes.add(format!("/models/budget/{field}"), detail);
                }
            }
        }
    }
}

fn check_bedrock(pointer: &str, region: Option<&str>, guardrail: Option<&GuardrailConfig>, mistakes: &mut Mistakes) {
    // A region becomes a part of the host that is called.
    if region.is_some_and(|region| !is_region(region)) {
        mistakes.add(format!("{pointer}/region"), "must be a region of AWS such as `eu-central-1`");
    }
    let Some(GuardrailConfig { id, version }) = guardrail else { return };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let is_arn = id.starts_with("arn:aws") && id.split_once(":guardrail/").is_some_and(|(_, word)| is_word(word));
    if !(is_word(id) || is_arn) || id.len() > limits::MODEL_NAME_BYTES {
        mistakes.add(format!("{pointer}/guardrail/id"), "must be a guardrail's id, such as `gr4a7b1c9d2e`, or its ARN");
    }
    let is_number = (1..=8).contains(&version.len())
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && !version.starts_with('0');
    if !is_number && version != "DRAFT" {
        mistakes.add(format!("{pointer}/guardrail/version"), "must be a guardrail's version: a number, or `DRAFT`");
    }
}

/// Lower case words and at the end a number, with hyphens: `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    text.len() <= limits::REGION_BYTES
        && words.contains('-')
        && words.split('-').all(is_word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A guardrail that is named by its provider.
fn check_borrowed(pointer: &str, named: &ProviderName, config: &ModelsConfig, mistakes: &mut Mistakes) {
    match config.providers.get(named) {
        Some(ProviderConfig::Bedrock { guardrail: Some(_), .. }) => {}
        Some(_) => mistakes.add(pointer, format!("`{named}` is no provider of kind `bedrock` with a `guardrail`")),
        None => {
            let known = config.providers.keys().map(ProviderName::as_str);
            mistakes.add_unknown(pointer.to_owned(), "provider", named.as_str(), known);
        }
    }
}

fn check_link(pointer: &str, link: &ModelLink, config: &ModelsConfig, mistakes: &mut Mistakes) {
    check_model(pointer, &link.provider, &link.model, config, mistakes);
    if let Some(ProviderConfig::Local {}) = config.providers.get(&link.provider) {
        let detail = "is of the kind `local`, which makes vectors and no words; name another provider";
        mistakes.add(format!("{pointer}/provider"), detail);
        return;
    }
    check_price(pointer, link.price, PriceList::built_in().of(&link.model), mistakes);
}

fn check_embed(link: &EmbedLink, config: &ModelsConfig, mistakes: &mut Mistakes) {
    let pointer = "/models/embed";
    check_model(pointer, &link.provider, &link.model, config, mistakes);
    check_price(pointer, link.price, link.known_price(config), mistakes);
    let most = limits::EMBED_DIMENSIONS;
    if link.dimensions.is_some_and(|dimensions| !(1..=most).contains(&(dimensions as usize))) {
        mistakes.add(format!("{pointer}/dimensions"), format!("must be from 1 to {most}"));
    }
    if let Some(ProviderConfig::Local {}) = config.providers.get(&link.provider) {
        if link.model != OWN_EMBEDDING_MODEL {
            mistakes.add(format!("{pointer}/model"), format!("must be `{OWN_EMBEDDING_MODEL}`, the program's own"));
        }
        if link.dimensions.is_some() {
            mistakes.add(format!("{pointer}/dimensions"), "cannot be chosen for the program's own model; leave it out");
        }
    }
}

fn check_model(pointer: &str, provider: &ProviderName, model: &str, config: &ModelsConfig, mistakes: &mut Mistakes) {
    if !config.providers.contains_key(provider) {
        let known = config.providers.keys().map(ProviderName::as_str);
        mistakes.add_unknown(format!("{pointer}/provider"), "provider", provider.as_str(), known);
    }
    if model.trim().is_empty() || model.len() > limits::MODEL_NAME_BYTES {
        let detail = format!("must be the provider's name of the model, 1 to {} bytes", limits::MODEL_NAME_BYTES);
        mistakes.add(format!("{pointer}/model"), detail);
    } else if let Some(ProviderConfig::Bedrock { .. }) = config.providers.get(provider)
        && !model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte))
    {
        let detail = "must be an id of Bedrock's: of a model (`amazon.nova-lite-v1:0`), of an inference profile \
                      (`eu.amazon.nova-lite-v1:0`), or an ARN";
        mistakes.add(format!("{pointer}/model"), detail);
    }
}

fn check_price(pointer: &str, said: Option<ModelPrice>, known: Option<ModelPrice>, mistakes: &mut Mistakes) {
    match said {
        Some(price) if !price.is_valid() => {
            mistakes.add(format!("{pointer}/price"), "must be dollars for a million tokens, from 0 on");
        }
        None if known.is_none() => {
            let detail = "is missing, and no price of this model is known; say what a million tokens cost, 0 where \
                          the model is your own: {\"input\": 0, \"output\": 0}";
            mistakes.add(format!("{pointer}/price"), detail);
        }
        _ => {}
    }
}
