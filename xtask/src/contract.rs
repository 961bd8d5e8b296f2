//! The server against its own OpenAPI document: schemathesis sends what the document allows and what it forbids, and holds
//! each answer against it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::claim;
use crate::commands::no_arguments;
use crate::process;
use crate::product;
use crate::project::Project;
use crate::tools;

/// What it tries and what it leaves out, with the reasons.
const CONFIG: &str = "xtask/schemathesis/config.toml";

/// `cargo xtask contract`: this step alone.
pub(crate) fn contract(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let _claim = claim::take(project)?;
    check(project)
}

/// Starts the server on a free port with a fresh folder, lets schemathesis at it, and stops it.
pub(crate) fn check(project: &Project) -> Result<()> {
    let schemathesis = tools::schemathesis(project)?;
    let binary = product::build(project)?;
    let server = Server::start(project, &binary)?;
    let mut tests = project.command(schemathesis);
    tests.args(["--config-file", CONFIG, "run", &format!("{}/openapi.json", server.url)]);
    tests.args(["--header", &format!("x-api-key: {}", server.key), "--no-color"]);
    process::run(&mut tests)
        .context("the server and its OpenAPI document differ; the lines above name the requests")?;
    server.stop()
}

/// A server that ends when this is dropped.
struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
    key: String,
}

impl Server {
    fn start(project: &Project, binary: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("switchboard-contract-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let log = File::create(folder.join("log"))?;
        let mut command = project.command(binary);
        command.arg("--data").arg(folder.join("data")).args(["serve", "--json", "--listen", "127.0.0.1:0"]);
        // Training would only take the processor away from the requests.
        // All requests come from one address with one key; the rates have tests of their own.
        for rate in ["ADDRESS_REQUESTS", "KEY_REQUESTS", "TENANT_REQUESTS", "KEY_TICKETS", "TENANT_TICKETS"] {
            command.env(format!("SWITCHBOARD_LIMITS__{rate}_PER_SECOND"), "0");
        }
        command.env("SWITCHBOARD_SERVER__TRAIN", "false").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", binary.display()))?;
        let mut server = Self { child, folder, url: String::new(), key: String::new() };
        let mut line = String::new();
        let stdout = server.child.stdout.take().context("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let announced: Value =
            serde_json::from_str(&line).with_context(|| format!("the server did not start:\n{}", server.log()))?;
        let text = |name: &str| announced[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        (server.url, server.key) = (text("url")?, text("key")?);
        Ok(server)
    }

    /// The server must have lived through it all.
    fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended by itself with {status}:\n{}", self.log());
        }
        let log = self.log();
        for word in ["panicked", "broke an invariant", "a request failed"] {
            if log.contains(word) {
                bail!("the server's log says that something {word}:\n{log}");
            }
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing can be done about a server that cannot be stopped or a folder that stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
