//! A double of a tenant's customer source.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use serde_json::{Value, json};

use super::{Server, answer, has_authorization, lock};

/// Answers `GET /customers/{id}`.
pub struct CustomerDouble {
    server: Server,
    state: Arc<Mutex<Customers>>,
}

#[derive(Default)]
struct Customers {
    token: Option<String>,
    answers: BTreeMap<String, Value>,
}

impl CustomerDouble {
    /// Starts one that knows nobody and asks for no token.
    pub async fn start() -> Self {
        let state = Arc::default();
        let api = Router::new().route("/customers/{id}", get(customer)).with_state(Arc::clone(&state));
        Self { server: Server::start(api).await, state }
    }

    /// From now on calls need this bearer token.
    pub fn require_token(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    /// Whoever asks for `id` is told `answer`: the truth or a lie.
    pub fn put(&self, id: &str, answer: Value) {
        lock(&self.state).answers.insert(id.to_owned(), answer);
    }
}

impl Deref for CustomerDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn customer(State(state): State<Arc<Mutex<Customers>>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let state = lock(&state);
    if state.token.as_ref().is_some_and(|token| !has_authorization(&headers, &format!("Bearer {token}"))) {
        return answer(401, json!({"error": "unauthorized"}));
    }
    match state.answers.get(&id) {
        Some(customer) => answer(200, customer.clone()),
        None => answer(404, json!({"error": "unknown customer"})),
    }
}
