//! How failures are told.
//!
//! Inside, one [`Error`] with a kind to branch on, a message for people, the source, and whether trying again may help.
//! At the door, [`PublicCode`]: the one table of everything a caller can be told. A program adds context with `anyhow`.

use std::{borrow::Cow, fmt, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use crate::untrusted::Closed;

/// What went wrong, as far as a caller branches on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input or configuration is wrong.
    Invalid,
    /// The thing does not exist, or not for this tenant.
    NotFound,
    /// It clashes with what is there.
    Conflict,
    /// The credentials are missing or wrong.
    Unauthorized,
    /// The credentials do not reach this far.
    Forbidden,
    /// The other side asks for fewer calls.
    Throttled,
    /// The other side is down or unreachable.
    Unavailable,
    /// No answer in time: whether the other side acted is not known.
    Timeout,
    /// The other side understood and said no.
    Refused,
    /// The other side answered something that makes no sense.
    BadAnswer,
    /// The lease was lost: somebody else does the job now.
    LeaseLost,
    /// No space is left for a write.
    StorageFull,
    /// Too much work is waiting already.
    Overloaded,
    /// The tenant, or one of its customers, has sent in as much as its quota allows.
    QuotaExceeded,
    /// Too much work of this tenant is waiting already.
    BacklogFull,
    /// A broken invariant or a failed machine.
    Internal,
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will fail again.
    Never,
    /// It may succeed later.
    Later,
    /// It may succeed after this time, as the other side said.
    After(Duration),
}

/// Whether the other side may have acted on the call that failed. It speaks of this call alone, not of earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Surely not: nothing was sent, or the other side said no.
    No,
    /// It may have: the request went out, and what came of it is not known.
    Maybe,
}

/// A failure: what kind, what to read, what caused it, whether to try again, and whether the other side may have acted.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    retry: Retry,
    applied: Applied,
    deferred: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure whose `retry` and `applied` follow from its kind. The message never holds untrusted text.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retry = match kind {
            ErrorKind::Throttled
            | ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::StorageFull
            | ErrorKind::Overloaded
            | ErrorKind::QuotaExceeded
            | ErrorKind::BacklogFull
            | ErrorKind::BadAnswer
            | ErrorKind::Internal => Retry::Later,
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Unauthorized
            | ErrorKind::Forbidden
            | ErrorKind::Refused
            | ErrorKind::LeaseLost => Retry::Never,
        };
        let applied = match kind {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::BadAnswer | ErrorKind::Internal => Applied::Maybe,
            ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Unauthorized
            | ErrorKind::Forbidden
            | ErrorKind::Throttled
            | ErrorKind::Refused
            | ErrorKind::LeaseLost
            | ErrorKind::StorageFull
            | ErrorKind::Overloaded
            | ErrorKind::BacklogFull
            | ErrorKind::QuotaExceeded => Applied::No,
        };
        Self { kind, message: message.into(), retry, applied, deferred: false, source: None }
    }

    /// The same failure with its cause.
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same failure with another advice on trying again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same failure of a call on which the other side surely did not act: it was not sent, or only asked something.
    pub fn not_applied(mut self) -> Self {
        self.applied = Applied::No;
        self
    }

    /// The same failure of a call that was not even tried, because the other side is known to be away or has asked to be
    /// left alone: come back after `wait`, and do not count this as a try.
    pub fn deferred(self, wait: Duration) -> Self {
        Self { retry: Retry::After(wait), applied: Applied::No, deferred: true, ..self }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether to try again.
    pub fn retry(&self) -> Retry {
        self.retry
    }

    /// Whether the other side may have acted on this call.
    pub fn applied(&self) -> Applied {
        self.applied
    }

    /// Whether the other side may have acted on this call: what it did is then to be found out before anything is
    /// repeated that must not happen twice.
    pub fn may_have_applied(&self) -> bool {
        self.applied == Applied::Maybe
    }

    /// Whether nothing was tried: the retry's wait has to pass, and this is no failed try. See [`Self::deferred`].
    pub fn is_deferred(&self) -> bool {
        self.deferred
    }

    /// The message and all causes in one line, for logs and for the people who run the system.
    pub fn report(&self) -> String {
        let mut line = self.message.clone().into_owned();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

/// One mistake in an input: where it is (JSON pointer, RFC 6901) and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer; empty for the whole input.
    #[schema(example = "/subject")]
    pub pointer: String,
    /// What is wrong and how to mend it.
    #[schema(example = "is 100000 characters long; at most 500 are allowed")]
    pub detail: String,
}

impl FieldError {
    /// A mistake at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl Closed for FieldError {}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{place}: {}", self.detail)
    }
}

macro_rules! public_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Everything a caller can be told, with its HTTP status: the one table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PublicCode { $($(#[$doc])* $name,)* }

        impl PublicCode {
            /// All codes, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable name, the end of the problem's `type`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The same sentence each time, for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

public_codes! {
    /// The body is no JSON.
    MalformedJson = "malformed_json", 400, "The body is not valid JSON";
    /// A parameter of the query or the path is wrong.
    InvalidParameter = "invalid_parameter", 400, "A parameter is not valid";
    /// A field is missing, unknown, of the wrong type, or out of its limits.
    InvalidField = "invalid_field", 422, "The body does not fit the schema";
    /// No key, or a wrong, expired or revoked one.
    Unauthorized = "unauthorized", 401, "The credentials are missing or not valid";
    /// The key lacks the scope.
    Forbidden = "forbidden", 403, "The credentials do not reach this far";
    /// Nothing there, or nothing for this tenant.
    NotFound = "not_found", 404, "There is nothing here";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "This path does not take this method";
    /// The body took too long to arrive.
    RequestTimeout = "request_timeout", 408, "The request took too long";
    /// The same id or idempotency key with other content.
    Conflict = "conflict", 409, "It clashes with what is stored already";
    /// There is no decision to review yet.
    NotDecidedYet = "not_decided_yet", 409, "The ticket has no decision yet";
    /// The body is over the limit.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// The path and the query are over the limit.
    UriTooLong = "uri_too_long", 414, "The address of the request is too long";
    /// The content type is not one that the path takes.
    UnsupportedMediaType = "unsupported_media_type", 415, "The content type is not supported";
    /// Too many requests in too short a time.
    TooManyRequests = "too_many_requests", 429, "Too many requests";
    /// The tenant, or one of its customers, has used up its quota.
    QuotaExceeded = "quota_exceeded", 429, "The quota is used up";
    /// The headers are over the limit.
    HeadersTooLarge = "headers_too_large", 431, "The headers of the request are too large";
    /// Our own fault.
    Internal = "internal", 500, "Something went wrong on our side";
    /// Something that is needed is down, or too much work waits.
    Unavailable = "unavailable", 503, "The service cannot take this now";
    /// The disk is full.
    StorageFull = "storage_full", 507, "There is no space left to store this";
}

impl From<ErrorKind> for PublicCode {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::InvalidField,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unauthorized => Self::Unauthorized,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::StorageFull => Self::StorageFull,
            // What a tenant itself has too much of is its 429; what all have too much of is a 503.
            ErrorKind::BacklogFull => Self::TooManyRequests,
            ErrorKind::QuotaExceeded => Self::QuotaExceeded,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled | ErrorKind::Overloaded => {
                Self::Unavailable
            }
            ErrorKind::Refused | ErrorKind::BadAnswer | ErrorKind::LeaseLost | ErrorKind::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_public_codes_is_as_published() {
        let table: String = PublicCode::ALL
            .iter()
            .map(|code| format!("{} {} {}\n", code.status(), code.code(), code.title()))
            .collect();
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_report_tells_all_causes() {
        let error = Error::new(ErrorKind::Unavailable, "desk is down").caused_by(std::io::Error::other("refused"));
        assert_eq!(error.report(), "desk is down: refused");
        assert_eq!(error.retry(), Retry::Later);
    }

    #[test]
    fn what_may_have_happened_follows_from_the_kind_unless_it_is_known() {
        for (kind, expected) in [
            (ErrorKind::Unavailable, Applied::Maybe),
            (ErrorKind::Timeout, Applied::Maybe),
            (ErrorKind::BadAnswer, Applied::Maybe),
            (ErrorKind::Internal, Applied::Maybe),
            (ErrorKind::Refused, Applied::No),
            (ErrorKind::Throttled, Applied::No),
            (ErrorKind::Invalid, Applied::No),
        ] {
            let error = Error::new(kind, "desk");
            assert_eq!((error.applied(), error.may_have_applied()), (expected, expected == Applied::Maybe), "{kind:?}");
            assert_eq!(error.not_applied().applied(), Applied::No, "{kind:?}");
        }
    }

    #[test]
    fn what_was_put_off_was_not_tried() {
        let wait = Duration::from_secs(7);
        let error = Error::new(ErrorKind::Unavailable, "desk is down").deferred(wait);
        assert_eq!((error.is_deferred(), error.retry(), error.applied()), (true, Retry::After(wait), Applied::No));
        assert!(!Error::new(ErrorKind::Unavailable, "desk is down").is_deferred());
    }
}
