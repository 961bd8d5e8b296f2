use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use switchboard_core::{
    access::{
        Scope,
        audit::{Actor, By},
        keys::{self, Wish},
        uses::Uses,
    },
    app::App,
    jobs, learning,
    models::Pooled,
    ports::TenantScope,
    tenants::Retention,
};
use switchboard_http::{HttpState, Service, SignIn, Tls};
use switchboard_knowledge::{LocalClassifier, tone};
use switchboard_local::{Role, SqliteStore, Swept};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::{Session, backup, retention::policy};
use crate::{access, demo, embedding::InstalledModel, learning::keep_learning, output, settings::Settings, wire};

const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether the certificate's files are new.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How often money that was reserved for calls of models and is not used is given back.
const POOL_LOOK: Duration = Duration::from_secs(1);

pub(super) async fn serve(session: Session, listen: Option<SocketAddr>, with_demo: bool) -> Result<ExitCode> {
    let Session { global, data, settings } = &session;
    let signals = StopSignals::listen()?;
    outlive_size_limits()?;
    data.create()?;
    let lock = data.lock()?;
    backup::finish_under(&lock, data)?;
    let first_start = data.needs_first_start();
    let address = match listen {
        Some(address) => address.to_string(),
        None => settings.server.listen.clone(),
    };
    // Before anything is stored: a first start that fails here is a first start again the next time, with a key to show.
    let tls = load_tls(settings)?;
    let client_address = settings.server.proxies()?;
    let listener = TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    if first_start {
        data.begin_first_start()?;
    }
    let metrics = record_metrics()?;
    let upkeep = metrics.clone();
    let wired = wire::wire(data, settings, Role::Server).await?;
    access::note_start(&wired.app, first_start).await.map_err(|error| anyhow!(error.report()))?;
    let key = if first_start && with_demo {
        demo::install(&data.tenants(), wired.store.as_ref(), wired.app.clock.now()).await?;
        Some(make_demo_key(&wired).await?)
    } else {
        None
    };
    let uses = Arc::new(Uses::default());
    let state = HttpState::new(Service {
        app: wired.app.clone(),
        pepper: wired.pepper,
        secrets: wired.secrets.clone(),
        sign_in: SignIn {
            operator: wired.store.clone(),
            oidc: wired.oidc.clone(),
            uses: Arc::clone(&uses),
            is_https: settings.access.https || tls.is_some(),
        },
        environment: settings.server.environment.clone(),
        metrics_need_key: settings.server.metrics_need_key,
        limits: settings.limits.clone(),
        client_address,
        render_metrics: Box::new(move || metrics.render()),
    });
    let grace = Duration::from_secs(settings.server.shutdown_seconds);
    let (stop, stopped) = watch::channel(false);
    let worker = start_worker(wired.app.clone(), stopped.clone(), grace)?;
    let watcher = access::start_upkeep(wired.app.clone(), wired.store.clone(), uses, wired.oidc, stopped.clone());
    let sweeper = start_sweeper(wired.app.clone(), Arc::clone(&wired.store), settings.retention, stopped.clone());
    give_embeddings(wired.embedding.clone(), Arc::clone(&wired.classifier));
    prepare_tenants(wired.app.clone());
    let learner = start_learner(wired.app.clone(), settings.server.train, stopped.clone());
    tokio::spawn(keep_metrics_small(wired.app.clone(), upkeep));
    if let Some(pooled) = wired.pooled.clone() {
        tokio::spawn(give_money_back(wired.app.clone(), pooled));
    }
    if let Some(tls) = &tls {
        keep_certificate_new(wired.app.clone(), Arc::clone(tls), signals_of_change()?);
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    announce(&session, &format!("{scheme}://{address}"), key.as_ref(), global.json)?;
    if first_start {
        data.end_first_start()?;
    }
    tokio::spawn(async move {
        signals.first().await;
        tracing::info!("stopping: no new requests, what is in hand is finished");
        let _ = stop.send(true);
    });
    let http = switchboard_http::serve(listener, state, tls, until(stopped.clone()));
    // Taking tickets that nobody routes, or that stay for ever, would look healthy: ending the process gets somebody's attention.
    // Each of these ends when it is told to, and not before.
    let work = async {
        tokio::try_join!(
            ended("worker", worker, &stopped),
            ended("sweeper", sweeper, &stopped),
            ended("watch over access", watcher, &stopped),
        )
    };
    let requests = async {
        tokio::select! {
            () = http => {}
            () = async { until(stopped.clone()).await; wired.app.clock.sleep(grace).await } => {
                tracing::warn!("some requests did not end in time");
            }
        }
        Ok(())
    };
    tokio::try_join!(requests, work)?;
    learner.abort();
    if let Some(pooled) = &wired.pooled {
        pooled.close().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Waits for the end of work that goes on until the server stops; an error when it panics, or ends before.
async fn ended<T, E: std::error::Error + Send + Sync + 'static>(
    name: &'static str,
    work: impl Future<Output = Result<T, E>>,
    stopped: &watch::Receiver<bool>,
) -> Result<()> {
    work.await.with_context(|| format!("the {name} failed"))?;
    if !*stopped.borrow() {
        bail!("the {name} ended by itself");
    }
    Ok(())
}

fn load_tls(settings: &Settings) -> Result<Option<Arc<Tls>>> {
    let Some((certificate, key)) = settings.server.tls_files()? else { return Ok(None) };
    Ok(Some(Arc::new(Tls::load(certificate, key).context("the settings of server.tls cannot be used")?)))
}

fn signals_of_change() -> Result<Signal> {
    signal(SignalKind::hangup()).context("signals cannot be listened to")
}

/// Takes new certificate files over, when they change and on SIGHUP. What cannot be used is told, and the one before stays.
fn keep_certificate_new(app: App, tls: Arc<Tls>, mut hangup: Signal) {
    tokio::spawn(async move {
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = app.clock.sleep(CERTIFICATE_LOOK) => false,
            };
            if !asked && !tls.has_changed() {
                continue;
            }
            match tls.reload() {
                Ok(()) => tracing::info!("the certificate was read again and is in force"),
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::error!(error, "the new certificate is refused, the one before stays in force");
                }
            }
        }
    });
}

/// The worker has a thread of its own: it is one task, and among thousands of requests it would get a thousandth of the
/// processor. So the operating system shares it out, and a flood at the door leaves the work its part. The receiver is told
/// when the worker ends, and is left alone when it panics.
fn start_worker(app: App, stopped: watch::Receiver<bool>, grace: Duration) -> Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let work = async move {
        // Tickets are taken in at once; they are worked on when the classifier is ready, so that a process that dies while it
        // learns has no ticket in its hands.
        if tokio::task::spawn_blocking(tone::prepare).await.is_err() {
            tracing::error!("learning the tone of tickets stopped");
        }
        jobs::work(&app, until(stopped), grace).await;
        // Nobody waits any more when the server gave up on requests first.
        let _ = tell.send(());
    };
    std::thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || runtime.block_on(work))
        .context("the worker's thread cannot start")?;
    Ok(told)
}

/// Retention and the search for what is unfinished: at the start, then every minute, in bounded steps.
fn start_sweeper(app: App, store: Arc<SqliteStore>, rule: Retention, stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while !*stopped.borrow() {
            store.set_retention(policy(app.tenants.as_ref(), rule).await);
            match store.sweep().await {
                Ok(swept) if swept != Swept::default() => {
                    tracing::info!(?swept, "sweep");
                    if swept.has_more() {
                        continue;
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::error!(error = error.report(), "the sweep failed"),
            }
            tokio::select! {
                () = app.clock.sleep(SWEEP_EVERY) => {}
                () = until(stopped.clone()) => {}
            }
        }
    })
}

fn start_learner(app: App, trains: bool, stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move { keep_learning(app, trains, || *stopped.borrow()).await })
}

/// Loads the embedding model beside the first requests: it takes a good part of a second.
fn give_embeddings(embedding: InstalledModel, classifier: Arc<LocalClassifier>) {
    tokio::task::spawn_blocking(move || match embedding.open() {
        Ok(Some(embedder)) => classifier.with_embeddings(embedder),
        Ok(None) => {}
        Err(error) => tracing::error!(error = format!("{error:#}"), "the classifier works without embeddings"),
    });
}

/// Histograms keep every sample until somebody folds them into their buckets; nobody may be scraping.
async fn keep_metrics_small(app: App, metrics: PrometheusHandle) {
    loop {
        app.clock.sleep(METRICS_UPKEEP).await;
        metrics.run_upkeep();
    }
}

async fn give_money_back(app: App, pooled: Arc<Pooled>) {
    loop {
        app.clock.sleep(POOL_LOOK).await;
        pooled.give_back().await;
    }
}

/// Loads and learns every tenant beside the first requests, so that the first ticket of each need not wait for it.
fn prepare_tenants(app: App) {
    tokio::spawn(async move {
        let ids = app.tenants.list().await.unwrap_or_else(|error| {
            tracing::error!(error = error.report(), "the tenants cannot be listed");
            Vec::new()
        });
        for id in ids {
            match app.tenants.tenant(&id).await {
                Ok(Some(tenant)) => {
                    if let Err(error) = learning::refresh(&app, &tenant).await {
                        tracing::error!(tenant = %id, error = error.report(), "a model is not in force");
                    }
                    let classifier = Arc::clone(&app.classifier);
                    if tokio::task::spawn_blocking(move || classifier.prepare(&tenant)).await.is_err() {
                        tracing::error!(tenant = %id, "learning the tenant stopped");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::error!(tenant = %id, error = error.report(), "tenant refused"),
            }
        }
    });
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means that the process is ending, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// SIGXFSZ on Linux and macOS.
const FILE_TOO_LARGE: i32 = 25;

/// A write beyond a limit on the size of files (`ulimit -f`, `LimitFSIZE=`) kills a process that does not listen to this
/// signal. When it listens, the write fails, which the store takes for a full disk.
fn outlive_size_limits() -> Result<()> {
    // Once registered, a handler stays for the life of the process.
    signal(SignalKind::from_raw(FILE_TOO_LARGE)).map(drop).context("signals cannot be listened to")
}

/// SIGTERM and SIGINT, taken from the first moment on: one that comes while the server still starts must end it as any
/// other does, not kill it.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn first(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn record_metrics() -> Result<PrometheusHandle> {
    let seconds = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
    let tenths = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Suffix("_score".to_owned()), &tenths)?
        .install_recorder()
        .context("the metrics recorder cannot start")
}

async fn make_demo_key(wired: &wire::Wired) -> Result<SecretString> {
    let tenant = demo::tenant()?;
    let scopes = Scope::TICKETS.to_vec();
    let wish = Wish { name: "made at the first start".to_owned(), scopes, expires_at: None };
    let (scope, by) = (TenantScope::of_operator(tenant), By::new(Actor::System));
    let (key, _) = keys::create(&wired.app, &wired.pepper, &scope, &by, wish).await?;
    Ok(key.reveal())
}

fn announce(session: &Session, url: &str, key: Option<&SecretString>, as_json: bool) -> Result<()> {
    let data = session.data.root().display();
    let key = key.map(|key| key.expose_secret());
    if as_json {
        return output::json_line(&json!({"url": url, "data": data.to_string(), "key": key}));
    }
    println!("Switchboard {} listens on {url}", env!("CARGO_PKG_VERSION"));
    println!("  data folder  {data}");
    println!("  API          {url}/docs");
    let Some(key) = key else {
        println!("  API keys     switchboard keys create --data {data}");
        return Ok(());
    };
    println!("  demo tenant  telecorp");
    println!("  API key      {key}");
    println!("               (shown this once; make more by `switchboard keys create --data {data}`)");
    println!();
    println!("Send a ticket in, then read what became of it:");
    println!();
    println!("  curl -s {url}/tickets -H 'x-api-key: {key}' -H 'content-type: application/json' \\");
    println!(
        "    -d '{}'",
        json!({
            "ticket_id": "T-1",
            "customer_id": "CUST-1001",
            "subject": "No internet since this morning",
            "description": "The light on my router is red and nothing loads. My service is SVC204.",
        })
    );
    println!();
    println!("  curl -s {url}/tickets/T-1 -H 'x-api-key: {key}'");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_or_ends_before_the_server_is_an_error() {
        let (stop, stopped) = watch::channel(false);
        let panics = ended("sweeper", tokio::spawn(async { panic!("on purpose") }), &stopped).await;
        assert_eq!(panics.unwrap_err().to_string(), "the sweeper failed");
        let ends = ended("sweeper", tokio::spawn(async {}), &stopped).await;
        assert_eq!(ends.unwrap_err().to_string(), "the sweeper ended by itself");
        stop.send(true).unwrap();
        ended("sweeper", tokio::spawn(async {}), &stopped).await.unwrap();
    }
}
