//! The ways to call a model: straight over HTTP, to the provider or to a proxy before it, and through our gateway.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::json;
use switchboard_connect::{Outbound, OutboundPolicy, connectors};
use switchboard_core::{
    ids::CustomerId,
    limits::POOL_LOOK,
    models::{Asked, Gateway, Message, Part, Pooled, Prompt, Role, StreamEvent},
    ports::{Clock, Ids, Secrets, TenantScope, UsageLedger},
    tenants::Tenant,
    untrusted::Untrusted,
};
use switchboard_local::{FolderSecrets, Role as Process, SqliteStore, SystemClock, SystemIds};

use crate::{
    client::{Connection, ready},
    provider::{SLOW_MODEL, answer_length},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An answer as a whole.
    Plain,
    /// One as it is written, at once.
    Stream,
    /// One that is written slowly.
    SlowStream,
}

/// How long a call took; of a stream, also when its first words came.
pub(crate) struct Took {
    pub(crate) whole: Duration,
    pub(crate) first: Option<Duration>,
}

/// Who is called.
pub(crate) enum Caller {
    Http(Http),
    Ours(Box<Ours>),
}

impl Caller {
    /// One call, which began at `began`; each asks something that was not asked before.
    ///
    /// # Errors
    /// When it is not answered with all words of the provider.
    pub(crate) async fn call(&self, mode: Mode, began: Instant) -> Result<Took> {
        match self {
            Self::Http(http) => http.call(mode, began).await,
            Self::Ours(ours) => ours.call(mode, began).await,
        }
    }

    /// Ends what runs beside the calls; how many calls were paid for, where somebody counts.
    pub(crate) async fn close(&self) -> Result<Option<u64>> {
        match self {
            Self::Http(_) => Ok(None),
            Self::Ours(ours) => ours.close().await.map(Some),
        }
    }
}

/// Keep-alive connections to a server with OpenAI's API.
pub(crate) struct Http {
    address: SocketAddr,
    path: String,
    model: String,
    idle: Mutex<Vec<Connection>>,
    asked: AtomicU64,
}

impl Http {
    pub(crate) fn new(address: SocketAddr, path: &str, model: &str) -> Self {
        let (path, model) = (path.to_owned(), model.to_owned());
        Self { address, path, model, idle: Mutex::default(), asked: AtomicU64::new(0) }
    }

    async fn call(&self, mode: Mode, began: Instant) -> Result<Took> {
        let mut body = json!({
            "model": if mode == Mode::SlowStream { self.model.replace("small", SLOW_MODEL) } else { self.model.clone() },
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(&self.asked)}],
            "max_tokens": TOKENS,
        });
        if mode != Mode::Plain {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        let request = Request::post(&self.path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .header("authorization", "Bearer none")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().flatten();
        let response = ready(&mut connection, self.address).await?.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let (mut said, mut first) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            said.extend_from_slice(&frame?.into_data().unwrap_or_default());
            if mode != Mode::Plain && first.is_none() && contains(&said, b"word0 ") {
                first = Some(began.elapsed());
            }
        }
        let whole = began.elapsed();
        let is_whole = contains(&said, b"word19 ") && (mode == Mode::Plain || contains(&said, b"[DONE]"));
        ensure!(status.is_success() && is_whole, "answered {status}: {}", String::from_utf8_lossy(&said));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(Took { whole, first })
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

const SYSTEM: &str = "You answer briefly.";
const TOKENS: u32 = 100;

fn question(asked: &AtomicU64) -> String {
    format!("What is number {}?", asked.fetch_add(1, Ordering::Relaxed))
}

/// The gateway as `serve` wires it: over the one client for other systems, the ledger in SQLite, behind the purses.
pub(crate) struct Ours {
    gateway: Gateway,
    ledger: Arc<SqliteStore>,
    pooled: Arc<Pooled>,
    clock: Arc<dyn Clock>,
    tenant: Tenant,
    /// The same with a provider that takes its time.
    slow: Tenant,
    /// Each call is for another customer.
    has_customers: bool,
    asked: AtomicU64,
}

impl Ours {
    pub(crate) fn new(provider: SocketAddr, folder: &Path, has_customers: bool) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let ids: Arc<dyn Ids> = Arc::new(SystemIds::default());
        let ledger = Arc::new(SqliteStore::open(&folder.join("bench.db"), clock.clone(), Process::Server)?);
        let secrets: Arc<dyn Secrets> = Arc::new(FolderSecrets::new(folder.join("secrets")));
        let outbound = Arc::new(Outbound::new(OutboundPolicy { allow_hosts: vec![provider.to_string()] })?);
        let models = Arc::new(connectors(&outbound, &secrets, &clock).models);
        let pooled = Arc::new(Pooled::new(ledger.clone(), clock.clone(), ids.clone()));
        tokio::spawn({
            let (clock, pooled) = (clock.clone(), pooled.clone());
            async move {
                loop {
                    clock.sleep(POOL_LOOK).await;
                    pooled.give_back().await;
                }
            }
        });
        let gateway = Gateway::new(models, pooled.clone(), clock.clone(), ids);
        let (tenant, slow) = (tenant(provider, "small")?, tenant(provider, SLOW_MODEL)?);
        Ok(Self { gateway, ledger, pooled, clock, tenant, slow, has_customers, asked: AtomicU64::new(0) })
    }

    async fn call(&self, mode: Mode, began: Instant) -> Result<Took> {
        let text = question(&self.asked);
        let customer: Option<CustomerId> = match self.has_customers {
            true => Some(format!("C-{}", self.asked.load(Ordering::Relaxed)).parse()?),
            false => None,
        };
        let prompt = Prompt {
            system: SYSTEM.to_owned(),
            messages: vec![Message::user([Part::Trusted(text)])],
            tools: Vec::new(),
            schema: None,
            max_tokens: TOKENS,
            temperature: None,
        };
        let asked = Asked { role: Role::Small, customer: customer.as_ref(), prompt: &prompt, bill: None };
        if mode == Mode::Plain {
            let answered =
                self.gateway.ask(&self.tenant, &asked, |answer| Ok(answer.text.read_as(String::len))).await?;
            ensure!(answered.value == answer_length(), "the answer has {} characters", answered.value);
            return Ok(Took { whole: began.elapsed(), first: None });
        }
        let tenant = if mode == Mode::SlowStream { &self.slow } else { &self.tenant };
        let mut stream = self.gateway.stream(tenant, &asked).await?;
        let (mut said, mut first, mut has_ended) = (Untrusted::new(String::new()), None, false);
        while let Some(event) = stream.next().await {
            match event? {
                StreamEvent::Text(text) => {
                    first.get_or_insert_with(|| began.elapsed());
                    said.push(&text);
                }
                StreamEvent::ToolUse(_) => {}
                StreamEvent::End { .. } => has_ended = true,
            }
        }
        let length = said.read_as(String::len);
        ensure!(has_ended && length == answer_length(), "a stream ended after {length} characters");
        Ok(Took { whole: began.elapsed(), first })
    }

    async fn close(&self) -> Result<u64> {
        self.pooled.close().await;
        let spent = self.ledger.spent(&TenantScope::of_tenant(&self.tenant), None, self.clock.now()).await?;
        ensure!(spent.month.open.0 == 0, "of the month {:?} is still reserved", spent.month.open);
        Ok(spent.month.calls)
    }
}

fn tenant(provider: SocketAddr, model: &str) -> Result<Tenant> {
    let config = json!({
        "tenant_id": "bench", "name": "Bench",
        "teams": [{"id": "support", "name": "Support"}],
        "categories": [{"id": "all", "name": "All", "description": "Everything", "team": "support"}],
        "models": {
            "mode": "cascade",
            "providers": {"bench": {"kind": "openai", "url": format!("http://{provider}/v1")}},
            "small": [{"provider": "bench", "model": model, "price": {"input": 0.15, "output": 0.6}}],
            "budget": {"month_usd": 100_000.0, "day_usd": 100_000.0, "customer_day_usd": 1_000.0},
        },
    });
    Tenant::from_json(config.to_string().as_bytes()).context("the benchmark's tenant")
}
