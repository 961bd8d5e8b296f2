//! Tickets over keep-alive connections, in a closed loop (as fast as they are answered) or an open one (at a rate, whatever
//! the answers do: waiting counts).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::server::Server;

const TEXTS: [(&str, &str); 6] = [
    (
        "No internet since this morning",
        "The light on my router is red and nothing loads. My service is SVC204. Please hurry!",
    ),
    ("Charged twice", "You took $49.90 twice on 2026-11-02 from my account ACC-20931, please pay one back."),
    ("Router instalation", "i cant conect my new router to the wifi it says ERR-504 every time, model MDM-00FF12AB"),
    (
        "Kündigung",
        "Guten Tag, hiermit kündige ich meinen Vertrag zum nächstmöglichen Termin. Bitte bestätigen Sie das schriftlich.",
    ),
    (
        "Técnico",
        "El técnico no vino ayer a la cita y nadie me llamó. Vivo en Calle Mayor 23, mi teléfono es +34 600 555 012.",
    ),
    (
        "Upgrade",
        "We are a small office and think about faster fibre for twelve people. What would that cost us a month?",
    ),
];

/// Tickets to send.
pub(crate) struct Load {
    bodies: Arc<Vec<Bytes>>,
}

impl Load {
    /// So many tickets, with ids that begin with `name`.
    pub(crate) fn tickets(name: &str, number: usize) -> Self {
        Self { bodies: Arc::new((0..number).map(|n| ticket(name, n)).collect()) }
    }

    /// As fast as the answers come.
    pub(crate) async fn closed(&self, server: &Server, connections: usize) -> Result<Value> {
        let started = Instant::now();
        let latencies = self.send(server.address(), server.key(), connections, None, 202).await?;
        Ok(summary(latencies, self.bodies.len() as f64 / started.elapsed().as_secs_f64()))
    }

    /// At `rate` a second; the time of a ticket counts from when it was due.
    pub(crate) async fn open(&self, server: &Server, connections: usize, rate: f64) -> Result<Value> {
        let latencies = self.send(server.address(), server.key(), connections, Some(rate), 202).await?;
        Ok(summary(latencies, rate))
    }

    pub(crate) async fn send(
        &self,
        address: SocketAddr,
        key: &str,
        connections: usize,
        rate: Option<f64>,
        expected: u16,
    ) -> Result<Vec<Duration>> {
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let mut tasks = Vec::with_capacity(connections);
        for _ in 0..connections {
            let (bodies, next, key) = (Arc::clone(&self.bodies), Arc::clone(&next), key.to_owned());
            tasks.push(tokio::spawn(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                tokio::spawn(connection);
                let mut latencies = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(body) = bodies.get(n) else { return anyhow::Ok(latencies) };
                    let mut due = Instant::now();
                    if let Some(rate) = rate {
                        due = started + Duration::from_secs_f64(n as f64 / rate);
                        tokio::time::sleep_until(due.into()).await;
                    }
                    let request = Request::post("/tickets")
                        .header("host", "localhost")
                        .header("x-api-key", &key)
                        .header("content-type", "application/json")
                        .body(Full::new(body.clone()))?;
                    let response = sender.send_request(request).await?;
                    let status = response.status().as_u16();
                    response.into_body().collect().await?;
                    ensure!(status == expected, "a ticket was answered with {status}");
                    latencies.push(due.elapsed());
                }
            }));
        }
        let mut latencies = Vec::with_capacity(self.bodies.len());
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(latencies)
    }
}

/// The body of ticket `{name}-{n}`.
pub(crate) fn ticket(name: &str, n: usize) -> Bytes {
    let (subject, description) = TEXTS[n % TEXTS.len()];
    body(name, n, subject, description)
}

/// The same with a text that no other ticket has, ends in `end`, and is not what a rule of the demo tenant looks for.
pub(crate) fn distinct_ticket(name: &str, n: usize, end: &str) -> Bytes {
    let (subject, description) = TEXTS[1 + n % (TEXTS.len() - 1)];
    // In letters: numbers could be taken for personal data, which is covered before a model sees it.
    let mut word = String::new();
    let mut left = n;
    for _ in 0..5 {
        word.push(char::from(b'a' + (left % 26) as u8));
        left /= 26;
    }
    body(name, n, subject, &format!("{description} (Ref {name} {word}) {end}"))
}

fn body(name: &str, n: usize, subject: &str, description: &str) -> Bytes {
    let customer = format!("CUST-{}", 1_000 + n % 5_000);
    let ticket = json!({
        "ticket_id": format!("{name}-{n}"), "customer_id": customer, "subject": subject, "description": description,
    });
    Bytes::from(ticket.to_string())
}

fn summary(mut latencies: Vec<Duration>, rate: f64) -> Value {
    latencies.sort();
    let at = |quantile: f64| milliseconds(quantile_of(&latencies, quantile));
    json!({"per_s": rate.round(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)})
}

/// p50 and p99 in milliseconds.
pub(crate) fn quantiles(times: impl Iterator<Item = Duration>) -> (f64, f64) {
    let mut times: Vec<_> = times.collect();
    times.sort();
    (milliseconds(quantile_of(&times, 0.5)), milliseconds(quantile_of(&times, 0.99)))
}

/// Of what is sorted; zero of nothing.
pub(crate) fn quantile_of(sorted: &[Duration], quantile: f64) -> Duration {
    let index = ((sorted.len() as f64 * quantile) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// In hundredths.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}
