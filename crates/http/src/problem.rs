use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use switchboard_core::{
    error::{Error, ErrorKind, FieldError, PublicCode, Retry},
    json::JsonError,
    tickets::{accept::NotAccepted, review::NotReviewed},
};
use utoipa::ToSchema;

/// A problem document (RFC 9457), the form of every error answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:switchboard:problem:` and a code.
    #[serde(rename = "type")]
    #[schema(example = "urn:switchboard:problem:invalid_field")]
    pub problem_type: String,
    /// The same sentence each time this kind of problem occurs.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do about it.
    pub detail: String,
    /// Each mistake with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// Seconds after which it may succeed: the header `Retry-After`, here for the results of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem of the public table.
    pub fn new(code: PublicCode, detail: impl Into<String>) -> Self {
        Self {
            problem_type: format!("urn:switchboard:problem:{}", code.code()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: match code {
                PublicCode::Unavailable | PublicCode::TooManyRequests | PublicCode::QuotaExceeded => Some(1),
                PublicCode::StorageFull => Some(30),
                _ => None,
            },
        }
    }

    /// The same problem with its mistakes; the detail tells the first of them.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same problem, which may be gone after `wait`; told in whole seconds, at least one.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// Mistakes in a body.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.to_string(),
            many => format!("{} mistakes, see errors", many.len()),
        };
        Self::new(PublicCode::InvalidField, detail).with_errors(errors)
    }

    /// The same problem with a time to wait, of at least a second.
    pub fn with_retry_after(mut self, wait: std::time::Duration) -> Self {
        self.retry_after = Some(wait.as_secs().max(1));
        self
    }

    /// No ticket of that id, or none of this tenant.
    pub fn unknown_ticket() -> Self {
        Self::new(PublicCode::NotFound, "there is no ticket of this id; GET /tickets lists them")
    }

    /// A mistake in a parameter.
    pub fn invalid_parameter(name: &str, detail: impl Into<String>) -> Self {
        let error = FieldError::new(format!("/{name}"), detail);
        Self::new(PublicCode::InvalidParameter, error.to_string()).with_errors(vec![error])
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = PublicCode::from(error.kind());
        let mut problem = match error.kind() {
            // What broke inside is for the log; the caller gets the correlation id to ask with.
            ErrorKind::Refused | ErrorKind::BadAnswer | ErrorKind::LeaseLost | ErrorKind::Internal => {
                tracing::error!(error = error.report(), "a request failed");
                Self::new(code, "the failure is logged under the correlation id; please try again or report it")
            }
            _ => Self::new(code, error.to_string()),
        };
        if let Retry::After(wait) = error.retry() {
            problem = problem.retry_after(wait);
        }
        problem
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::Syntax { .. } => Self::new(PublicCode::MalformedJson, error.to_string())
                .with_errors(vec![FieldError::new("", error.to_string())]),
            JsonError::Shape(mistake) => Self::invalid_fields(vec![mistake]),
        }
    }
}

impl From<NotAccepted> for Problem {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Invalid(mistakes) => Self::invalid_fields(mistakes),
            NotAccepted::Conflict { message, differences } => {
                Self::new(PublicCode::Conflict, message).with_errors(differences)
            }
            NotAccepted::Failed(error) => error.into(),
        }
    }
}

impl From<NotReviewed> for Problem {
    fn from(error: NotReviewed) -> Self {
        match error {
            NotReviewed::Unknown => Self::unknown_ticket(),
            NotReviewed::Invalid(mistakes) => Self::invalid_fields(mistakes),
            NotReviewed::NotDecided => Self::new(PublicCode::NotDecidedYet, error.to_string()),
            NotReviewed::Failed(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // invariant: a struct of strings and numbers always serialises
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ErrorKind, retry: Retry, status: u16, retry_after: Option<u64>) {
        let problem = Problem::from(Error::new(kind, "too much of it").with_retry(retry));
        assert_eq!((problem.status, problem.retry_after), (status, retry_after), "{kind:?}");
        let response = problem.into_response();
        let header = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header, retry_after.map(|seconds| seconds.to_string()));
    }

    #[test]
    fn whatever_says_when_to_come_again_gets_its_header() {
        let after = |millis| Retry::After(Duration::from_millis(millis));
        check(ErrorKind::Overloaded, after(2_001), 503, Some(3));
        check(ErrorKind::Overloaded, after(0), 503, Some(1));
        check(ErrorKind::Overloaded, Retry::Later, 503, Some(1));
        check(ErrorKind::BacklogFull, after(7_000), 429, Some(7));
        check(ErrorKind::QuotaExceeded, after(3_600_000), 429, Some(3_600));
        check(ErrorKind::Unavailable, after(500), 503, Some(1));
        check(ErrorKind::StorageFull, Retry::Later, 507, Some(30));
        check(ErrorKind::Timeout, Retry::Later, 503, Some(1));
        check(ErrorKind::NotFound, Retry::Never, 404, None);
    }
}
