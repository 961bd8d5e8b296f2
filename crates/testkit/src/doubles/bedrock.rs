//! A double of Amazon Bedrock's runtime: Converse plain and streamed, InvokeModel for embeddings, ApplyGuardrail.

mod check;
mod embed;
mod frame;
mod reply;
mod signed;
mod wire;

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

pub use super::openai::Asks;
use super::{Server, answer, lock};
pub use reply::Reply;

const BODY_BYTES: usize = 16 * 1024 * 1024;
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
/// What a guardrail says in place of what it stops.
pub const BLOCKED: &str = "Sorry, this cannot be answered.";

type Shared = Arc<Mutex<Scripted>>;
type Refused = Box<Response>;

/// Knows models, inference profiles and a guardrail, answers by a script, and remembers what it was asked. It refuses what the
/// service refuses: a call that is not signed, an unknown model, a conversation out of order.
pub struct BedrockDouble {
    server: Server,
    state: Shared,
}

/// A request that it got.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path as it came, such as `/model/amazon.nova-lite-v1%3A0/converse`.
    pub path: String,
    /// The model or the guardrail in it, decoded.
    pub subject: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; null where it is no JSON.
    pub body: Value,
}

struct Scripted {
    access_key: Option<String>,
    models: Vec<String>,
    guardrail: (String, String),
    blocked: Vec<String>,
    script: VecDeque<Reply>,
    otherwise: Reply,
    invoked: VecDeque<Reply>,
    asked: Vec<Asked>,
    cached_tokens: u64,
    answers: u64,
    counted: Value,
}

impl BedrockDouble {
    /// Starts one that takes any access key, knows some models of Amazon and Cohere with their profiles for `eu`, and the
    /// guardrail `gr4a7b1c9d2e` of version `1`, which stops nothing, and answers `Hello.` where nothing is scripted.
    pub async fn start() -> Self {
        let models = [
            "amazon.nova-lite-v1:0",
            "amazon.nova-pro-v1:0",
            "eu.amazon.nova-lite-v1:0",
            "amazon.titan-embed-text-v2:0",
            "cohere.embed-english-v3",
            "cohere.embed-multilingual-v3",
            "eu.cohere.embed-v4:0",
        ];
        let state = Arc::new(Mutex::new(Scripted {
            access_key: None,
            models: models.map(str::to_owned).to_vec(),
            guardrail: ("gr4a7b1c9d2e".to_owned(), "1".to_owned()),
            blocked: Vec::new(),
            script: VecDeque::new(),
            otherwise: Reply::Text { text: "Hello.".to_owned() },
            invoked: VecDeque::new(),
            asked: Vec::new(),
            cached_tokens: 0,
            answers: 0,
            counted: Value::Null,
        }));
        let api = Router::new()
            .route("/model/{model}/converse", post(converse))
            .route("/model/{model}/converse-stream", post(converse_stream))
            .route("/model/{model}/invoke", post(invoke))
            .route("/guardrail/{guardrail}/version/{version}/apply", post(apply_guardrail))
            .with_state(Arc::clone(&state));
        Self { server: Server::start(api).await, state }
    }

    /// From now on calls must be signed by this access key.
    pub fn require_access_key(&self, key: &str) {
        lock(&self.state).access_key = Some(key.to_owned());
    }

    /// The guardrail stops whatever has this word in it.
    pub fn block(&self, word: &str) {
        lock(&self.state).blocked.push(word.to_owned());
    }

    /// The next answer of Converse, plain or streamed, is `reply`; several wait in a queue.
    pub fn reply(&self, reply: Reply) {
        lock(&self.state).script.push_back(reply);
    }

    /// Answers of Converse beyond the queue are `reply` from now on.
    pub fn reply_always(&self, reply: Reply) {
        lock(&self.state).otherwise = reply;
    }

    /// The next answer of InvokeModel is `reply`, one of `status`, `raw`, `cut`, `hang`, `endless` and these after a while;
    /// beyond the queue there are embeddings.
    pub fn reply_invoke(&self, reply: Reply) {
        lock(&self.state).invoked.push_back(reply);
    }

    /// So many tokens of each prompt are said to come from the cache; at most all of them.
    pub fn cached_tokens(&self, tokens: u64) {
        lock(&self.state).cached_tokens = tokens;
    }

    /// All requests so far that got past the faults of the network.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The `usage` of its last answer of Converse: a token for each four bytes.
    pub fn counted(&self) -> Value {
        lock(&self.state).counted.clone()
    }
}

impl Deref for BedrockDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// An error in the service's form.
fn error(status: u16, kind: &str, message: &str) -> Response {
    let mut response = answer(status, json!({"message": message}));
    if !kind.is_empty() {
        response.headers_mut().insert("x-amzn-errortype", kind.parse().expect("a header"));
    }
    with_request_id(response)
}

fn with_request_id(mut response: Response) -> Response {
    let id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".parse().expect("a header");
    response.headers_mut().insert(HeaderName::from_static("x-amzn-requestid"), id);
    response
}

fn invalid(message: &str) -> Refused {
    Box::new(error(400, "ValidationException", message))
}

/// Writes the request down and checks its signature; the body in JSON.
async fn heard(state: &Shared, subject: &str, request: Request) -> Result<Value, Refused> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES).await.unwrap_or_default();
    let body: Option<Value> = serde_json::from_slice(&body).ok();
    let mut state = lock(state);
    state.asked.push(Asked {
        path: parts.uri.path().to_owned(),
        subject: subject.to_owned(),
        headers: headers(&parts.headers),
        body: body.clone().unwrap_or_default(),
    });
    match signed::access_key(&parts.headers) {
        Err((kind, message)) => return Err(Box::new(error(403, kind, message))),
        Ok(key) if state.access_key.as_ref().is_some_and(|known| *known != key) => {
            let message = "The security token included in the request is invalid.";
            return Err(Box::new(error(403, "UnrecognizedClientException", message)));
        }
        Ok(_) => {}
    }
    body.filter(Value::is_object).ok_or_else(|| {
        let message = "Could not parse request body into json";
        Box::new(error(400, "SerializationException", message))
    })
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

/// Models are asked by their id, by the id of an inference profile, or by the ARN of either.
fn known_model(state: &Shared, model: &str) -> Result<(), Refused> {
    let id = match model.strip_prefix("arn:aws:bedrock:") {
        Some(rest) => match rest.rsplit_once('/') {
            Some((owner, id)) if owner.ends_with(":inference-profile") || owner.ends_with(":foundation-model") => id,
            _ => return Err(invalid("The provided model identifier is invalid.")),
        },
        None => model,
    };
    if lock(state).models.iter().any(|one| one == id) {
        return Ok(());
    }
    let message = "Could not resolve the foundation model from the provided model identifier.";
    Err(Box::new(error(404, "ResourceNotFoundException", message)))
}

async fn converse(State(state): State<Shared>, Path(model): Path<String>, request: Request) -> Response {
    match conversed(&state, &model, request).await {
        Ok((about, reply)) => with_request_id(whole(&about, reply)),
        Err(refused) => *refused,
    }
}

async fn converse_stream(State(state): State<Shared>, Path(model): Path<String>, request: Request) -> Response {
    match conversed(&state, &model, request).await {
        Ok((about, reply)) => with_request_id(streamed(&about, reply)),
        Err(refused) => *refused,
    }
}

async fn conversed(state: &Shared, model: &str, request: Request) -> Result<(wire::About, Reply), Refused> {
    let body = heard(state, model, request).await?;
    known_model(state, model)?;
    if model.contains("embed") {
        return Err(invalid(
            "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
        ));
    }
    if let Some(message) = check::mistake(&body) {
        return Err(invalid(&message));
    }
    let is_stopped = match body.get("guardrailConfig") {
        Some(config) => {
            let part = |name: &str| config[name].as_str().unwrap_or_default();
            known_guardrail(state, part("guardrailIdentifier"), part("guardrailVersion"))?;
            lock(state).blocked.iter().any(|word| body["messages"].to_string().contains(word))
        }
        None => false,
    };
    let (mut reply, cached, number) = {
        let mut state = lock(state);
        state.answers += 1;
        let reply = state.script.pop_front().unwrap_or_else(|| state.otherwise.clone());
        (reply, state.cached_tokens, state.answers)
    };
    if is_stopped {
        reply = Reply::stopped(BLOCKED, "guardrail_intervened");
    }
    let reply = waited(reply).await;
    let about = wire::About::new(&body, cached, number);
    lock(state).counted = about.usage(&reply);
    refused(&reply).map_or(Ok((about, reply)), Err)
}

#[allow(clippy::disallowed_methods, reason = "the other side of a network has a time of its own")]
async fn waited(mut reply: Reply) -> Reply {
    while let Reply::Slow { millis, then } = reply {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        reply = *then;
    }
    reply
}

fn refused(reply: &Reply) -> Option<Refused> {
    let Reply::Status { status, kind, message, retry_after } = reply else { return None };
    let mut refused = error(*status, kind, message);
    if let Some(wish) = retry_after {
        refused.headers_mut().insert(RETRY_AFTER, wish.parse().expect("a header"));
    }
    Some(Box::new(refused))
}

fn whole(about: &wire::About, reply: Reply) -> Response {
    match reply {
        Reply::Raw { body } => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Reply::Corrupt { .. } => {
            ([(CONTENT_TYPE, "application/json")], "{\"output\": words of the other side").into_response()
        }
        Reply::ErrorInside { kind, .. } => {
            let (status, kind) = match kind.as_str() {
                "throttlingException" => (429, "ThrottlingException"),
                "validationException" => (400, "ValidationException"),
                "serviceUnavailableException" => (503, "ServiceUnavailableException"),
                "modelStreamErrorException" => (424, "ModelErrorException"),
                _ => (500, "InternalServerException"),
            };
            error(status, kind, "words of the other side")
        }
        Reply::Cut { .. } => cut(vec![about.whole(&reply).to_string().as_bytes()[..40].to_vec()], "application/json"),
        Reply::Hang { .. } => endless(stream::pending().boxed(), "application/json"),
        Reply::Endless => {
            let head =
                Bytes::from_static(b"{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"");
            let words = stream::repeat(Bytes::from("and so on ".repeat(400)));
            endless(stream::iter([head]).chain(words).boxed(), "application/json")
        }
        reply => answer(200, about.whole(&reply)),
    }
}

fn streamed(about: &wire::About, reply: Reply) -> Response {
    let frames = about.frames(&reply);
    match reply {
        Reply::Raw { body } => events(vec![frame::event("contentBlockDelta", &body)]),
        Reply::Cut { .. } => cut(frames, EVENT_STREAM),
        Reply::Hang { .. } => {
            endless(stream::iter(frames).map(Bytes::from).chain(stream::pending()).boxed(), EVENT_STREAM)
        }
        Reply::Endless => {
            let more = Bytes::from(about.piece("and so on ").repeat(16));
            endless(stream::iter(frames).map(Bytes::from).chain(stream::repeat(more)).boxed(), EVENT_STREAM)
        }
        _ => events(frames),
    }
}

fn events(frames: Vec<Vec<u8>>) -> Response {
    let body = Body::from_stream(stream::iter(frames).map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, EVENT_STREAM)], body).into_response()
}

fn endless(body: stream::BoxStream<'static, Bytes>, media_type: &'static str) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, media_type)], Body::from_stream(body.map(Ok::<_, Infallible>))).into_response()
}

/// The connection ends in the middle of the body.
fn cut(pieces: Vec<Vec<u8>>, media_type: &'static str) -> Response {
    let cut = stream::iter([Err(io::Error::other("cut"))]);
    // A pause, so that what comes before the cut is not thrown away with the connection.
    let pause = stream::once(async {
        tokio::task::yield_now().await;
        Ok(Vec::new())
    });
    let body = stream::iter(pieces).map(Ok).chain(pause).chain(cut);
    ([(CONTENT_TYPE, media_type)], Body::from_stream(body)).into_response()
}

async fn invoke(State(state): State<Shared>, Path(model): Path<String>, request: Request) -> Response {
    let asked = async {
        let body = heard(&state, &model, request).await?;
        known_model(&state, &model)?;
        let scripted = lock(&state).invoked.pop_front();
        let Some(reply) = scripted else {
            let (body, tokens) = embed::answer(&model, &body).map_err(|message| invalid(&message))?;
            let count = tokens.to_string().parse().expect("a header");
            let mut response = answer(200, body);
            response.headers_mut().insert("x-amzn-bedrock-input-token-count", count);
            return Ok(response);
        };
        let reply = waited(reply).await;
        match refused(&reply) {
            Some(refused) => Err(refused),
            None => Ok(whole(&wire::About::new(&body, 0, 0), reply)),
        }
    };
    asked.await.map_or_else(|refused: Refused| *refused, with_request_id)
}

fn known_guardrail(state: &Shared, id: &str, version: &str) -> Result<(), Refused> {
    let (known, known_version) = lock(state).guardrail.clone();
    let is_known = id == known || id.ends_with(&format!(":guardrail/{known}"));
    if is_known && (version == known_version || version == "DRAFT") {
        return Ok(());
    }
    Err(invalid("The guardrail identifier or version provided in the request does not exist."))
}

async fn apply_guardrail(
    State(state): State<Shared>,
    Path((guardrail, version)): Path<(String, String)>,
    request: Request,
) -> Response {
    let asked = async {
        let body = heard(&state, &guardrail, request).await?;
        let is_unknown = known_guardrail(&state, &guardrail, &version).is_err();
        if is_unknown {
            let message = "The guardrail identifier or version provided in the request does not exist.";
            return Err(Box::new(error(404, "ResourceNotFoundException", message)));
        }
        if !["INPUT", "OUTPUT"].iter().any(|source| body["source"] == *source) {
            return Err(invalid("Value at 'source' failed to satisfy enum value set: [INPUT, OUTPUT]"));
        }
        let Some(content) = body["content"].as_array().filter(|content| !content.is_empty()) else {
            return Err(invalid("Value at 'content' must have at least one member."));
        };
        let text: String = content.iter().filter_map(|block| block["text"]["text"].as_str()).collect();
        let found: Vec<_> = lock(&state).blocked.iter().filter(|word| text.contains(*word)).cloned().collect();
        Ok(assessed(&found, text.len()))
    };
    asked.await.map_or_else(|refused: Refused| *refused, |body| with_request_id(answer(200, body)))
}

fn assessed(found: &[String], bytes: usize) -> Value {
    let words: Vec<_> = found.iter().map(|word| json!({"match": word, "action": "BLOCKED"})).collect();
    let policy = json!({"wordPolicy": {"customWords": words, "managedWordLists": []}});
    let is_stopped = !found.is_empty();
    let (outputs, assessments) =
        if is_stopped { (json!([{"text": BLOCKED}]), json!([policy])) } else { (json!([]), json!([])) };
    json!({
        "action": if is_stopped { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "outputs": outputs,
        "assessments": assessments,
        "usage": {
            "topicPolicyUnits": 0, "contentPolicyUnits": 0, "wordPolicyUnits": bytes.div_ceil(1_000),
            "sensitiveInformationPolicyUnits": 0, "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0,
        },
    })
}
