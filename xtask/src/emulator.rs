//! AWS on this machine: the emulator that the tests of `crates/aws` and of the deployed stack run against.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::commands::no_arguments;
use crate::project::Project;
use crate::tools;

/// How often it is looked whether it answers, and how long that is done: it takes two seconds on an idle machine.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: u32 = 600;

/// `cargo xtask emulator`: the emulator in the foreground, for tests that are run by hand.
pub(crate) fn emulator(project: &Project, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let mut emulator = Emulator::start(project)?;
    println!("AWS is emulated at {}; tests find it by:", emulator.endpoint());
    for (name, value) in emulator.variables() {
        println!("  export {name}={value}");
    }
    let status = emulator.child.wait()?;
    bail!("the emulator ended with {status}");
}

/// A port of the loopback address that nobody has now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// An emulator that ends when this is dropped.
pub(crate) struct Emulator {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Emulator {
    /// Starts it on a free port of the loopback address, and waits until it answers.
    pub(crate) fn start(project: &Project) -> Result<Self> {
        let program = tools::ministack(project)?;
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("switchboard-aws-{}-{port}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let log = File::create(folder.join("log"))?;
        let mut command = Command::new(&program);
        // Functions that it runs inherit its environment, so it gets nothing of ours but what they need.
        command.env_clear().current_dir(&folder).env("HOME", &folder);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
        command.env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let mut emulator = Self { child, folder, port };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for _ in 0..LOOKS {
            if TcpStream::connect(address).is_ok() {
                return Ok(emulator);
            }
            if let Some(status) = emulator.child.try_wait()? {
                bail!("the emulator ended with {status}:\n{}", emulator.log());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("the emulator does not answer:\n{}", emulator.log())
    }

    /// Where it is.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What leads the tests to it. The credentials are of no account anywhere.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        [
            // Nobody asks the machine's own cloud for credentials.
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("SWITCHBOARD_TEST_AWS_ENDPOINT", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be stopped or a folder that stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
