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

type Seen = Arc<Mutex<HashSet<String>>>;

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
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
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

async fn take(State(seen): State<Seen>, headers: HeaderMap) {
    if let Some(id) = headers.get("webhook-id").and_then(|id| id.to_str().ok()) {
        seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }
}
