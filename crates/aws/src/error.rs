//! What the SDK's errors mean to the core.

use std::time::Duration;

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};
use switchboard_core::error::{Error, ErrorKind, Retry};

/// How long to wait after the SDK's own tries were all throttled.
const AFTER_THROTTLING: Duration = Duration::from_secs(1);

/// Codes by which the services ask for fewer calls.
const THROTTLED: &[&str] = &[
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// What a failed call means, told as `what`. The message names the service's code, never the content of the call.
pub(crate) fn explain<E>(what: &'static str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let kind = match &error {
        SdkError::ConstructionFailure(_) => ErrorKind::Internal,
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => ErrorKind::Timeout,
        SdkError::DispatchFailure(_) => ErrorKind::Unavailable,
        SdkError::ResponseError(_) => ErrorKind::BadAnswer,
        SdkError::ServiceError(_) => by_code(error.code().unwrap_or_default(), status(&error)),
        _ => ErrorKind::Internal,
    };
    let code = error.code().unwrap_or("no code").to_owned();
    let explained = Error::new(kind, format!("{what} failed ({code})"));
    let explained =
        if kind == ErrorKind::Throttled { explained.with_retry(Retry::After(AFTER_THROTTLING)) } else { explained };
    explained.caused_by(cause(&error))
}

/// What is told beside the code. An answer of the service is not: it repeats what was sent or what is stored, and that is a
/// customer's.
fn cause<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let request = || error.meta().extra("aws_request_id").unwrap_or("unknown");
    match error {
        SdkError::ServiceError(_) => format!("status {}, request {}", status(error), request()),
        SdkError::ResponseError(_) => format!("status {}, an answer that cannot be read", status(error)),
        error => DisplayErrorContext(error).to_string(),
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |response| response.status().as_u16())
}

fn by_code(code: &str, status: u16) -> ErrorKind {
    match code {
        _ if THROTTLED.contains(&code) => ErrorKind::Throttled,
        "AccessDeniedException" | "AccessDenied" | "UnrecognizedClientException" | "ExpiredTokenException" => {
            ErrorKind::Forbidden
        }
        "ResourceNotFoundException" | "NoSuchBucket" => ErrorKind::NotFound,
        "ValidationException" => ErrorKind::Internal,
        _ if status == 429 => ErrorKind::Throttled,
        _ if status >= 500 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_told_whatever_the_service_calls_it() {
        for code in THROTTLED {
            assert_eq!(by_code(code, 400), ErrorKind::Throttled, "{code}");
        }
        assert_eq!(by_code("SomethingNew", 429), ErrorKind::Throttled);
    }

    #[test]
    fn a_failing_service_is_unavailable_and_a_wrong_call_is_ours() {
        assert_eq!(by_code("InternalServerError", 500), ErrorKind::Unavailable);
        assert_eq!(by_code("ValidationException", 400), ErrorKind::Internal);
        assert_eq!(by_code("AccessDeniedException", 400), ErrorKind::Forbidden);
    }
}
