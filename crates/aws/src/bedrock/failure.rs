//! What the service's failures mean.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::error::ConverseStreamOutputError,
};
use aws_smithy_types::event_stream::RawMessage;
use http_body_util::LengthLimitError;
use hyper_util::client::legacy::Error as HttpError;
use switchboard_core::{
    models::{ModelError, ModelErrorKind},
    untrusted::{Closed, Untrusted},
};

use ModelErrorKind::{BadOutput, Down, Invalid, Overloaded, Throttled, TooLong, Unauthorised};

/// A wish beyond a day is no plan any more.
const LONGEST_WAIT: u64 = 24 * 3600;

/// What a message of the service's is about, as far as its code does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Prompt and answer do not fit into the model.
    TooLong,
    /// The model is reached by an inference profile alone.
    NeedsProfile,
    /// Anything else.
    Nothing,
}

impl Closed for Told {}

/// A call that failed before there was an answer, or by an answer that is no success.
pub(crate) fn failed<E>(who: &str, error: SdkError<E, HttpResponse>) -> ModelError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let response = error.raw_response();
    let status = response.map_or(0, |response| response.status().as_u16());
    let told = |kind, words: &str| ModelError::new(kind, format!("{who} {words}"));
    match &error {
        _ if has_cause::<CredentialsError>(&error) => {
            told(Unauthorised, "cannot be asked without credentials of AWS (environment, profile or role)")
        }
        SdkError::ConstructionFailure(_) => told(Invalid, "cannot be asked: the call cannot be made"),
        SdkError::TimeoutError(_) => told(Down, "gave no answer in time").billed(),
        SdkError::DispatchFailure(_) if never_left(&error) => told(Down, "cannot be reached"),
        SdkError::DispatchFailure(_) => told(Down, "broke off: the connection ended").billed(),
        _ if has_cause::<LengthLimitError>(&error) => told(BadOutput, "answered with too many bytes").billed(),
        SdkError::ServiceError(_) if (200..300).contains(&status) => {
            told(BadOutput, "answered what is no answer of a model").billed()
        }
        SdkError::ServiceError(_) => {
            let wish = response.and_then(|response| response.headers().get("retry-after")).and_then(seconds);
            let code = error.code().unwrap_or_default();
            let message = Untrusted::new(error.message().unwrap_or_default().to_owned());
            refusal(who, status, code, message.read_as(|text| about(text)), wish)
        }
        SdkError::ResponseError(_) => told(Down, "broke off before the end of the answer").billed(),
        _ => told(Down, "cannot be asked").billed(),
    }
}

/// Nobody answers in time; the model may be at work.
pub(crate) fn too_late(who: &str) -> ModelError {
    ModelError::new(Down, format!("{who} gave no answer in time")).billed()
}

/// A failure in the middle of a stream: the model was at work.
pub(super) fn broken(who: &str, error: SdkError<ConverseStreamOutputError, RawMessage>) -> ModelError {
    use ConverseStreamOutputError as In;
    let (kind, words) = match &error {
        _ if has_cause::<LengthLimitError>(&error) => (BadOutput, "answered with too many bytes"),
        SdkError::ServiceError(inner) => match inner.err() {
            In::ThrottlingException(_) => (Throttled, "asks for fewer calls"),
            In::ServiceUnavailableException(_) => (Overloaded, "has no room for the call any more"),
            In::ValidationException(exception) => {
                let message = Untrusted::new(exception.message().unwrap_or_default().to_owned());
                match message.read_as(|text| about(text)) {
                    Told::TooLong => (TooLong, "says that prompt and answer are too long for the model"),
                    Told::NeedsProfile | Told::Nothing => (Invalid, "refuses the call while it answers"),
                }
            }
            _ => (Down, "failed while it answered"),
        },
        // A frame that was begun; the other kinds are whole and make no sense.
        SdkError::ResponseError(inner) if matches!(inner.raw(), RawMessage::Invalid(Some(_))) => BROKEN_OFF,
        SdkError::ResponseError(_) => (BadOutput, "answered a piece that is none of an answer"),
        _ => BROKEN_OFF,
    };
    ModelError::new(kind, format!("{who} {words}")).billed()
}

const BROKEN_OFF: (ModelErrorKind, &str) = (Down, "broke off before the end of the answer");

/// What an answer means that is no success.
fn refusal(who: &str, status: u16, code: &str, told: Told, wish: Option<Duration>) -> ModelError {
    let (kind, words) = match (code, status) {
        ("AccessDeniedException", _) => (
            Unauthorised,
            "refuses us: `bedrock:InvokeModel` for this model must be allowed to our credentials, and the account have access to it",
        ),
        ("ExpiredTokenException" | "ExpiredToken", _) => (Unauthorised, "says that our credentials have ended"),
        ("ModelNotReadyException" | "ServiceUnavailableException", _) => (Overloaded, "has no room for a call now"),
        ("ThrottlingException", _) => (Throttled, "asks for fewer calls"),
        ("ServiceQuotaExceededException", _) => (Throttled, "says that the account's quota is used up"),
        ("ResourceNotFoundException", _) => (Invalid, "does not know the model, or not in this region"),
        ("ModelTimeoutException", _) => (Down, "gave up waiting for the model"),
        ("ModelErrorException", _) => (Down, "says that the model failed"),
        ("ValidationException", _) => match told {
            Told::TooLong => (TooLong, "says that prompt and answer are too long for the model"),
            Told::NeedsProfile => (
                Invalid,
                "has this model behind an inference profile alone: name that, such as `eu.` before the model's id",
            ),
            Told::Nothing => {
                (Invalid, "refuses the call; it may not know the model, the guardrail or one of the parameters")
            }
        },
        (_, 401 | 403) => (Unauthorised, "refuses our credentials"),
        (_, 408) => (Down, "did not get the request in time"),
        (_, 413) => (TooLong, "says that the prompt is too long"),
        (_, 429) => (Throttled, "asks for fewer calls"),
        (_, 503 | 529) => (Overloaded, "has no room for a call now"),
        (_, 500..) => (Down, "has a trouble of its own"),
        _ => (Invalid, "refuses the call"),
    };
    let told = ModelError::new(kind, format!("{who} {words} ({status})"));
    let told = match wish {
        Some(wish) if kind.is_passing() => told.after(wish),
        _ => told,
    };
    // The model was at work.
    let was_at_work = ["ModelTimeoutException", "ModelErrorException"].contains(&code) || status == 504;
    if was_at_work { told.billed() } else { told }
}

/// Each family of models has words of its own for a prompt that is too long, under one code.
fn about(message: &str) -> Told {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if says(&[
        "too long",
        "too many input tokens",
        "context length",
        "context limit",
        "context window",
        "input tokens exceed",
    ]) {
        Told::TooLong
    } else if says(&["inference profile"]) {
        Told::NeedsProfile
    } else {
        Told::Nothing
    }
}

/// `Retry-After` in seconds; as a date it would need a clock that both sides agree on.
fn seconds(header: &str) -> Option<Duration> {
    let header = header.trim();
    let is_number = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(header.parse().unwrap_or(u64::MAX).min(LONGEST_WAIT)))
}

/// Name, connection and handshake come before the request is written.
fn never_left<E, R>(error: &SdkError<E, R>) -> bool
where
    SdkError<E, R>: std::error::Error + 'static,
{
    causes(error).any(|cause| cause.downcast_ref::<HttpError>().is_some_and(HttpError::is_connect))
}

fn has_cause<C: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<C>())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_that_are_too_long_are_told_in_many_ways() {
        for message in [
            "Input is too long for requested model.",
            "The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum",
            "Too many input tokens. Max input tokens: 8192, request input token count: 9000 ",
            "This model's maximum context length is 131072 tokens.",
            "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000",
        ] {
            assert_eq!(about(message), Told::TooLong, "{message}");
        }
        let profile = "Invocation of model ID amazon.nova-lite-v1:0 with on-demand throughput isn't supported. Retry your \
                       request with the ID or ARN of an inference profile that contains this model.";
        assert_eq!(about(profile), Told::NeedsProfile);
        // The configuration's fault, not the prompt's.
        assert_eq!(about("The maximum tokens you requested exceeds the model limit of 4096."), Told::Nothing);
        assert_eq!(about(""), Told::Nothing);
    }

    #[test]
    fn a_wish_is_read_in_seconds() {
        assert_eq!(seconds(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(seconds("99999999999999999999"), Some(Duration::from_secs(LONGEST_WAIT)));
        assert_eq!((seconds(""), seconds("soon"), seconds("-1")), (None, None, None));
    }
}
