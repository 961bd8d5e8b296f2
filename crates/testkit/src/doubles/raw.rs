//! A server below HTTP: it takes a request and sends bytes, whatever they are.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::lock;

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// These bytes.
    Send(Vec<u8>),
    /// These bytes again and again, up to that many times, with a pause between two.
    Repeat {
        /// What is sent each time.
        bytes: Vec<u8>,
        /// How often at most.
        times: usize,
        /// The pause.
        every: Duration,
    },
    /// The connection is reset, not closed.
    Reset,
    /// Silence.
    Hang,
}

impl Step {
    /// Text to send.
    pub fn text(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

/// A server on `127.0.0.1` that reads one request of each connection, answers it by the script, and closes. It dies when it
/// is dropped.
pub struct RawServer {
    address: SocketAddr,
    script: Arc<Mutex<Vec<Step>>>,
    requests: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl RawServer {
    /// Starts one that answers nothing and closes.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a bound port");
        let (script, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let stop = CancellationToken::new();
        let (told, counted, stopped) = (Arc::clone(&script), Arc::clone(&requests), stop.clone());
        tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, counted) = (Arc::clone(&told), Arc::clone(&counted));
                tokio::spawn(stopped.clone().run_until_cancelled_owned(async move {
                    let mut stream = stream;
                    if read_request(&mut stream).await {
                        counted.fetch_add(1, Ordering::SeqCst);
                        let script = lock(&told).clone();
                        answer(stream, script).await;
                    }
                }));
            }
        }));
        Self { address, script, requests, _stop: stop.drop_guard() }
    }

    /// The base URL: `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port, as an operator would allow them: `127.0.0.1:40123`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// From now on every request is answered by these steps.
    pub fn answer(&self, steps: Vec<Step>) {
        *lock(&self.script) = steps;
    }

    /// Requests that have arrived whole.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads head and body; `false` when the connection ended before.
async fn read_request(stream: &mut TcpStream) -> bool {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return false,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if request.len() >= end + 4 + length.unwrap_or(0) {
            return true;
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the other side of a network has a time of its own")]
async fn answer(mut stream: TcpStream, script: Vec<Step>) {
    for step in script {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Repeat { bytes, times, every } => {
                for _ in 0..times {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                    if !every.is_zero() {
                        tokio::time::sleep(every).await;
                    }
                }
            }
            Step::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
            Step::Hang => std::future::pending().await,
        }
    }
    let _ = stream.shutdown().await;
}
