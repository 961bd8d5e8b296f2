//! The crash test: the real binary is killed with SIGKILL again and again under load and started again on its data, while the
//! ticketing system lies. What all clients asked and saw is written down and held against what the product has in the end.
//!
//! It knows the product from outside only: its command line, its HTTP interface, its web hooks.
#![allow(clippy::disallowed_methods, reason = "another process has the machine's time, and so have its clients")]

mod client;
mod effects;
pub mod history;
mod product;
mod report;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub use self::report::Report;
use self::{
    client::{Customer, Http},
    history::{Archived, Asked, Call, Happened, Seen},
    product::Product,
};
use crate::{
    doubles::{Fault, WebhookDouble},
    fuzz::Random,
    sample,
};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// One life in so many ends while the server starts …
const DIES_STARTING: usize = 5;
/// … which is over after so many milliseconds, also on a slow machine.
const STARTING_MS: usize = 250;
/// Of the others one in so many goes on until decisions reach the ticketing system: the first of a life takes half a second, for
/// which the tenant's classifier is made. The rest end after some acknowledgements.
const GETS_TO_DECIDE: usize = 3;
/// The end of a life is decided after at most so many acknowledgements …
const ACKNOWLEDGEMENTS: usize = 16;
/// … or web hooks for every eight clients …
const DELIVERIES: usize = 25;
/// … or so many for each acknowledgement, when the clients rest …
const RESTING: usize = 12;
/// … or when so long none came …
const NO_DELIVERY: Duration = Duration::from_secs(3);
/// … and comes at most so many milliseconds later.
const THEN_MS: usize = 100;
/// So many tickets may wait for their write-back; while there are more, the clients send no more, and each life that does not
/// end while the server starts gets to decide.
const BACKLOG: usize = 1_500;
/// A server that acknowledges nothing for so long does not work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Retries wait up to half a minute, and events that were interrupted often run one after the other.
const LAST_WORK: Duration = Duration::from_secs(300);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The binary under test.
    pub binary: PathBuf,
    /// How often it is killed.
    pub kills: usize,
    /// Draws the lives, the clients' choices and the lies of the ticketing system. What processes make of it is theirs.
    pub seed: u64,
    /// Clients that send, read and review at the same time.
    pub clients: usize,
}

/// What the clients share.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    rest: AtomicBool,
    retries: AtomicUsize,
    acknowledged: AtomicUsize,
    tickets: Mutex<Vec<String>>,
}

/// Kills and starts it as planned, on data in `folder`, which is empty, and tells what came of it. Panics when the product does
/// not work at all.
pub async fn run(plan: &Plan, folder: &Path) -> Report {
    let double = WebhookDouble::start(SECRET).await;
    double.seed(plan.seed);
    double.rate(0.05, Fault::status(503));
    double.rate(0.05, Fault::ApplyThenAnswer { status: 500 });
    double.rate(0.03, Fault::ApplyThenDrop);
    let product = prepare(plan, folder, &double).await;

    let started = Instant::now();
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..plan.clients)
        .map(|number| {
            let http = Http::new(product.address, product.key.clone());
            let customer = Customer::new(number, plan, http, Arc::clone(&load), started);
            tokio::spawn(customer.work())
        })
        .collect();
    let (mut server, slowest_start) = kill_again_and_again(&product, plan, &load, &double).await;
    let (killing, delivered_under_fire) = (started.elapsed(), double.delivery_count());
    load.stop.store(true, Ordering::SeqCst);
    let mut history = Vec::new();
    for client in clients {
        history.extend(client.await.expect("a client"));
    }
    let mut http = Http::new(product.address, product.key.clone());
    all_work_is_done(&mut http).await;
    let letters = product.json(&["dlq", "list", "--tenant", "acme"]);
    let letters = letters.as_array().expect("a list of dead letters").clone();
    if !letters.is_empty() {
        product.run(&["dlq", "replay", "--all", "--tenant", "acme"]);
        all_work_is_done(&mut http).await;
    }

    let mut report = Report::of(plan, &history);
    report.given_up(&letters);
    let last = last_reads(&mut http, &history).await;
    let archive = archive(&product);
    report.hold(&history, &archive, &last);
    report.hold_effects(&archive, &double);
    report.look_at(&product, &last);
    report.retries = load.retries.load(Ordering::SeqCst);
    report.delivered_under_fire = delivered_under_fire;
    report.slowest_start = slowest_start;
    report.killing = killing;
    report.settling = started.elapsed() - killing;
    server.kill().expect("the last server is killed");
    server.wait().expect("the last server ends");
    report
}

/// The product with the tenant `acme`, whose ticketing system is `double`, and a key.
async fn prepare(plan: &Plan, folder: &Path, double: &WebhookDouble) -> Product {
    let mut config = sample::tenant_json();
    config["desk"] = json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"});
    let mut product = Product::new(&plan.binary, folder, &config);
    product.set("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", &json!([double.host()]).to_string());
    product.set("SWITCHBOARD_SECRET_ACME__HOOK", SECRET);
    let mut first = product.serve();
    let mut http = Http::new(product.address, String::new());
    let begun = Instant::now();
    while !matches!(http.get("/health/live").await, Some((200, _))) {
        assert!(begun.elapsed() < PATIENCE, "the product does not start:\n{}", product.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    product.make_key();
    first.kill().expect("the first server is killed");
    first.wait().expect("the first server ends");
    product
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// So long after it began.
    Starting(Duration),
    /// So long after that many acknowledgements.
    Accepting(usize, Duration),
    /// So long after that many web hooks.
    Deciding(usize, Duration),
}

impl Life {
    fn draw(random: &mut Random, clients: usize) -> Self {
        let dies_starting = random.one_in(DIES_STARTING);
        let decides = random.one_in(GETS_TO_DECIDE);
        let mut ms = |most| Duration::from_millis(random.below(most) as u64);
        let (starting, then) = (ms(STARTING_MS), ms(THEN_MS));
        let most = (DELIVERIES * clients / 8).max(1);
        let (acknowledgements, deliveries) = (1 + random.below(ACKNOWLEDGEMENTS), 1 + random.below(most));
        match (dies_starting, decides) {
            (true, _) => Self::Starting(starting),
            (_, false) => Self::Accepting(acknowledgements, then),
            (_, true) => Self::Deciding(deliveries, then),
        }
    }

    /// The same while the clients send nothing, when nothing could be acknowledged.
    fn resting(self) -> Self {
        match self {
            Self::Accepting(n, then) => Self::Deciding(n * RESTING, then),
            other => other,
        }
    }
}

/// Waits until `count` has grown by `by`, or has not grown for `patience`; gives how long it took to grow at all.
async fn grown(count: impl Fn() -> usize, by: usize, patience: Duration) -> Option<Duration> {
    let (born, before) = (Instant::now(), count());
    let (mut first, mut last, mut changed) = (None, before, born);
    loop {
        let now = count();
        if now != last {
            (last, changed) = (now, Instant::now());
            first = first.or_else(|| Some(born.elapsed()));
        }
        if now >= before + by || changed.elapsed() > patience {
            return first;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Gives the server that lives on, and how long a life went at most before its first acknowledgement.
async fn kill_again_and_again(
    product: &Product,
    plan: &Plan,
    load: &Load,
    double: &WebhookDouble,
) -> (Child, Duration) {
    let mut random = Random::new(plan.seed);
    let mut slowest = Duration::ZERO;
    let mut server = product.serve();
    for _ in 0..plan.kills {
        let mut life = Life::draw(&mut random, plan.clients);
        if load.rest.load(Ordering::SeqCst) {
            life = life.resting();
        }
        let then = match life {
            Life::Starting(time) => time,
            Life::Accepting(acknowledgements, then) => {
                let acknowledged = || load.acknowledged.load(Ordering::SeqCst);
                let first = grown(acknowledged, acknowledgements, PATIENCE).await;
                let first = first.unwrap_or_else(|| panic!("the server acknowledges nothing:\n{}", product.log()));
                slowest = slowest.max(first);
                then
            }
            Life::Deciding(deliveries, then) => {
                grown(|| double.delivery_count(), deliveries, NO_DELIVERY).await;
                then
            }
        };
        tokio::time::sleep(then).await;
        let ended = server.try_wait().expect("the server's state");
        assert_eq!(ended, None, "the server ended by itself:\n{}", product.log());
        server.kill().expect("the server is killed");
        server.wait().expect("the server ends");
        let behind = load.acknowledged.load(Ordering::SeqCst).saturating_sub(double.effect_count());
        load.rest.store(behind > BACKLOG, Ordering::SeqCst);
        server = product.serve();
    }
    (server, slowest)
}

async fn all_work_is_done(http: &mut Http) {
    let begun = Instant::now();
    loop {
        if let Some((200, health)) = http.get("/health").await
            && let Some(detail) = health["components"]["queue"]["detail"].as_str()
            && detail.starts_with("0 waiting, 0 in work")
        {
            return;
        }
        assert!(begun.elapsed() < LAST_WORK, "the last server does not come to the end of its work");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What each acknowledged ticket shows.
async fn last_reads(http: &mut Http, history: &[Call]) -> BTreeMap<String, Seen> {
    let mut last = BTreeMap::new();
    for call in history {
        if let Asked::Accept { ticket } = &call.what
            && call.ended.is_some()
            && let Some((200, view)) = http.get(&format!("/tickets/{ticket}")).await
        {
            last.insert(ticket.clone(), client::seen(&view));
        }
    }
    last
}

/// What happened to tickets, in the archive's order: by the ids of events, which grow.
fn archive(product: &Product) -> Vec<Archived> {
    let text = product.run(&["events", "list", "--tenant", "acme", "--limit", "100000000", "--json"]);
    let mut archive = Vec::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("an event");
        let detail = &event["detail"];
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        let what = match event["detail-type"].as_str() {
            Some("TicketReceived") => Happened::Received,
            Some("TicketRouted") => Happened::Routed(text("decision_id")),
            Some("TicketReviewed") => {
                Happened::Reviewed { id: text("review_id"), write_back: detail["write_back"] == true }
            }
            Some("TicketSynced") => Happened::Synced(text("decision_id")),
            _ => continue,
        };
        archive.push(Archived { ticket: text("ticket_id"), what });
    }
    archive
}
