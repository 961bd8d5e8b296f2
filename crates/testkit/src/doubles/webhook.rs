//! A double of a receiver of Standard Webhooks.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use switchboard_core::{ports::Clock, time::Timestamp};

use super::{Server, answer, lock};

/// How far the sender's clock may be off.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Takes web hooks at `POST /hook`, refuses those that are not signed as they should be, and remembers the others. As a
/// good receiver it tells repetitions by `webhook-id`: see [`WebhookDouble::effects`]. `GET /hook/{id}`, signed as well, is
/// 200 when the id was seen and 404 when not.
pub struct WebhookDouble {
    server: Server,
    state: Arc<Receiver>,
}

struct Receiver {
    key: Vec<u8>,
    clock: Option<Arc<dyn Clock>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    deliveries: Vec<Delivery>,
    effects: BTreeMap<String, Bytes>,
    refused: usize,
}

/// A web hook that came with a good signature.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The header `webhook-id`.
    pub id: String,
    /// The header `webhook-timestamp`, in seconds since 1970.
    pub timestamp: i64,
    /// The body.
    pub body: Bytes,
}

impl WebhookDouble {
    /// Starts a receiver with that secret, `whsec_` and base64 or any text, which looks at no clock.
    pub async fn start(secret: &str) -> Self {
        Self::start_with(secret, None).await
    }

    /// Starts a receiver that refuses what is more than five minutes away from `clock`.
    pub async fn start_at(secret: &str, clock: Arc<dyn Clock>) -> Self {
        Self::start_with(secret, Some(clock)).await
    }

    async fn start_with(secret: &str, clock: Option<Arc<dyn Clock>>) -> Self {
        let key = match secret.strip_prefix("whsec_") {
            Some(encoded) => BASE64_STANDARD.decode(encoded).expect("base64 behind whsec_"),
            None => secret.as_bytes().to_vec(),
        };
        let state = Arc::new(Receiver { key, clock, seen: Mutex::default() });
        let api =
            Router::new().route("/hook", post(take)).route("/hook/{id}", get(look_up)).with_state(Arc::clone(&state));
        Self { server: Server::start(api).await, state }
    }

    /// Where web hooks go.
    pub fn hook_url(&self) -> String {
        format!("{}/hook", self.url())
    }

    /// All deliveries with a good signature, repetitions too.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.state.seen).deliveries.clone()
    }

    /// What the deliveries did: one entry for each `webhook-id`, with the body that came first.
    pub fn effects(&self) -> BTreeMap<String, Bytes> {
        lock(&self.state.seen).effects.clone()
    }

    /// How many [`WebhookDouble::deliveries`] there are.
    pub fn delivery_count(&self) -> usize {
        lock(&self.state.seen).deliveries.len()
    }

    /// How many [`WebhookDouble::effects`] there are.
    pub fn effect_count(&self) -> usize {
        lock(&self.state.seen).effects.len()
    }

    /// Deliveries with a bad signature or time.
    pub fn refused(&self) -> usize {
        lock(&self.state.seen).refused
    }
}

impl Deref for WebhookDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn take(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> Response {
    let mut seen = lock(&receiver.seen);
    match receiver.check(&headers, &body) {
        Err(why) => {
            seen.refused += 1;
            answer(401, json!({"error": why}))
        }
        Ok((id, timestamp)) => {
            seen.effects.entry(id.clone()).or_insert_with(|| body.clone());
            seen.deliveries.push(Delivery { id, timestamp, body });
            axum::http::StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn look_up(State(receiver): State<Arc<Receiver>>, Path(asked): Path<String>, headers: HeaderMap) -> Response {
    match receiver.check(&headers, &[]) {
        Ok((id, _)) if id == asked => {
            let status = if lock(&receiver.seen).effects.contains_key(&id) { 200 } else { 404 };
            answer(status, json!({"id": id}))
        }
        Ok(_) => answer(401, json!({"error": "signed for another id"})),
        Err(why) => answer(401, json!({"error": why})),
    }
}

impl Receiver {
    fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(String, i64), &'static str> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or("a header is missing");
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        let seconds: i64 = timestamp.parse().map_err(|_| "the timestamp is no number")?;
        if let Some(clock) = &self.clock {
            let (now, then) = (clock.now(), Timestamp::from_millis(seconds.saturating_mul(1000)));
            if now.since(then).max(then.since(now)) > TOLERANCE {
                return Err("the timestamp is too far away");
            }
        }
        let is_good = header("webhook-signature")?
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|signature| BASE64_STANDARD.decode(signature).ok())
            .any(|signature| {
                let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
                mac.update(format!("{id}.{timestamp}.").as_bytes());
                mac.update(body);
                mac.verify_slice(&signature).is_ok()
            });
        if is_good { Ok((id.to_owned(), seconds)) } else { Err("the signature is not good") }
    }
}
