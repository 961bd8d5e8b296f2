//! The ticketing system: counts each decision once.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use tokio::net::TcpListener;

#[derive(Default)]
struct Taken {
    updates: HashSet<String>,
    single: HashSet<String>,
}

type Seen = Arc<Mutex<Taken>>;

/// Takes web hooks.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Seen,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Self> {
        let seen = Seen::default();
        let router = Router::new().route("/", post(take)).with_state(Arc::clone(&seen));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, seen })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn seen(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).updates.len()
    }

    /// Whether an update of that ticket came; tickets of imports are not remembered by name.
    pub(crate) fn has_ticket(&self, id: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).single.contains(id)
    }

    pub(crate) async fn wait_for(&self, number: usize, limit: Duration) -> Result<()> {
        let started = Instant::now();
        while self.seen() < number {
            if started.elapsed() > limit {
                bail!("only {} of {number} tickets were written back in time", self.seen());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

async fn take(State(seen): State<Seen>, headers: HeaderMap, body: String) {
    if let Some(id) = headers.get("webhook-id").and_then(|id| id.to_str().ok()) {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.updates.insert(id.to_owned());
        if let Some((_, single)) = body.split_once("\"ticket_id\":\"single-") {
            seen.single.insert(format!("single-{}", single.split('"').next().unwrap_or_default()));
        }
    }
}
