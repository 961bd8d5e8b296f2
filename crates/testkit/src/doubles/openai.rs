//! A double of a server with OpenAI's API: models, chat completions plain and streamed, embeddings.

mod reply;
mod wire;

use std::{
    collections::VecDeque,
    convert::Infallible,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION, header::CONTENT_TYPE, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{Server, answer, has_authorization, lock};
pub use reply::{Asks, Reply};

const BODY_BYTES: usize = 16 * 1024 * 1024;
/// Numbers of an embedding.
const DIMENSIONS: usize = 8;

type Shared = Arc<Mutex<Scripted>>;
type Refused = Box<Response>;

/// Knows models, answers by a script, and remembers what it was asked. It refuses what the API refuses: a body of another
/// form, an unknown model, a missing key. It listens at `{url}/v1`.
pub struct OpenAiDouble {
    server: Server,
    state: Shared,
}

/// A request that it got.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path, such as `/v1/chat/completions`.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null where there is none, or none in JSON.
    pub body: Value,
}

struct Scripted {
    key: Option<String>,
    models: Vec<String>,
    script: VecDeque<Reply>,
    embedding_script: VecDeque<Reply>,
    otherwise: Reply,
    asked: Vec<Asked>,
    cached_tokens: u64,
    answers: u64,
    counted: Value,
}

impl OpenAiDouble {
    /// Starts one that asks for no key, knows the models `small` and `large`, and answers `Hello.` where nothing is scripted.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(Scripted {
            key: None,
            models: ["small", "large", "embed"].map(str::to_owned).to_vec(),
            script: VecDeque::new(),
            embedding_script: VecDeque::new(),
            otherwise: Reply::Text { text: "Hello.".to_owned() },
            asked: Vec::new(),
            cached_tokens: 0,
            answers: 0,
            counted: Value::Null,
        }));
        let api = Router::new()
            .route("/v1/models", get(models))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .with_state(Arc::clone(&state));
        Self { server: Server::start(api).await, state }
    }

    /// The base URL for clients: `http://127.0.0.1:40123/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.server.url())
    }

    /// From now on calls need this key as their bearer token.
    pub fn require_key(&self, key: &str) {
        lock(&self.state).key = Some(key.to_owned());
    }

    /// The next completion that is asked for is `reply`; several wait in a queue.
    pub fn reply(&self, reply: Reply) {
        lock(&self.state).script.push_back(reply);
    }

    /// Completions beyond the queue are `reply` from now on.
    pub fn reply_always(&self, reply: Reply) {
        lock(&self.state).otherwise = reply;
    }

    /// The next embeddings that are asked for are `reply`; several wait in a queue. Words are none here: a reply that begins
    /// with some is the vectors, as far as it gets.
    pub fn reply_to_embedding(&self, reply: Reply) {
        lock(&self.state).embedding_script.push_back(reply);
    }

    /// So many tokens of each prompt are said to come from the cache; at most all of them.
    pub fn cached_tokens(&self, tokens: u64) {
        lock(&self.state).cached_tokens = tokens;
    }

    /// All requests so far that got past the faults of the network.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The `usage` of its last completion: a token for each four bytes.
    pub fn counted(&self) -> Value {
        lock(&self.state).counted.clone()
    }
}

impl Deref for OpenAiDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// An error in OpenAI's form.
fn error(status: u16, kind: &str, code: Option<&str>, param: Option<&str>, message: &str) -> Response {
    answer(status, json!({"error": {"message": message, "type": kind, "param": param, "code": code}}))
}

fn invalid(param: &str, message: &str) -> Refused {
    Box::new(error(400, "invalid_request_error", None, Some(param), message))
}

/// A refusal that the script asks for.
fn refusal(status: u16, retry_after: Option<&str>, code: Option<&str>, message: &str) -> Response {
    let kind = if status == 429 { "rate_limit_error" } else { "server_error" };
    let mut refused = error(status, code.unwrap_or(kind), code, None, message);
    if let Some(wish) = retry_after {
        refused.headers_mut().insert(RETRY_AFTER, wish.parse().expect("a header"));
    }
    refused
}

/// Writes the request down and checks its key; the body in JSON.
async fn heard(state: &Shared, request: Request) -> Result<Value, Refused> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES).await.unwrap_or_default();
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let mut state = lock(state);
    state.asked.push(Asked {
        path: parts.uri.path().to_owned(),
        headers: headers(&parts.headers),
        body: body.clone().unwrap_or_default(),
    });
    if let Some(key) = &state.key
        && !has_authorization(&parts.headers, &format!("Bearer {key}"))
    {
        // As OpenAI does, the message shows what was sent: it must not be passed on.
        let sent = parts.headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let message = format!("Incorrect API key provided: {}.", sent.unwrap_or_default());
        return Err(Box::new(error(401, "invalid_request_error", Some("invalid_api_key"), None, &message)));
    }
    if parts.method == "GET" {
        return Ok(Value::Null);
    }
    body.filter(Value::is_object).ok_or_else(|| {
        let message = "We could not parse the JSON body of your request.";
        Box::new(error(400, "invalid_request_error", None, None, message))
    })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

fn known_model(state: &Shared, body: &Value) -> Result<String, Refused> {
    let Some(model) = body["model"].as_str() else {
        return Err(invalid("model", "you must provide a model parameter"));
    };
    if lock(state).models.iter().any(|one| one == model) {
        return Ok(model.to_owned());
    }
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    Err(Box::new(error(404, "invalid_request_error", Some("model_not_found"), None, &message)))
}

async fn models(State(state): State<Shared>, request: Request) -> Response {
    if let Err(refused) = heard(&state, request).await {
        return *refused;
    }
    let models = lock(&state).models.clone();
    let data: Vec<_> = models
        .iter()
        .map(|id| json!({"id": id, "object": "model", "created": wire::CREATED, "owned_by": "switchboard"}))
        .collect();
    answer(200, json!({"object": "list", "data": data}))
}

async fn embeddings(State(state): State<Shared>, request: Request) -> Response {
    let asked = async {
        let body = heard(&state, request).await?;
        let model = known_model(&state, &body)?;
        let texts = match &body["input"] {
            Value::String(text) => vec![text.clone()],
            Value::Array(texts) if !texts.is_empty() && texts.iter().all(Value::is_string) => {
                texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => return Err(invalid("input", "'$.input' is invalid: a text, or a list of texts, that is not empty")),
        };
        let format = body["encoding_format"].as_str().unwrap_or("float");
        let dimensions = body["dimensions"].as_u64().map_or(DIMENSIONS, |wanted| wanted.clamp(1, 4_096) as usize);
        Ok(wire::embeddings(&model, &texts, dimensions, format == "base64"))
    };
    let mut body = match asked.await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let reply = lock(&state).embedding_script.pop_front();
    let begun = |body: &Value| body.to_string()[..60].to_owned();
    match reply {
        Some(Reply::Status { status, retry_after, code, message }) => {
            refusal(status, retry_after.as_deref(), code.as_deref(), &message)
        }
        Some(Reply::Raw { body }) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Some(Reply::Cut { .. }) => cut(vec![begun(&body)]),
        Some(Reply::Hang { .. }) => {
            let begun = stream::iter([Bytes::from(begun(&body))]);
            endless(begun.chain(stream::pending()).boxed(), "application/json")
        }
        Some(Reply::Endless) => {
            let head = Bytes::from("{\"data\":[{\"index\":0,\"embedding\":[0.5");
            let numbers = stream::repeat(Bytes::from(",0.25".repeat(800)));
            endless(stream::iter([head]).chain(numbers).boxed(), "application/json")
        }
        Some(Reply::NoUsage { .. }) => {
            body["usage"] = Value::Null;
            answer(200, body)
        }
        _ => answer(200, body),
    }
}

#[allow(clippy::disallowed_methods, reason = "the other side of a network has a time of its own")]
async fn chat(State(state): State<Shared>, request: Request) -> Response {
    let checked = async {
        let body = heard(&state, request).await?;
        let model = known_model(&state, &body)?;
        if let Some((param, message)) = wire::mistake(&body) {
            return Err(invalid(param, message));
        }
        Ok((body, model))
    };
    let (body, model) = match checked.await {
        Ok(checked) => checked,
        Err(refused) => return *refused,
    };
    let (mut reply, cached, number) = {
        let mut state = lock(&state);
        state.answers += 1;
        let reply = state.script.pop_front().unwrap_or_else(|| state.otherwise.clone());
        (reply, state.cached_tokens, state.answers)
    };
    while let Reply::Slow { millis, then } = reply {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        reply = *then;
    }
    let about = wire::About::new(&body, model, cached, number);
    lock(&state).counted = about.usage(&reply);
    if let Reply::Status { status, retry_after, code, message } = &reply {
        return refusal(*status, retry_after.as_deref(), code.as_deref(), message);
    }
    if body["stream"] == true { streamed(&about, reply) } else { whole(&about, reply) }
}

fn whole(about: &wire::About, reply: Reply) -> Response {
    match reply {
        Reply::Raw { body } => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Reply::Cut { .. } => cut(vec![about.whole(&reply).to_string()[..60].to_owned()]),
        Reply::Hang { .. } => endless(stream::pending().boxed(), "application/json"),
        Reply::Endless => {
            let head = about.whole(&Reply::Text { text: String::new() }).to_string();
            let at = head.find("\"content\":\"").map_or(head.len(), |at| at + "\"content\":\"".len());
            let words = stream::repeat(Bytes::from("and so on ".repeat(400)));
            let body = stream::iter([Bytes::from(head[..at].to_owned())]).chain(words);
            endless(body.boxed(), "application/json")
        }
        reply => Json(about.whole(&reply)).into_response(),
    }
}

fn streamed(about: &wire::About, reply: Reply) -> Response {
    let event = |data: &str| format!("data: {data}\n\n");
    let events = about.pieces(&reply).iter().map(|piece| event(&piece.to_string())).collect::<Vec<_>>();
    match reply {
        Reply::Raw { body } => sse(vec![event(&body)]),
        Reply::Cut { .. } => cut(events),
        Reply::Hang { .. } => {
            endless(stream::iter(events).map(Bytes::from).chain(stream::pending()).boxed(), "text/event-stream")
        }
        Reply::Endless => {
            let more = event(&about.piece("and so on ").to_string());
            let body = stream::iter(events).map(Bytes::from).chain(stream::repeat(Bytes::from(more.repeat(16))));
            endless(body.boxed(), "text/event-stream")
        }
        Reply::NoDone { .. } => sse(events),
        _ => sse(events.into_iter().chain([event("[DONE]")]).collect()),
    }
}

fn sse(events: Vec<String>) -> Response {
    let body = Body::from_stream(stream::iter(events).map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn endless(body: stream::BoxStream<'static, Bytes>, media_type: &'static str) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, media_type)], Body::from_stream(body.map(Ok::<_, Infallible>))).into_response()
}

/// The connection ends in the middle of the body.
fn cut(events: Vec<String>) -> Response {
    let cut = stream::iter([Err(std::io::Error::other("cut"))]);
    // A pause, so that what comes before the cut is not thrown away with the connection.
    let pause = stream::once(async {
        tokio::task::yield_now().await;
        Ok(String::new())
    });
    let body = stream::iter(events).map(Ok).chain(pause).chain(cut);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}
