use std::{convert::Infallible, ops::Deref, pin::pin, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use switchboard_core::{deadline, error::PublicCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::{HttpState, Problem, door::Place, shares::Share};

/// Room that an announced length is believed for before the bytes are there.
const RESERVED_BYTES: usize = 64 * 1024;
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

/// A request whose body is still to be read.
pub(crate) struct Incoming {
    pub(crate) headers: HeaderMap,
    body: Body,
    place: Option<Place>,
}

/// A whole body. The room that it takes is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
    share: Option<Share>,
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Which room a body takes.
#[derive(Debug)]
pub(crate) enum Room {
    /// That of all bodies of known callers together.
    Shared,
    /// A part of another.
    Share(Share),
}

impl<S: Sync> FromRequest<S> for Incoming {
    type Rejection = Infallible;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        Ok(Self { place: parts.extensions.remove(), headers: parts.headers, body })
    }
}

impl Incoming {
    /// The whole body, at most `limit` bytes, within the time that a body may take. A client that is slow gives its place to
    /// others meanwhile.
    pub(crate) async fn read(mut self, state: &HttpState, limit: usize, room: Room) -> Result<Whole, Problem> {
        let announced =
            self.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let share = match room {
            Room::Shared => None,
            Room::Share(share) => Some(share),
        };
        let mut whole = Whole { bytes: Vec::new(), room: None, share };
        let read = if announced.is_some_and(|bytes| bytes > limit as u64) {
            Err(Unread::TooLarge)
        } else {
            whole.bytes.reserve_exact(usize::try_from(announced.unwrap_or(0)).unwrap_or(0).min(RESERVED_BYTES));
            let mut reading = pin!(collect(state, &mut self.body, limit, &mut whole));
            match (&mut reading).now_or_never() {
                Some(read) => read,
                None => {
                    if let Some(place) = &self.place {
                        place.step_aside();
                    }
                    in_time(state, reading).await
                }
            }
        };
        match read {
            Ok(()) => {}
            Err(Unread::TooLarge) => {
                self.discard(state).await;
                return Err(Problem::new(PublicCode::BodyTooLarge, format!("the body may have at most {limit} bytes")));
            }
            Err(Unread::Refused(problem)) => return Err(problem),
        }
        if let Some(place) = &self.place {
            place.step_back(state.app().clock.as_ref()).await?;
        }
        Ok(whole)
    }

    /// Reads what comes and throws it away: most clients look for the answer only when they have sent everything, and a
    /// connection that ends before leaves them with a broken pipe and no reason. One that waits for our `100 Continue` gets
    /// the answer instead.
    async fn discard(mut self, state: &HttpState) {
        if self.headers.contains_key(header::EXPECT) {
            return;
        }
        if let Some(place) = &self.place {
            place.step_aside();
        }
        let all = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > DISCARDED_BYTES {
                    break;
                }
            }
            Ok(())
        };
        // Whether it ended in time or not, the answer is the same.
        let _ = in_time(state, all).await;
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    Refused(Problem),
}

async fn collect(state: &HttpState, body: &mut Body, limit: usize, whole: &mut Whole) -> Result<(), Unread> {
    let refused = |code, detail: &str| Unread::Refused(Problem::new(code, detail));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| refused(PublicCode::MalformedJson, "the body ended before it was complete"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - whole.bytes.len() {
            return Err(Unread::TooLarge);
        }
        let full = || refused(PublicCode::Unavailable, "too many large bodies are being read");
        if let Some(share) = &mut whole.share {
            if !share.grow(data.len()) {
                return Err(full());
            }
        } else {
            let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = Arc::clone(&state.bodies).try_acquire_many_owned(bytes).map_err(|_| full())?;
            match &mut whole.room {
                Some(room) => room.merge(more),
                none => *none = Some(more),
            }
        }
        whole.bytes.extend_from_slice(&data);
    }
    Ok(())
}

async fn in_time(state: &HttpState, work: impl Future<Output = Result<(), Unread>>) -> Result<(), Unread> {
    let Some(limit) = state.service.limits.body_time() else { return work.await };
    let late = |_| {
        let detail = format!("send the whole body within {} seconds", limit.as_secs());
        Err(Unread::Refused(Problem::new(PublicCode::RequestTimeout, detail)))
    };
    deadline::within(state.app().clock.as_ref(), limit, "the request's body", async { Ok(work.await) })
        .await
        .unwrap_or_else(late)
}
