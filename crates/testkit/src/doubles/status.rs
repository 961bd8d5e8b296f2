//! A double of a tenant's status page.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, http::HeaderMap, response::Response, routing::post};
use serde_json::{Value, json};

use super::{Server, answer, has_authorization, lock};

/// Answers `POST /status/batch`.
pub struct StatusDouble {
    server: Server,
    state: Arc<Mutex<Status>>,
}

#[derive(Default)]
struct Status {
    token: Option<String>,
    outages: Vec<Value>,
    lie: Option<Value>,
}

impl StatusDouble {
    /// Starts one without outages that asks for no token.
    pub async fn start() -> Self {
        let state = Arc::default();
        let api = Router::new().route("/status/batch", post(batch)).with_state(Arc::clone(&state));
        Self { server: Server::start(api).await, state }
    }

    /// From now on calls need this bearer token.
    pub fn require_token(&self, token: &str) {
        lock(&self.state).token = Some(token.to_owned());
    }

    /// Begins an outage of some services.
    pub fn outage(&self, id: &str, services: &[&str], title: &str) {
        lock(&self.state).outages.push(json!({"id": id, "service_ids": services, "title": title}));
    }

    /// Whoever asks is told `answer`, whatever he asks for.
    pub fn lie(&self, answer: Value) {
        lock(&self.state).lie = Some(answer);
    }
}

impl Deref for StatusDouble {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn batch(State(state): State<Arc<Mutex<Status>>>, headers: HeaderMap, Json(question): Json<Value>) -> Response {
    let state = lock(&state);
    if state.token.as_ref().is_some_and(|token| !has_authorization(&headers, &format!("Bearer {token}"))) {
        return answer(401, json!({"error": "unauthorized"}));
    }
    if let Some(lie) = &state.lie {
        return answer(200, lie.clone());
    }
    let Some(asked) = question["service_ids"].as_array() else {
        return answer(400, json!({"error": "service_ids is missing"}));
    };
    let touches = |outage: &&Value| {
        outage["service_ids"].as_array().is_some_and(|services| services.iter().any(|service| asked.contains(service)))
    };
    let outages: Vec<_> = state.outages.iter().filter(touches).cloned().collect();
    let overall_health = if outages.is_empty() { "healthy" } else { "outage" };
    answer(200, json!({"outages": outages, "known_issues": [], "overall_health": overall_health}))
}
