//! The binary under test, as a process of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::receiver::Receiver;

const CONFIG: &str = include_str!("../../examples/telecorp/config.json");
const STATUS: &str = include_str!("../../examples/telecorp/service-status.json");

pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    key: String,
    data: PathBuf,
    /// Whom it may call: the receiver, and who else there is.
    calls: Vec<SocketAddr>,
}

impl Server {
    /// Starts the binary with the demo tenant, whose desk is a web hook to `receiver`; when more events than `backlog` wait,
    /// it refuses new tickets.
    pub(crate) async fn start(data: &Path, receiver: &Receiver, backlog: Option<u64>) -> Result<Self> {
        Self::start_with(data, receiver, backlog, None, |_| {}).await
    }

    /// The same with a configuration that `change` has changed, and a `provider` of models that it may call.
    pub(crate) async fn start_with(
        data: &Path,
        receiver: &Receiver,
        backlog: Option<u64>,
        provider: Option<SocketAddr>,
        change: impl FnOnce(&mut Value),
    ) -> Result<Self> {
        let tenant = data.join("tenants/telecorp");
        fs::create_dir_all(&tenant)?;
        let mut config: Value = serde_json::from_str(CONFIG)?;
        config["desk"] =
            json!({"kind": "webhook", "url": format!("http://{}/", receiver.address()), "secret": "bench"});
        change(&mut config);
        fs::write(tenant.join("config.json"), config.to_string())?;
        fs::write(tenant.join("service-status.json"), STATUS)?;
        fs::create_dir_all(data.join("secrets/telecorp"))?;
        fs::write(data.join("secrets/telecorp/bench"), "whsec_c3dpdGNoYm9hcmQtYmVuY2gtc2VjcmV0")?;
        let port = free_port()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let calls: Vec<_> = [receiver.address()].into_iter().chain(provider).collect();
        let child = spawn(data, address, &calls, backlog)?;
        until_alive(address).await?;
        let made = command(data).args(["--json", "keys", "create", "--tenant", "telecorp"]).output()?;
        ensure!(made.status.success(), "no key could be made: {}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout)?;
        let key = made["key"].as_str().context("no key in the answer")?.to_owned();
        Ok(Self { child, address, key, data: data.to_owned(), calls })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many dead letters there are.
    pub(crate) fn dead_letters(&self) -> Result<usize> {
        let listed = command(&self.data).args(["--json", "dlq", "list"]).output()?;
        ensure!(listed.status.success(), "dlq list: {}", String::from_utf8_lossy(&listed.stderr));
        let letters: Value = serde_json::from_slice(&listed.stdout)?;
        Ok(letters.as_array().context("dlq list gives no array")?.len())
    }

    /// Kills it, and says when.
    pub(crate) fn kill(&mut self) -> Result<Instant> {
        self.child.kill()?;
        let killed = Instant::now();
        self.child.wait()?;
        Ok(killed)
    }

    /// Starts it on the data that it has, and waits for its first answer.
    pub(crate) async fn start_again(&mut self) -> Result<()> {
        self.child = spawn(&self.data, self.address, &self.calls, None)?;
        until_alive(self.address).await
    }

    /// Stops and starts it `times` over on the data that it has, and measures from the start to the first answer.
    pub(crate) async fn restarts(mut self, times: usize) -> Result<Value> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let started = self.kill()?;
            self.start_again().await?;
            took.push(started.elapsed().as_millis() as u64);
        }
        took.sort_unstable();
        Ok(json!({"min": took.first(), "median": took.get(took.len() / 2), "max": took.last()}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may be gone already, and then nothing is left to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, which lies beside this one.
pub(crate) fn binary() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("switchboard")));
    beside.unwrap_or_else(|| PathBuf::from("switchboard"))
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("--data").arg(data);
    command
}

fn spawn(data: &Path, address: SocketAddr, calls: &[SocketAddr], backlog: Option<u64>) -> Result<Child> {
    // The load comes from one address with one key; the rates are not what is measured.
    let rates = ["ADDRESS_REQUESTS", "KEY_REQUESTS", "TENANT_REQUESTS", "KEY_TICKETS", "TENANT_TICKETS"]
        .map(|rate| (format!("SWITCHBOARD_LIMITS__{rate}_PER_SECOND"), "0"));
    let backlog = backlog.map(|events| {
        ["SWITCHBOARD_QUEUE__BACKLOG", "SWITCHBOARD_QUEUE__TENANT_BACKLOG"].map(|name| (name, events.to_string()))
    });
    command(data)
        .envs(rates)
        .envs(backlog.into_iter().flatten())
        .env("SWITCHBOARD_LIMITS__CONNECTIONS_PER_ADDRESS", "0")
        .args(["--quiet", "serve", "--no-demo", "--listen", &address.to_string()])
        .env("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", json!(calls).to_string())
        .stdout(Stdio::null())
        .spawn()
        .context("the binary does not start; build it by `cargo build --release -p switchboard`")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn until_alive(address: SocketAddr) -> Result<()> {
    let started = Instant::now();
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            ensure!(answer.starts_with("HTTP/1.1 200"), "the server is not alive: {answer}");
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(20), "the server does not start");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}
