//! The harness: a data folder, the processes that work on it, and what they wrote to standard error.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use switchboard_testkit::doubles;
use tempfile::TempDir;

use crate::api::Api;

const BINARY: &str = env!("CARGO_BIN_EXE_switchboard");
const START_TIME: Duration = Duration::from_secs(30);

/// A data folder and the environment of the processes that work on it.
pub(crate) struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    /// A data folder that is not there yet.
    pub(crate) fn new() -> Self {
        // Most tests are not about learning, and a training beside each would cost them seconds.
        let home = Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() };
        let home = home.env("SWITCHBOARD_SERVER__TRAIN", "false");
        // Nor about rates: they send as fast as they can, all from one address and mostly with one key.
        let rates = ["ADDRESS_REQUESTS", "KEY_REQUESTS", "TENANT_REQUESTS", "KEY_TICKETS", "TENANT_TICKETS"];
        rates.iter().fold(home, |home, rate| home.env(&format!("SWITCHBOARD_LIMITS__{rate}_PER_SECOND"), "0"))
    }

    /// The same with `config` as a tenant; its server is to be started by [`Home::start_empty`].
    pub(crate) fn with_tenant(config: &Value) -> Self {
        let home = Self::new();
        home.put_tenant(config);
        home
    }

    /// Writes the configuration of a tenant.
    pub(crate) fn put_tenant(&self, config: &Value) {
        let folder = self.data().join("tenants").join(config["tenant_id"].as_str().unwrap());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
    }

    /// The same with an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with connectors allowed to reach these doubles.
    pub(crate) fn allow(self, doubles: &[&doubles::Server]) -> Self {
        let hosts: Vec<_> = doubles.iter().map(|double| double.host()).collect();
        self.env("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", &serde_json::to_string(&hosts).unwrap())
    }

    /// The same with a secret of the tenant `acme`.
    pub(crate) fn secret(self, name: &str, value: &str) -> Self {
        self.env(&format!("SWITCHBOARD_SECRET_ACME__{name}"), value)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for files of the test beside the data folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What all servers wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.beside("server.log")).unwrap_or_default()
    }

    /// A command in this home's environment and no other, without `--data`.
    pub(crate) fn bare_command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("COLUMNS", "100").current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command();
        command.arg("--data").arg(self.data()).args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finished(&mut self.command(arguments))
    }

    /// Runs a command that must succeed, and gives what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Runs a command that must succeed with `--json`, and gives the document that it printed.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {text}"))
    }

    /// Runs a command with `input` on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Ran::of(output.status, &output.stdout, &output.stderr)
    }

    /// A key of `tenant`, made by the command line.
    pub(crate) fn make_key(&self, tenant: &str, scopes: &[&str]) -> String {
        let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
        let arguments: Vec<_> = ["keys", "create", "--tenant", tenant].into_iter().chain(scopes).collect();
        self.json(&arguments)["key"].as_str().unwrap().to_owned()
    }

    /// Starts a server with the demo tenant, when the folder is new.
    pub(crate) fn start(&self) -> Server {
        self.start_with("127.0.0.1:0", &[])
    }

    /// Starts a server without the demo tenant.
    pub(crate) fn start_empty(&self) -> Server {
        self.start_with("127.0.0.1:0", &["--no-demo"])
    }

    /// Makes the data folder by a first start without the demo, and ends that server again.
    pub(crate) fn prepared(&self) {
        let mut server = self.start_empty();
        server.terminate();
        server.wait(START_TIME);
    }

    pub(crate) fn start_with(&self, listen: &str, arguments: &[&str]) -> Server {
        let mut child = self.spawn(&[&["serve", "--json", "--listen", listen], arguments].concat());
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(START_TIME).unwrap_or_default();
        let Ok(announced) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            panic!("the server does not start: {line:?}\n{}", self.log());
        };
        let text = |name: &str| announced[name].as_str().map(str::to_owned);
        Server { child, url: text("url").unwrap(), key: text("key"), log: self.beside("server.log") }
    }

    /// Starts a process whose standard error goes to the log.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let log = File::options().create(true).append(true).open(self.beside("server.log")).unwrap();
        self.command(arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap()
    }
}

/// Runs `command` to its end.
pub(crate) fn finished(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran::of(output.status, &output.stdout, &output.stderr)
}

impl Ran {
    fn of(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
        Self { code: status.code(), stdout: text(stdout.to_vec()), stderr: text(stderr.to_vec()) }
    }
}

/// A running server. Dropping it kills it, and fails the test when it has panicked.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// The key of the demo tenant, at the first start.
    pub(crate) key: Option<String>,
    log: PathBuf,
}

impl Server {
    /// A client with that key.
    pub(crate) fn api(&self, key: &str) -> Api {
        Api::new(&self.url, Some(key))
    }

    /// A client with the key of the demo tenant.
    pub(crate) fn demo_api(&self) -> Api {
        self.api(self.key.as_deref().expect("the first start makes a key"))
    }

    /// Address and port, to start another server in the same place.
    pub(crate) fn address(&self) -> SocketAddr {
        self.url.split_once("://").unwrap().1.parse().unwrap()
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < limit, "the server still runs after {limit:?}:\n{}", tail(&self.log));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the end of the server's log:\n{}", tail(&self.log));
            return;
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        assert!(!log.contains("panicked"), "the server panicked:\n{log}");
        assert!(!log.contains("broke an invariant"), "a handler panicked:\n{log}");
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
