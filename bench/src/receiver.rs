//! The ticketing system: counts each decision once.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use serde_json::Value;
use tokio::net::TcpListener;

#[derive(Default)]
struct Taken {
    updates: HashSet<String>,
    single: HashSet<String>,
    /// By ticket, where they are read.
    decisions: Option<HashMap<String, Arrived>>,
}

/// What came of a ticket.
#[derive(Clone)]
pub(crate) struct Arrived {
    /// Of the first update.
    pub(crate) at: Instant,
    /// Who has decided, as the first line of the note says it: `by the small model …`.
    pub(crate) by: By,
    /// Decisions, each counted once however often it came.
    pub(crate) decisions: HashSet<String>,
}

/// Who has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Model,
    Local,
    Other,
}

type Seen = Arc<Mutex<Taken>>;

/// Takes web hooks.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Seen,
}

impl Receiver {
    pub(crate) async fn start() -> Result<Self> {
        Self::of(Seen::default()).await
    }

    /// One that also reads what it gets.
    pub(crate) async fn start_reading() -> Result<Self> {
        Self::of(Arc::new(Mutex::new(Taken { decisions: Some(HashMap::new()), ..Taken::default() }))).await
    }

    async fn of(seen: Seen) -> Result<Self> {
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

    /// What came of each ticket so far.
    pub(crate) fn decisions(&self) -> HashMap<String, Arrived> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).decisions.clone().unwrap_or_default()
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
        if let Some(decisions) = &mut seen.decisions {
            read(decisions, id, &body);
        }
        if let Some((_, single)) = body.split_once("\"ticket_id\":\"single-") {
            seen.single.insert(format!("single-{}", single.split('"').next().unwrap_or_default()));
        }
    }
}

fn read(decisions: &mut HashMap<String, Arrived>, id: &str, body: &str) {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let data = &body["data"];
    let Some(ticket) = data["ticket_id"].as_str() else { return };
    let first_line = data["note"].as_str().and_then(|note| note.lines().next()).unwrap_or_default();
    let by = if first_line.contains(" by the small model ") || first_line.contains(" by the large model ") {
        By::Model
    } else if first_line.contains(" by the local classifier:") {
        By::Local
    } else {
        By::Other
    };
    let first = || Arrived { at: Instant::now(), by, decisions: HashSet::new() };
    decisions.entry(ticket.to_owned()).or_insert_with(first).decisions.insert(id.to_owned());
}
