//! What can go wrong with a call of a model.

use std::{borrow::Cow, time::Duration};

use crate::error::{Error, ErrorKind, Retry};

/// What went wrong, as far as the wrappers branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelErrorKind {
    /// The provider asks this account for fewer calls (429, `ThrottlingException`).
    Throttled,
    /// The provider has no room for anybody now (503, 529, `ModelNotReadyException`).
    Overloaded,
    /// The model or the provider's filter will not answer this.
    Refused,
    /// Prompt and answer are longer than the model takes.
    TooLong,
    /// The answer is cut, malformed, or does not fit its schema.
    BadOutput,
    /// The credentials are missing, wrong, or do not reach this model.
    Unauthorised,
    /// The call itself is wrong: the model does not exist, or the provider does not take a parameter.
    Invalid,
    /// Nobody answers, or too late.
    Down,
    /// A ceiling on spend is reached, or nobody can tell whether one is: nothing was sent.
    OverBudget,
}

/// A failed call of a model.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    kind: ModelErrorKind,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    billed: bool,
    late: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ModelErrorKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Throttled,
        Self::Overloaded,
        Self::Refused,
        Self::TooLong,
        Self::BadOutput,
        Self::Unauthorised,
        Self::Invalid,
        Self::Down,
        Self::OverBudget,
    ];

    /// The word for metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::TooLong => "too_long",
            Self::BadOutput => "bad_output",
            Self::Unauthorised => "unauthorised",
            Self::Invalid => "invalid",
            Self::Down => "down",
            Self::OverBudget => "over_budget",
        }
    }

    /// Whether the same call to the same model may succeed in a moment.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Throttled | Self::Overloaded | Self::Down)
    }
}

impl ModelError {
    /// A failure of a call that the provider charges nothing for. The message never holds untrusted text.
    pub fn new(kind: ModelErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), retry_after: None, billed: false, late: false, source: None }
    }

    /// The same failure of a call that may have to be paid for: the model was at work when it broke off.
    pub fn billed(self) -> Self {
        Self { billed: true, ..self }
    }

    /// The same failure of a call that was given up because its time was over.
    pub fn late(self) -> Self {
        Self { late: true, ..self }
    }

    /// The same failure, after which the provider wants to be left alone for so long.
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The same failure with its cause.
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What went wrong.
    pub fn kind(&self) -> ModelErrorKind {
        self.kind
    }

    /// How long the provider wants to be left alone, when it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the call was given up because its time was over: the same call would take as long again.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Whether the call may have to be paid for all the same.
    pub fn may_be_billed(&self) -> bool {
        self.billed
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        let kind = match error.kind {
            ModelErrorKind::Throttled => ErrorKind::Throttled,
            ModelErrorKind::Overloaded | ModelErrorKind::Down => ErrorKind::Unavailable,
            ModelErrorKind::Refused => ErrorKind::Refused,
            ModelErrorKind::BadOutput => ErrorKind::BadAnswer,
            ModelErrorKind::Unauthorised => ErrorKind::Unauthorized,
            ModelErrorKind::TooLong | ModelErrorKind::Invalid => ErrorKind::Invalid,
            ModelErrorKind::OverBudget => ErrorKind::QuotaExceeded,
        };
        let retry = error.retry_after.map(Retry::After);
        // A model changes nothing outside, whatever became of the call.
        let told = Self::new(kind, error.message.clone()).not_applied().caused_by(error);
        match retry {
            Some(retry) => told.with_retry(retry),
            None => told,
        }
    }
}
