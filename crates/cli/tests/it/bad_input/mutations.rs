//! Bodies that nobody would think of: good ones with random damage.

use serde_json::json;

use crate::{
    api::Answer,
    random::Random,
    server::Home,
    tenant::{ticket, ticket_with},
};

const SEED: u64 = 4_711;
const BODIES: usize = 2_000;
/// What breaks parsers.
const TOKENS: &[&str] = &[
    "\0",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-",
    "1e999",
    "0.1",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\n",
    "\r",
    "\u{1b}[2J",
    "/*",
    "\"subject\":",
    "\"x\":1,",
    "\u{10ffff}",
];

fn damaged(random: &mut Random, body: &str) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    for _ in 0..random.within(1..5) {
        if bytes.is_empty() {
            break;
        }
        let at = random.within(0..bytes.len());
        let to = (at + random.within(1..20)).min(bytes.len());
        match random.within(0..6) {
            0 => bytes[at] ^= 1 << random.within(0..8),
            1 => drop(bytes.drain(at..to)),
            2 => drop(bytes.splice(at..at, random.pick(TOKENS).bytes())),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => bytes[at] = u8::try_from(random.within(0..256)).unwrap(),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_damaged_body_makes_the_server_fail() {
    let home = Home::new();
    let server = home.start();
    let api = server.demo_api();
    let mut random = Random::new(SEED);
    let rich = |id: &str| {
        ticket_with(id, |ticket| {
            ticket["metadata"] = json!({"plan": "gold", "k\u{fc}": "\u{1f525}"});
            ticket["attachments"] = json!([{"name": "a", "type": "b", "url": "https://a.example/?q=1"}]);
            ticket["timestamp"] = "2026-11-20T08:00:00Z".into();
            ticket["language"] = "de".into();
            ticket["channel"] = "web".into();
        })
    };
    let (mut taken, mut refused) = (0, 0);
    for n in 0..BODIES {
        let id = format!("T-{n}");
        let (path, media, body) = match n % 4 {
            0 => ("/tickets", "application/json", ticket(&id).to_string()),
            1 => ("/tickets", "application/json", rich(&id).to_string()),
            2 => ("/tickets/batch", "application/json", json!([ticket(&id), rich(&format!("U-{n}"))]).to_string()),
            _ => ("/tickets/batch", "application/x-ndjson", format!("{}\n{}\n", ticket(&id), rich(&format!("U-{n}")))),
        };
        let body = damaged(&mut random, &body);
        let answer = api.post_as(path, media, body.clone()).await;
        let shown = || format!("{n}: {:?}\n{}", String::from_utf8_lossy(&body), answer.text());
        match answer.status {
            202 => taken += 1,
            400 | 409 | 422 => refused += check_problem(&answer),
            status => panic!("{status} to {}", shown()),
        }
        let inner = answer.json();
        let results = inner["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(results.iter().all(|one| one["error"]["status"].as_u64().unwrap_or(0) < 500), "{}", shown());
    }
    println!("{taken} bodies were taken all the same, {refused} were refused");
    assert!(taken > BODIES / 10 && refused > BODIES / 10);
    api.wait_idle(crate::wait::SOON).await;
    let health = api.get("/health").await.json();
    assert_eq!(health["status"], "healthy", "{health}");
    assert_eq!(home.json(&["dlq", "list"]), json!([]));
    let failed = api.list_all("&sync_status=failed").await;
    assert!(failed.is_empty(), "{failed:?}");
    assert!(!home.log().contains("ERROR"), "{}", home.log());
}

fn check_problem(answer: &Answer) -> usize {
    answer.problem();
    1
}
