//! The one way to a model: the tenant's chains, with all that makes a call safe to make around each link.

mod embed;
mod probe;

use std::{sync::Arc, time::Duration};

use super::{
    Answer, AnswerStream, Bill, Broken, Budgeted, Message, Metered, ModelError, ModelErrorKind, NanoUsd, Part,
    Patience, Prompt, Retried, StopReason, Till, TimeLimited, Usage,
    answers::{self, Answers},
    time_limited::within,
};
use crate::{
    breaker::{Breakers, Rests},
    ids::{CustomerId, ProviderName},
    limits,
    ports::{ChatModel, Clock, Embedder, Ids, UsageLedger},
    tenants::{ModelLink, Tenant},
    words::words,
};

pub use embed::ToEmbed;
pub use probe::{Probe, ProbeRole};

words! {
    /// What a model is wanted for.
    Role {
        /// Quick and cheap: where the local classifier is not sure.
        Small = "small",
        /// Where the small one is not sure either.
        Large = "large",
    }
}

/// A question.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Which of the tenant's chains is asked.
    pub role: Role,
    /// For whom, when it is for one of the tenant's customers: their budget pays, too.
    pub customer: Option<&'a CustomerId>,
    /// What is asked.
    pub prompt: &'a Prompt,
    /// Where all calls are written down, those of questions that nobody answered among them.
    pub bill: Option<&'a Bill>,
}

/// An answer that could be read, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// What was read out of it.
    pub value: T,
    /// Who gave it.
    pub provider: ProviderName,
    /// The model that gave it, as its provider names it.
    pub model: String,
    /// Tokens of all calls that led to it, failed ones included as far as anybody has counted. None for one that was kept.
    pub usage: Usage,
    /// What all of them cost; those that nobody has counted at their worst.
    pub cost: NanoUsd,
}

/// Asks the models of a tenant's chain in turn, each behind, from the outside in: the answers that are kept, the breaker, the
/// tries, the budget, the time limit and the meter. The budget stands within the tries, because each of them costs, and within
/// the kept answers, because those cost nothing.
pub struct Gateway {
    model: Arc<dyn ChatModel>,
    embedder: Option<Arc<dyn Embedder>>,
    ledger: Arc<dyn UsageLedger>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    breakers: Arc<Breakers>,
    patience: Arc<Patience>,
    answers: Answers,
}

/// All layers around one link, for one question.
type Link<M> = Broken<Retried<Budgeted<TimeLimited<Metered<M>>>>>;

impl Gateway {
    /// A gateway to `model`, paid from `ledger`.
    pub fn new(
        model: Arc<dyn ChatModel>,
        ledger: Arc<dyn UsageLedger>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
    ) -> Self {
        let breakers = Breakers::new(clock.clone(), Rests::Even).with_slow(limits::LARGE_MODEL_TIME);
        let answers = Answers::new(clock.clone());
        let breakers = Arc::new(breakers);
        Self { model, embedder: None, ledger, clock, ids, breakers, patience: Arc::default(), answers }
    }

    /// The same, with vectors from `embedder`.
    pub fn with_embedder(self, embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder: Some(embedder), ..self }
    }

    /// Asks until an answer can be read. An answer that `read` finds to be [`ModelErrorKind::BadOutput`] is asked for once more from
    /// the same model, which sees what it said; then, as after any other failure, the next link has its turn.
    ///
    /// # Errors
    /// What the last link came to; [`ModelErrorKind::Invalid`] when the chain is empty.
    pub async fn ask<T: Send>(
        &self,
        tenant: &Tenant,
        asked: &Asked<'_>,
        read: impl Fn(&Answer) -> Result<T, ModelError> + Send + Sync,
    ) -> Result<Answered<T>, ModelError> {
        let bill = Bill::default();
        let all = async {
            let mut last = None;
            for link in asked.role.chain(tenant) {
                match self.ask_link(tenant, link, asked, &bill, &read).await {
                    Ok(answered) => return Ok(answered),
                    Err(error) => {
                        last = Some(passed_over(tenant, (&link.provider, &link.model), asked.role.word(), error));
                    }
                }
            }
            Err(last.unwrap_or_else(|| no_model(asked.role)))
        };
        let outcome = within(self.clock.as_ref(), limits::MODEL_ASK_TIME, all).await;
        if let Some(all) = asked.bill {
            all.add_all(&bill);
        }
        outcome
    }

    /// The first answer of the chain that begins, as it is written. What has begun is not begun again by another link, is
    /// not kept, and is nobody's to repair.
    ///
    /// # Errors
    /// As [`Self::ask`]; and the stream's own, as its last item.
    pub async fn stream(&self, tenant: &Tenant, asked: &Asked<'_>) -> Result<AnswerStream, ModelError> {
        let all = async {
            let mut last = None;
            for link in asked.role.chain(tenant) {
                match self.link(asked, asked.bill.unwrap_or(&Bill::default())).stream(tenant, link, asked.prompt).await
                {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        last = Some(passed_over(tenant, (&link.provider, &link.model), asked.role.word(), error));
                    }
                }
            }
            Err(last.unwrap_or_else(|| no_model(asked.role)))
        };
        within(self.clock.as_ref(), limits::MODEL_ASK_TIME, all).await
    }

    async fn ask_link<T>(
        &self,
        tenant: &Tenant,
        link: &ModelLink,
        asked: &Asked<'_>,
        bill: &Bill,
        read: &(impl Fn(&Answer) -> Result<T, ModelError> + Send + Sync),
    ) -> Result<Answered<T>, ModelError> {
        let answered = |value, answer: &Answer| {
            let (usage, cost) = bill.sum();
            Answered { value, provider: link.provider.clone(), model: answer.model.clone(), usage, cost }
        };
        let key = answers::key(tenant, link, asked.prompt);
        if let Some(answer) = self.answers.get(&key)
            && let Ok(value) = read(&answer)
        {
            metrics::counter!("switchboard_model_answers_kept_total").increment(1);
            return Ok(answered(value, &answer));
        }
        let model = self.link(asked, bill);
        let (said, error) = match model.chat(tenant, link, asked.prompt).await {
            Ok(answer) => match read(&answer) {
                Ok(value) => {
                    let answered = answered(value, &answer);
                    self.answers.keep(key, answer);
                    return Ok(answered);
                }
                Err(error) => (Some(answer), error),
            },
            Err(error) => (None, error),
        };
        if error.kind() != ModelErrorKind::BadOutput {
            return Err(error);
        }
        metrics::counter!("switchboard_model_repairs_total").increment(1);
        let answer = model.chat(tenant, link, &repair(asked.prompt, said.as_ref())).await?;
        let answered = answered(read(&answer)?, &answer);
        self.answers.keep(key, answer);
        Ok(answered)
    }

    fn link(&self, asked: &Asked<'_>, bill: &Bill) -> Link<Arc<dyn ChatModel>> {
        self.layers(self.model.clone(), (asked.role.word(), asked.role.time()), asked.customer, bill)
    }

    fn layers<M>(
        &self,
        model: M,
        (role, time): (&'static str, Duration),
        customer: Option<&CustomerId>,
        bill: &Bill,
    ) -> Link<M> {
        let till = Till {
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            customer: customer.cloned(),
            bill: bill.clone(),
        };
        let metered = Metered::new(model, self.clock.clone(), role);
        let time_limited = TimeLimited::new(metered, self.clock.clone(), time);
        let time_limited = time_limited.with_patience(self.patience.clone());
        let retried = Retried::new(Budgeted::new(time_limited, till), self.clock.clone(), self.ids.clone());
        Broken::new(retried, self.breakers.clone())
    }
}

impl Role {
    /// The tenant's models for it, the first one first.
    pub fn chain(self, tenant: &Tenant) -> &[ModelLink] {
        match self {
            Self::Small => &tenant.config.models.small,
            Self::Large => &tenant.config.models.large,
        }
    }

    /// How long a model of it may take.
    pub fn time(self) -> Duration {
        match self {
            Self::Small => limits::SMALL_MODEL_TIME,
            Self::Large => limits::LARGE_MODEL_TIME,
        }
    }
}

fn no_model(role: Role) -> ModelError {
    ModelError::new(ModelErrorKind::Invalid, format!("the tenant has no {} model", role.word()))
}

fn passed_over(
    tenant: &Tenant,
    (provider, model): (&ProviderName, &str),
    role: &'static str,
    error: ModelError,
) -> ModelError {
    metrics::counter!("switchboard_model_links_failed_total", "role" => role, "kind" => error.kind().word())
        .increment(1);
    tracing::warn!(
        tenant = %tenant.id, %provider, model, kind = error.kind().word(), %error,
        "a model gave no answer"
    );
    error
}

/// What a model is told whose answer could not be read.
const AGAIN: &str = "Your answer could not be read: it is not of the form that was asked for, or it was cut. Answer the same \
                     again, briefly, and in that form only.";

/// The same question once more, with what the model has said as far as it is whole. Its words are its own, so they go back to it
/// as such, and never as an instruction.
fn repair(prompt: &Prompt, said: Option<&Answer>) -> Prompt {
    let mut repaired = prompt.clone();
    let whole = said.filter(|answer| answer.stop == StopReason::End && !answer.text.for_model().trim().is_empty());
    if let Some(answer) = whole {
        repaired.messages.push(Message::Assistant { text: answer.text.clone(), calls: Vec::new() });
    }
    // Some providers take no two messages of one side in a row.
    match repaired.messages.last_mut() {
        Some(Message::User(parts)) => parts.push(Part::Trusted(AGAIN.to_owned())),
        _ => repaired.messages.push(Message::user([Part::Trusted(AGAIN.to_owned())])),
    }
    repaired
}
