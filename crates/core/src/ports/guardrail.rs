use async_trait::async_trait;

use crate::{ids::ProviderName, models::ModelError, tenants::Tenant, untrusted::Untrusted};

/// Which way words go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To a model.
    ToModel,
    /// From a model.
    FromModel,
}

/// What a guardrail says of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may go on.
    Passes,
    /// They may not.
    Stopped,
}

/// Rules of a provider's about words that go to models and come from them. A call changes nothing outside and may be repeated.
#[async_trait]
pub trait Guardrail: Send + Sync {
    /// Asks the guardrail of `provider`, one of the tenant's, about `text`. A provider without one is
    /// [`crate::models::ModelErrorKind::Invalid`]; a guardrail that does not answer is an error and no verdict. Blank text
    /// passes, and nobody is asked.
    async fn check(
        &self,
        tenant: &Tenant,
        provider: &ProviderName,
        direction: Direction,
        text: &Untrusted<String>,
    ) -> Result<Verdict, ModelError>;
}
