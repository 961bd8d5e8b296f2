//! A power cut at any moment: the server is killed with SIGKILL again and again under load, and started again.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;
use switchboard_testkit::doubles::{Fault, WebhookDouble};

use crate::{
    api::{Answer, Api},
    random::Random,
    server::Home,
    tenant::{acme, ticket_with},
    wait::until,
};

const SEED: u64 = 20_261_120;
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const CLIENTS: usize = 8;
/// A server lives so long before it is killed, in milliseconds: some die while they start.
const LIFE: std::ops::Range<usize> = 5..700;
/// So many tickets may wait for their write-back; the clients rest while there are more.
const BACKLOG: usize = 2_000;
/// Retries wait up to half a minute, and events that were interrupted often run one after the other.
const LAST_WORK: Duration = Duration::from_secs(300);

/// What the clients know and share.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    rest: AtomicBool,
    retries: AtomicUsize,
    acknowledged: AtomicUsize,
}

/// Sends distinct tickets, each until it is acknowledged; gives the acknowledged ones.
async fn customer(api: Api, load: Arc<Load>, client: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !load.stop.load(Ordering::SeqCst) {
        if load.rest.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let id = format!("T-{client}-{}", acknowledged.len());
        let ticket = ticket_with(&id, |ticket| ticket["customer_id"] = format!("C-{client}").into()).to_string();
        loop {
            let request = api.request(Method::POST, "/tickets").header("content-type", "application/json");
            match Answer::try_of(request.body(ticket.clone())).await {
                Ok(answer) if answer.status == 202 => break,
                Ok(answer) => assert_eq!(answer.status, 503, "{id}: {}", answer.text()),
                Err(_) => {}
            }
            load.retries.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        load.acknowledged.fetch_add(1, Ordering::SeqCst);
        acknowledged.push(id);
    }
    acknowledged
}

/// Kills the server `kills` times, each time after a life of random length, and starts another one in its place.
async fn kill_again_and_again(home: &Home, listen: &str, kills: usize, load: &Load, double: &WebhookDouble) -> Child {
    let mut random = Random::new(SEED);
    let serve = ["serve", "--json", "--listen", listen];
    let mut server = home.spawn(&serve);
    for _ in 0..kills {
        let life = u64::try_from(random.within(LIFE)).unwrap();
        tokio::time::sleep(Duration::from_millis(life)).await;
        assert_eq!(server.try_wait().unwrap(), None, "the server ended by itself:\n{}", home.log());
        server.kill().unwrap();
        server.wait().unwrap();
        let behind = load.acknowledged.load(Ordering::SeqCst).saturating_sub(double.effects().len());
        load.rest.store(behind > BACKLOG, Ordering::SeqCst);
        server = home.spawn(&serve);
    }
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_kill_each_acknowledged_ticket_has_one_decision_and_one_effect() {
    if env::var_os("SWITCHBOARD_TEST_FAST").is_some() {
        println!("SWITCHBOARD_TEST_FAST is set: no servers are killed");
        return;
    }
    let kills: usize = env::var("SWITCHBOARD_TEST_KILLS").map_or(200, |text| text.parse().expect("a number of kills"));
    let double = WebhookDouble::start(SECRET).await;
    double.seed(SEED);
    double.rate(0.05, Fault::status(503));
    double.rate(0.05, Fault::ApplyThenAnswer { status: 500 });
    double.rate(0.03, Fault::ApplyThenDrop);
    let desk = serde_json::json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook"});
    let home = Home::with_tenant(&acme(&desk)).allow(&[&double]).secret("HOOK", SECRET);
    let (listen, key) = {
        let first = home.start_empty();
        (first.address().to_string(), home.make_key("acme", &["tickets:write", "tickets:read"]))
    };
    let started = Instant::now();
    let load = Arc::new(Load::default());
    let api = Api::new(&format!("http://{listen}"), Some(&key));
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| tokio::spawn(customer(api.clone(), Arc::clone(&load), client))).collect();
    let mut last = kill_again_and_again(&home, &listen, kills, &load, &double).await;
    let took = started.elapsed();
    load.stop.store(true, Ordering::SeqCst);
    load.rest.store(false, Ordering::SeqCst);
    let mut acknowledged = BTreeSet::new();
    for client in clients {
        acknowledged.extend(client.await.unwrap());
    }
    all_work_is_done(&api).await;
    let given_up = replay_what_the_desk_failed(&home).await;
    all_work_is_done(&api).await;
    check(&home, &api, &double, &acknowledged).await;
    let deliveries = double.deliveries().len();
    let alone = home.log().matches("runs alone").count();
    println!(
        "seed {SEED}, kills {kills}, acknowledged {}, given up by the desk and replayed {given_up}, deliveries {deliveries}, repeated deliveries {}, requests tried again {}, \
         interrupted events that ran alone {alone}; {:.1} s of kills, {:.1} s until all work was done and checked",
        acknowledged.len(),
        deliveries - double.effects().len(),
        load.retries.load(Ordering::SeqCst),
        took.as_secs_f64(),
        started.elapsed().as_secs_f64() - took.as_secs_f64(),
    );
    last.kill().unwrap();
    last.wait().unwrap();
    assert!(!home.log().contains("panicked"), "the server panicked:\n{}", home.log());
}

async fn all_work_is_done(api: &Api) {
    until("the last server has done all work", LAST_WORK, async || {
        let health = Answer::try_of(api.request(Method::GET, "/health")).await.ok()?.json();
        let detail = health["components"]["queue"]["detail"].as_str()?.to_owned();
        detail.starts_with("0 waiting, 0 in work").then_some(())
    })
    .await;
}

/// A desk that fails 13 % of its calls fails one in 200,000 updates six times running, which makes it a dead letter, as it
/// should: an operator replays it. Nothing is there for any other reason.
async fn replay_what_the_desk_failed(home: &Home) -> usize {
    let letters = home.json(&["dlq", "list", "--tenant", "acme"]);
    let letters = letters.as_array().unwrap();
    for letter in letters {
        assert_eq!((&letter["detail_type"], &letter["failed"]), (&"TicketRouted".into(), &6.into()), "{letter}");
    }
    if !letters.is_empty() {
        home.ok(&["dlq", "replay", "--all", "--tenant", "acme"]);
    }
    letters.len()
}

async fn check(home: &Home, api: &Api, double: &WebhookDouble, acknowledged: &BTreeSet<String>) {
    let listed = api.list_all("").await;
    let stored: BTreeSet<_> = listed.iter().map(|ticket| ticket["ticket_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed.len(), stored.len(), "a ticket is listed twice");
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(stored.len(), acknowledged.len(), "the clients sent each ticket until it was acknowledged");
    for ticket in &listed {
        assert_eq!((&ticket["status"], &ticket["sync_status"]), (&"routed".into(), &"success".into()), "{ticket}");
    }
    let decisions = by_ticket(home, "TicketRouted");
    let syncs = by_ticket(home, "TicketSynced");
    let effects = effects(double);
    for id in acknowledged {
        let decision = decisions.get(id).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(decision.len(), 1, "{id} has one decision");
        assert_eq!(syncs.get(id), decisions.get(id), "{id} is written back once, and recorded so");
        assert_eq!(effects.get(id), decisions.get(id), "{id} has one effect, that of its decision");
    }
    assert_eq!((decisions.len(), effects.len()), (acknowledged.len(), acknowledged.len()));
    assert_eq!(double.refused(), 0);
    assert_eq!(home.json(&["dlq", "list", "--tenant", "acme"]), serde_json::json!([]));
    assert_eq!(home.json(&["effects", "list", "--tenant", "acme"]), serde_json::json!([]));
    let doctor = home.json(&["doctor"]);
    assert_eq!(doctor["good"], true, "{doctor}");
    let findings = doctor["findings"].as_array().unwrap();
    let database = findings.iter().find(|finding| finding["what"] == "database").unwrap();
    assert!(database["detail"].as_str().unwrap().starts_with("integrity ok"), "{database}");
}

/// The decisions that archived events of that name are about, by ticket.
fn by_ticket(home: &Home, name: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = home.ok(&["events", "list", "--type", name, "--limit", "10000000", "--json"]);
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let (ticket, decision) = named(&event["detail"]);
        found.entry(ticket).or_default().push(decision);
    }
    found
}

/// The decisions that the double saw, by ticket: repetitions of one `webhook-id` count once.
fn effects(double: &WebhookDouble) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, body) in double.effects() {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let (ticket, decision) = named(&body["data"]);
        assert_eq!(id, decision);
        found.entry(ticket).or_default().push(decision);
    }
    // A repetition says the same as the first delivery.
    let first = double.effects();
    assert!(double.deliveries().iter().all(|delivery| first[&delivery.id] == delivery.body));
    found
}

fn named(detail: &Value) -> (String, String) {
    let text = |name: &str| detail[name].as_str().unwrap().to_owned();
    (text("ticket_id"), text("decision_id"))
}
