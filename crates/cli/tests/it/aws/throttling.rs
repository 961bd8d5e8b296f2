//! A DynamoDB that is too busy for some of its callers: a proxy before the emulator.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{api::client, random::Random};

/// The largest body of a call that is passed on: DynamoDB takes 16 MB.
const BODY_BYTES: usize = 16 * 1024 * 1024;
/// In a transaction there is a reason for each of its writes; all of ours have fewer.
const REASONS: usize = 20;

/// The proxy, until it is dropped.
pub(super) struct Throttling {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    behind: String,
    http: reqwest::Client,
    /// How many of a hundred calls are refused.
    percent: AtomicU64,
    calls: AtomicU64,
    refused: AtomicU64,
    /// Those that it has passed on, by operation.
    passed_on: Mutex<BTreeMap<String, u64>>,
}

impl Throttling {
    /// Listens on `port` and passes to the emulator at `behind` what it does not refuse.
    pub(super) async fn start(port: u16, behind: &str) -> Self {
        let shared = Arc::new(Shared {
            behind: behind.to_owned(),
            http: client(),
            percent: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            passed_on: Mutex::default(),
        });
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let app = Router::new().fallback(call).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { shared, server }
    }

    /// From now on it refuses so many of a hundred calls.
    pub(super) fn refuse(&self, percent: u64) {
        self.shared.percent.store(percent, Ordering::SeqCst);
    }

    /// Calls since the last look that it has passed on, by operation.
    pub(super) fn passed_on(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.shared.passed_on.lock().unwrap())
    }

    /// Calls that it has refused.
    pub(super) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::SeqCst)
    }
}

impl Drop for Throttling {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn call(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES).await.unwrap();
    let number = shared.calls.fetch_add(1, Ordering::SeqCst);
    // The number of the call draws, so that a run differs from another by the order of its calls alone.
    if Random::new(number).next() % 100 < shared.percent.load(Ordering::SeqCst) {
        shared.refused.fetch_add(1, Ordering::SeqCst);
        return refusal(&parts.headers, number);
    }
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    *shared.passed_on.lock().unwrap().entry(operation).or_default() += 1;
    pass_on(&shared, &parts.headers, body).await
}

/// As DynamoDB says it, in all its ways.
fn refusal(headers: &HeaderMap, number: u64) -> Response {
    let is_transaction =
        headers.get("x-amz-target").is_some_and(|target| target.as_bytes().ends_with(b".TransactWriteItems"));
    let name = match number % 3 {
        0 if is_transaction => "TransactionCanceledException",
        0 | 1 => "ThrottlingException",
        _ => "ProvisionedThroughputExceededException",
    };
    let mut told = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": "slow down"});
    if name == "TransactionCanceledException" {
        told["CancellationReasons"] = json!(vec![json!({"Code": "ThrottlingError", "Message": "slow down"}); REASONS]);
    }
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], told.to_string()).into_response()
}

async fn pass_on(shared: &Shared, headers: &HeaderMap, body: Bytes) -> Response {
    let mut request = shared.http.post(&shared.behind).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length")) {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let mut response = (status, answer.bytes().await.unwrap()).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
