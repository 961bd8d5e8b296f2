//! The product as its operator has it: a binary, a data folder, an environment.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

pub(super) struct Product {
    binary: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    /// Where each of its servers listens.
    pub(super) address: SocketAddr,
    /// A key of the tenant `acme`, once it is made.
    pub(super) key: String,
}

impl Product {
    /// On data in `folder`, with one tenant, `acme`.
    pub(super) fn new(binary: &Path, folder: &Path, config: &Value) -> Self {
        let tenant = folder.join("data/tenants/acme");
        fs::create_dir_all(&tenant).expect("a folder for the tenant");
        fs::write(tenant.join("config.json"), config.to_string()).expect("the tenant's configuration is written");
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut product = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            environment: Vec::new(),
            address: free.expect("a free port on 127.0.0.1"),
            key: String::new(),
        };
        // The load comes from one address with one key, and no training is to take the machine from it.
        product.set("SWITCHBOARD_SERVER__TRAIN", "false");
        for rate in ["ADDRESS_REQUESTS", "KEY_REQUESTS", "TENANT_REQUESTS", "KEY_TICKETS", "TENANT_TICKETS"] {
            product.set(&format!("SWITCHBOARD_LIMITS__{rate}_PER_SECOND"), "0");
        }
        product
    }

    /// Sets a variable of the environment of all its processes.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.arg("--data").arg(self.folder.join("data")).args(arguments);
        command
    }

    /// Starts a server, and does not wait for it.
    pub(super) fn serve(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.folder.join("server.log")).expect("a log");
        let listen = self.address.to_string();
        let mut command = self.command(&["serve", "--no-demo", "--listen", &listen]);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("the product's binary")
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the product's binary");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}: {errors}", output.status);
        String::from_utf8(output.stdout).expect("output in UTF-8")
    }

    /// Runs a command that must succeed with `--json`.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[arguments, &["--json"]].concat())).expect("one JSON document")
    }

    /// Makes the key. A server must have run on the data before.
    pub(super) fn make_key(&mut self) {
        let scopes =
            ["tickets:write", "tickets:read", "tickets:review"].into_iter().flat_map(|scope| ["--scope", scope]);
        let arguments: Vec<_> = ["keys", "create", "--tenant", "acme"].into_iter().chain(scopes).collect();
        self.json(&arguments)["key"].as_str().expect("a key").clone_into(&mut self.key);
    }

    /// What all its servers wrote to standard error.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}
