//! Each of a tenant's models asked something small, to see whether it answers at all.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::{Asked, Gateway, Role, ToEmbed};
use crate::{
    ids::ProviderName,
    models::{Bill, Message, ModelError, NanoUsd, Part, Prompt, Purpose, Schema, Usage},
    ports::ChatModel,
    tenants::{EmbedLink, ModelLink, Tenant},
    untrusted::{Closed, Untrusted},
    words::words,
};

words! {
    /// What a model is configured for.
    ProbeRole {
        /// A link of the chain `small`.
        Small = "small",
        /// A link of the chain `large`.
        Large = "large",
        /// The model that makes vectors.
        Embed = "embed",
    }
}

/// What one model came to.
#[derive(Debug)]
pub struct Probe {
    /// What it is configured for.
    pub role: ProbeRole,
    /// Where it was asked.
    pub provider: ProviderName,
    /// The model, as the configuration names it.
    pub model: String,
    /// The model that answered, as its provider names it.
    pub outcome: Result<String, ModelError>,
    /// How long it took, all tries together.
    pub took: Duration,
    /// Tokens of all tries, as far as anybody has counted.
    pub usage: Usage,
    /// What they cost; those that nobody has counted at their worst.
    pub cost: NanoUsd,
}

/// Tokens of an answer: one short field, and room for models that think aloud first.
const ANSWER_TOKENS: u32 = 300;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ready {
    #[expect(dead_code, reason = "that it is there is all that is asked for")]
    ready: bool,
}

impl Closed for Ready {}

impl Gateway {
    /// Asks each model of the tenant's chains by itself, or of that role alone, and its model for vectors: in the form in which
    /// tickets are asked, with everything around the call, and paid for like any other. No link stands in for another, and
    /// no answer is kept or repaired.
    pub async fn probe_models(&self, tenant: &Tenant, role: Option<ProbeRole>) -> Vec<Probe> {
        let is_wanted = |one: ProbeRole| role.is_none_or(|role| role == one);
        let chains = [(ProbeRole::Small, Role::Small), (ProbeRole::Large, Role::Large)];
        let chains = chains.into_iter().filter(|(one, _)| is_wanted(*one));
        let links = chains.flat_map(|(one, role)| role.chain(tenant).iter().map(move |link| (one, role, link)));
        let probes = links.map(|(one, role, link)| self.try_link(tenant, (one, role), link));
        let mut probes = join_all(probes).await;
        if let Some(link) = tenant.config.models.embed.as_ref().filter(|_| is_wanted(ProbeRole::Embed)) {
            probes.push(self.try_embedder(tenant, link).await);
        }
        probes
    }

    async fn try_link(&self, tenant: &Tenant, (of, role): (ProbeRole, Role), link: &ModelLink) -> Probe {
        let (bill, prompt) = (Bill::default(), prompt());
        let asked = Asked { role, customer: None, prompt: &prompt, bill: None };
        let asking = async {
            let answer = self.link(&asked, &bill).chat(tenant, link, &prompt).await?;
            answer.read::<Ready>().map(|_| answer.model)
        };
        self.tried(of, (&link.provider, &link.model), &bill, asking).await
    }

    async fn try_embedder(&self, tenant: &Tenant, link: &EmbedLink) -> Probe {
        let bill = Bill::default();
        let texts = [Untrusted::new("Are you there?".to_owned())];
        let wanted = ToEmbed { texts: &texts, purpose: Purpose::Query, customer: None };
        let asking = async { Ok(self.embed_all(tenant, link, &wanted, &bill).await?.model) };
        self.tried(ProbeRole::Embed, (&link.provider, &link.model), &bill, asking).await
    }

    async fn tried(
        &self,
        role: ProbeRole,
        (provider, model): (&ProviderName, &str),
        bill: &Bill,
        asking: impl Future<Output = Result<String, ModelError>>,
    ) -> Probe {
        let began = self.clock.monotonic();
        let outcome = asking.await;
        let took = self.clock.monotonic().saturating_sub(began);
        let (usage, cost) = bill.sum();
        Probe { role, provider: provider.clone(), model: model.to_owned(), outcome, took, usage, cost }
    }
}

fn prompt() -> Prompt {
    let fields = json!({"ready": {"type": "boolean"}});
    let schema = json!({"type": "object", "properties": fields, "required": ["ready"], "additionalProperties": false});
    Prompt {
        system: "You are asked whether you can answer. Answer in JSON.".to_owned(),
        messages: vec![Message::user([Part::Trusted("Set `ready` to true.".to_owned())])],
        tools: Vec::new(),
        schema: Some(Schema { name: "ready".to_owned(), schema }),
        max_tokens: ANSWER_TOKENS,
        temperature: Some(0.0),
    }
}
