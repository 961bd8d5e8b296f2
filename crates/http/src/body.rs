use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use switchboard_core::{
    deadline,
    error::{Error, ErrorKind, PublicCode},
    limits,
};

use crate::{HttpState, Problem};

/// Bytes beyond a body's limit that are read and thrown away.
const DISCARDED_BYTES: usize = 64 * 1024 * 1024;

/// A content type that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    NdJson,
}

/// The content type, when it is one of `taken`. JSON is assumed when the header is missing.
pub(crate) fn media(headers: &HeaderMap, taken: &[Media]) -> Result<Media, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Json) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let media = match essence.as_str() {
        "application/json" => Some(Media::Json),
        "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Some(Media::NdJson),
        _ => None,
    };
    media.filter(|media| taken.contains(media)).ok_or_else(|| {
        let names: Vec<_> = taken
            .iter()
            .map(|media| if *media == Media::Json { "application/json" } else { "application/x-ndjson" })
            .collect();
        Problem::new(PublicCode::UnsupportedMediaType, format!("send the header Content-Type: {}", names.join(" or ")))
    })
}

/// The whole body, at most `limit` bytes, within [`limits::BODY_TIME`].
pub(crate) async fn read(
    state: &HttpState,
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(PublicCode::BodyTooLarge, format!("the body may have at most {limit} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        discard(state, headers, &mut body).await;
        return Err(too_large());
    }
    let collected = async { Ok(Limited::new(&mut body, limit).collect().await) };
    match deadline::within(state.app().clock.as_ref(), limits::BODY_TIME, "the request's body", collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            discard(state, headers, &mut body).await;
            Err(too_large())
        }
        Ok(Err(_)) => Err(Problem::new(PublicCode::MalformedJson, "the body ended before it was complete")),
        Err(error) => Err(slow(&error)),
    }
}

/// Reads what comes and throws it away: most clients look for the answer only when they have sent everything, and a
/// connection that ends before leaves them with a broken pipe and no reason. One that waits for our `100 Continue` gets
/// the answer instead.
async fn discard(state: &HttpState, headers: &HeaderMap, body: &mut Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DISCARDED_BYTES {
                break;
            }
        }
        Ok(())
    };
    // Whether it ended in time or not, the answer is the same.
    let _ = deadline::within(state.app().clock.as_ref(), limits::BODY_TIME, "the rest of the body", all).await;
}

fn slow(error: &Error) -> Problem {
    match error.kind() {
        ErrorKind::Timeout => Problem::new(PublicCode::RequestTimeout, "send the whole body within 30 seconds"),
        _ => Problem::new(PublicCode::Internal, "the body could not be read"),
    }
}
