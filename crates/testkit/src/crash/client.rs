//! Clients that send tickets in, read and review them, and write down what they saw.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    Load, Plan,
    history::{Asked, Call, Seen},
};
use crate::fuzz::Random;

/// A server that lives answers within this time.
const ANSWER: Duration = Duration::from_secs(30);
/// A client rests between two calls for so many microseconds at most: 64 of them ask about 800 times a second, so that each life
/// has something to do in every moment, and a server on a busy machine does more than to answer.
const PAUSE_US: usize = 160_000;
/// The newest tickets, of which one is mostly chosen: they change.
const NEWEST: usize = 64;
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "critical"];
const CATEGORIES: [&str; 2] = ["invoice", "outage"];

/// One connection to the server, made anew whenever it is needed.
pub(super) struct Http {
    address: SocketAddr,
    key: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    pub(super) fn new(address: SocketAddr, key: String) -> Self {
        Self { address, key, sender: None }
    }

    pub(super) async fn get(&mut self, path: &str) -> Option<(u16, Value)> {
        self.ask(Method::GET, path, None).await
    }

    /// Status and document of the answer, if one came.
    pub(super) async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        let answer = tokio::time::timeout(ANSWER, self.try_to_ask(method, path, body)).await.ok().flatten();
        if answer.is_none() {
            self.sender = None;
        }
        answer
    }

    async fn try_to_ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if !self.key.is_empty() {
            request = request.header("x-api-key", &self.key);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("a request");
        let sender = self.sender.as_mut()?;
        sender.ready().await.ok()?;
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// One client. It does one thing after the other.
pub(super) struct Customer {
    number: usize,
    http: Http,
    load: Arc<Load>,
    started: Instant,
    random: Random,
    history: Vec<Call>,
}

impl Customer {
    pub(super) fn new(number: usize, plan: &Plan, http: Http, load: Arc<Load>, started: Instant) -> Self {
        let random = Random::named(&format!("client {number} of {}", plan.seed));
        Self { number, http, load, started, random, history: Vec::new() }
    }

    /// Works until it is told to stop, and gives what it asked and saw.
    pub(super) async fn work(mut self) -> Vec<Call> {
        let mut tickets = 0;
        while !self.load.stop.load(Ordering::SeqCst) {
            let pause = self.random.below(PAUSE_US) as u64;
            tokio::time::sleep(Duration::from_micros(pause)).await;
            let may_write = !self.load.rest.load(Ordering::SeqCst);
            match self.random.below(10) {
                0..5 if may_write => {
                    self.accept(format!("T-{}-{tickets}", self.number)).await;
                    tickets += 1;
                }
                5..7 if may_write => self.review().await,
                _ => self.read().await,
            }
        }
        self.history
    }

    /// Sends a ticket until it is acknowledged.
    async fn accept(&mut self, ticket: String) {
        let (subject, description) = *self.random.pick(&[
            &("No internet since this morning", "Everything is down and nothing loads. My service is SVC204."),
            &("Charged twice", "I was charged twice this month, please look at my invoice."),
        ]);
        let customer = format!("C-{}", self.number);
        let body = json!({
            "ticket_id": ticket, "customer_id": customer, "subject": subject, "description": description,
        });
        let begun = self.started.elapsed();
        loop {
            match self.http.ask(Method::POST, "/tickets", Some(&body)).await {
                Some((202, _)) => break,
                Some((503, _)) | None => {}
                Some((status, problem)) => panic!("{ticket} was answered with {status}: {problem}"),
            }
            self.load.retries.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ended = Some(self.started.elapsed());
        self.load.acknowledged.fetch_add(1, Ordering::SeqCst);
        self.load.tickets.lock().unwrap_or_else(PoisonError::into_inner).push(ticket.clone());
        self.history.push(Call { begun, ended, what: Asked::Accept { ticket } });
    }

    /// Some acknowledged ticket of any client, mostly a new one.
    fn any_ticket(&mut self) -> Option<String> {
        let tickets = self.load.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.is_empty() {
            return None;
        }
        let among = if self.random.one_in(5) { tickets.len() } else { tickets.len().min(NEWEST) };
        tickets.get(tickets.len() - 1 - self.random.below(among)).cloned()
    }

    async fn read(&mut self) {
        let Some(ticket) = self.any_ticket() else { return };
        let begun = self.started.elapsed();
        let seen = match self.http.get(&format!("/tickets/{ticket}")).await {
            Some((200, view)) => Some(seen(&view)),
            Some((404, _)) => None,
            Some((503, _)) | None => return,
            Some((status, problem)) => panic!("reading {ticket} was answered with {status}: {problem}"),
        };
        let ended = Some(self.started.elapsed());
        self.history.push(Call { begun, ended, what: Asked::Read { ticket, seen } });
    }

    /// Reviews a ticket, once: what has no answer may have been done or not.
    async fn review(&mut self) {
        let Some(ticket) = self.any_ticket() else { return };
        let note = format!("note {} of client {}", self.history.len(), self.number);
        let (category, priority) = (CATEGORIES[self.random.below(2)], PRIORITIES[self.random.below(4)]);
        let body = json!({"category": category, "priority": priority, "note": note});
        let begun = self.started.elapsed();
        let answer = self.http.ask(Method::POST, &format!("/tickets/{ticket}/review"), Some(&body)).await;
        let (ended, review) = match answer {
            Some((200, review)) => {
                (Some(self.started.elapsed()), Some(review["review_id"].as_str().expect("a review's id").to_owned()))
            }
            // Not decided yet.
            Some((409, _)) => return,
            Some((503, _)) | None => (None, None),
            Some((status, problem)) => panic!("a review of {ticket} was answered with {status}: {problem}"),
        };
        self.history.push(Call { begun, ended, what: Asked::Review { ticket, note, review } });
    }
}

/// What a ticket shows.
pub(super) fn seen(view: &Value) -> Seen {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let review = text(&view["review"]["review_id"]);
    let timeline = view["timeline"].as_array().into_iter().flatten().filter_map(|entry| text(&entry["what"]));
    Seen {
        decision: text(&view["decision"]["decision_id"]),
        review: review.map(|id| (id, text(&view["review"]["note"]).unwrap_or_default())),
        timeline: timeline.collect(),
    }
}
