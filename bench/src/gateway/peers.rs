//! Other gateways to language models, as processes: `bench/peers`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{LITELLM, TENSORZERO, worker::Whom};
use crate::process;

/// LiteLLM needs a quarter of a minute on a quiet machine.
const START: Duration = Duration::from_secs(120);

/// A gateway that runs.
pub(crate) struct Peer {
    child: Child,
    pub(crate) name: &'static str,
    pub(crate) whom: Whom,
    pub(crate) started_in: Duration,
}

/// Starts those whose Python environments the environment names, which `cargo xtask bench --gateway` has installed.
pub(crate) async fn start(provider: SocketAddr, folder: &Path) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    if let Some(python) = python("SWITCHBOARD_BENCH_TENSORZERO") {
        peers.push(tensorzero(&python, provider, folder)?);
    }
    if let Some(python) = python("SWITCHBOARD_BENCH_LITELLM") {
        peers.push(litellm(&python, provider, folder).await?);
    }
    Ok(peers)
}

fn python(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|python| !python.is_empty()).map(PathBuf::from)
}

const TENSORZERO_CONFIG: &str = include_str!("../../peers/tensorzero/tensorzero.toml");
const TENSORZERO_START: &str = include_str!("../../peers/tensorzero/start.py");
const LITELLM_CONFIG: &str = include_str!("../../peers/litellm/config.yaml");

/// It chooses its port and prints where it listens.
fn tensorzero(python: &Path, provider: SocketAddr, folder: &Path) -> Result<Peer> {
    let (config, program) = (folder.join("tensorzero.toml"), folder.join("start.py"));
    fs::write(&config, TENSORZERO_CONFIG.replace("PROVIDER", &provider.to_string()))?;
    fs::write(&program, TENSORZERO_START)?;
    let started = Instant::now();
    let mut command = clean(python, folder);
    command.arg(&program).arg(&config).stdout(Stdio::piped());
    command.env("UPSTREAM_API_KEY", "none").env("TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS", "1");
    let mut child = command.env("RUST_LOG", "warn").spawn().context("TensorZero does not start")?;
    let output = child.stdout.take();
    let whom =
        |address| Whom::Http { address, path: "/openai/v1/chat/completions", model: "tensorzero::model_name::small" };
    let mut peer = Peer { child, name: TENSORZERO, whom: whom(provider), started_in: Duration::ZERO };
    let mut lines = BufReader::new(output.context("no stdout")?).lines();
    loop {
        let line = lines.next().context("TensorZero ended; what it says is above")??;
        if let Some(url) = line.strip_prefix("ready http://") {
            peer.whom = whom(url.split('/').next().unwrap_or_default().parse()?);
            peer.started_in = started.elapsed();
            return Ok(peer);
        }
    }
}

async fn litellm(python: &Path, provider: SocketAddr, folder: &Path) -> Result<Peer> {
    let config = folder.join("litellm.yaml");
    fs::write(&config, LITELLM_CONFIG.replace("PROVIDER", &provider.to_string()))?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let started = Instant::now();
    let mut command = clean(python, folder);
    // No list of prices, models or posts is fetched from the network, and one worker serves.
    for name in [
        "LITELLM_LOCAL_MODEL_COST_MAP",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS",
        "LITELLM_LOCAL_BLOG_POSTS",
        "LITELLM_LOCAL_AUTOROUTER_PRESETS",
        "LITELLM_LOCAL_POLICY_TEMPLATES",
        "LITELLM_TELEMETRY_DISABLED",
        "LITELLM_DONT_SHOW_FEEDBACK_BOX",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY",
        "DISABLE_ADMIN_UI",
        "NO_DOCS",
        "NO_REDOC",
        "DO_NOT_TRACK",
    ] {
        command.env(name, "True");
    }
    command.env("LITELLM_MODE", "PRODUCTION").env("LITELLM_LOG", "ERROR");
    command.arg("-I").arg(python.with_file_name("litellm")).arg("--config").arg(&config);
    command.args(["--host", "127.0.0.1", "--num_workers", "1", "--port", &address.port().to_string()]);
    let log = fs::File::create(folder.join("litellm.log"))?;
    let child = command.stdout(log.try_clone()?).stderr(log).spawn().context("LiteLLM does not start")?;
    let whom = Whom::Http { address, path: "/v1/chat/completions", model: "small" };
    let mut peer = Peer { child, name: LITELLM, whom, started_in: Duration::ZERO };
    while !answers(address).await.unwrap_or(false) {
        let ended = peer.child.try_wait()?;
        let log = || fs::read_to_string(folder.join("litellm.log")).unwrap_or_default();
        ensure!(ended.is_none() && started.elapsed() < START, "LiteLLM does not start: {}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    peer.started_in = started.elapsed();
    Ok(peer)
}

/// With nothing of this process's environment: no proxies, no keys, no databases.
fn clean(python: &Path, folder: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).env("PYTHONUNBUFFERED", "1");
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder);
    command
}

async fn answers(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /health/liveliness HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

impl Peer {
    /// CPU seconds of it and all its children.
    pub(crate) fn cpu(&self) -> Result<f64> {
        process::tree(self.child.id()).into_iter().map(process::cpu).sum()
    }

    /// Megabytes, likewise.
    pub(crate) fn memory(&self) -> Result<f64> {
        process::tree(self.child.id()).into_iter().map(process::resident).sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for pid in process::tree(self.child.id()).into_iter().skip(1) {
            // A child of it that is still there when it is gone would stay for ever.
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
