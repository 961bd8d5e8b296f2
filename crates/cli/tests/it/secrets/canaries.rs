//! Words that exist once, planted wherever a secret or a customer's words can be; then everything goes wrong, other systems
//! send back what they were sent, all is logged, and nothing of it is where it does not belong.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{contains, files};
use crate::{
    api::{Answer, Api},
    server::Home,
    tenant::{acme, ticket_with},
    wait::{SOON, until},
};

/// What other systems answer, in turn: each answer repeats headers, path and body of the request.
const STATUSES: [u16; 7] = [500, 200, 401, 422, 302, 429, 404];

/// Secrets: nowhere but with their owners.
const HOOK: &str = "canary-hook-7f3a91";
const ZENDESK: &str = "canary-zendesk-2b8c40";
const CUSTOMERS: &str = "canary-customers-91d5e7";
const STATUS: &str = "canary-status-c60f12";
const UNUSED: &str = "canary-unused-4e7b88";
const WRONG_KEY: &str = "canary-wrong-key-aa01";
const QUERY_KEY: &str = "canary-query-key-bb02";
const COOKIE: &str = "canary-cookie-cc03";

/// A customer's words: in the ticket, the database and the answers that show the ticket, and nowhere else.
const WORDS: [&str; 12] = [
    "canary-subject-d1",
    "canary-description-d2",
    "canary.mail@canary-d3.example",
    "4111111111111111",
    "AT611904300234573201",
    "+43 660 9876543",
    "hunter2-canary-d4",
    "canary-meta-value-d5",
    "canary-meta-key-d6",
    "canary-file-name-d7.pdf",
    "token=canary-url-token-d8",
    "canary-note-d9",
];

/// A server that sends back what it gets.
struct Echo {
    host: String,
    requests: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let router = Router::new().fallback(echo).with_state(Arc::clone(&requests));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, requests, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(State(requests): State<Arc<AtomicUsize>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let n = requests.fetch_add(1, Ordering::Relaxed);
    let status = StatusCode::from_u16(STATUSES[n % STATUSES.len()]).unwrap();
    let all: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
    let said = format!("{uri} {} {}", all.join(" "), String::from_utf8_lossy(&body));
    let line =
        HeaderValue::from_bytes(said.replace(|char: char| !(' '..='~').contains(&char), " ").as_bytes()).unwrap();
    let answer = json!({"error": said, "title": said, "customer_id": said, "outages": said, "ticket": {"id": said}});
    let mut response = (status, axum::Json(answer)).into_response();
    for name in ["location", "retry-after", "www-authenticate", "x-request-id"] {
        response.headers_mut().insert(name, line.clone());
    }
    response
}

fn tenants(echo: &Echo) -> [Value; 2] {
    let url = format!("http://{}", echo.host);
    let mut hooked = acme(&json!({"kind": "webhook", "url": format!("{url}/hook"), "secret": "hook"}));
    hooked["customers"] = json!({"kind": "http", "url": url, "token": "customers"});
    hooked["service_status"] = json!({"kind": "http", "url": url, "token": "status"});
    let mut zendesk = acme(
        &json!({"kind": "zendesk", "url": url, "email": "a@b.example", "token": "zendesk", "ticket_prefix": "ZD-"}),
    );
    zendesk["tenant_id"] = "zenith".into();
    [hooked, zendesk]
}

fn with_words(id: &str) -> Value {
    ticket_with(id, |ticket| {
        ticket["subject"] = WORDS[0].into();
        ticket["description"] = format!(
            "{}: write to {}, card {}, IBAN {}, call {}, password: {} for SVC204",
            WORDS[1], WORDS[2], WORDS[3], WORDS[4], WORDS[5], WORDS[6]
        )
        .into();
        ticket["metadata"] = json!({ WORDS[8]: WORDS[7] });
        ticket["attachments"] = json!([{
            "name": WORDS[9], "type": "application/pdf", "url": format!("https://files.example/x?{}", WORDS[10])
        }]);
    })
}

/// Everything that was said outside of the places where a customer's words belong, with where it was said.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    fn find<'a>(&'a self, word: &'a str) -> impl Iterator<Item = String> + 'a {
        let has = move |(_, text): &&(String, String)| text.contains(word);
        self.0.iter().filter(has).map(move |(place, _)| format!("{word} in {place}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_words_are_found_nowhere_when_everything_fails() {
    let echo = Echo::start().await;
    let home = Home::new()
        .env("SWITCHBOARD_OUTBOUND__ALLOW_HOSTS", &json!([echo.host]).to_string())
        .env("SWITCHBOARD_LOG__LEVEL", "trace")
        .secret("HOOK", HOOK)
        .secret("CUSTOMERS", CUSTOMERS)
        .secret("STATUS", STATUS)
        .secret("UNUSED", UNUSED)
        .env("SWITCHBOARD_SECRET_ZENITH__ZENDESK", ZENDESK);
    tenants(&echo).iter().for_each(|tenant| home.put_tenant(tenant));
    let server = home.start_empty();
    let keys = [home.make_key("acme", &[]), home.make_key("zenith", &[]), home.make_key("acme", &["metrics:read"])];
    let revoked = home.json(&["keys", "create", "--tenant", "acme"]);
    home.ok(&["keys", "revoke", "--tenant", "acme", revoked["id"].as_str().unwrap()]);
    let (hooked, zendesk) = (server.api(&keys[0]), server.api(&keys[1]));
    let mut heard = Heard::default();

    for n in 0..STATUSES.len() {
        hooked.accept(&with_words(&format!("T-{n}"))).await;
        zendesk.accept(&with_words(&format!("ZD-{n}"))).await;
    }
    // All of them decided, and most of the write-backs failed for good or on their way to be tried again.
    for (api, prefix) in [(&hooked, "T"), (&zendesk, "ZD")] {
        for n in 0..STATUSES.len() {
            let id = format!("{prefix}-{n}");
            let seen = api
                .ticket_until(&id, "was tried", |one| {
                    one["sync"]["failed_attempts"] != 0 || one["sync_status"] != "pending"
                })
                .await;
            let mut shown = seen;
            shown["ticket"] = Value::Null;
            // An e-mail address stands in the entities as it was written; docs/security.md says so.
            for path in ["/decision/entities", "/decision/tool_calls"] {
                if let Some(kept) = shown.pointer_mut(path) {
                    heard.add(
                        format!("{path} of {id}"),
                        kept.take().to_string().replace(WORDS[2], "").replace(WORDS[5], ""),
                    );
                }
            }
            heard.add(format!("the view of {id}"), shown.to_string());
        }
    }
    until("some are dead letters", SOON, async || {
        let dead = home.json(&["dlq", "list", "--tenant", "acme"]);
        (!dead.as_array()?.is_empty()).then_some(())
    })
    .await;
    let review = json!({"category": "outage", "note": WORDS[11]});
    assert_eq!(hooked.post("/tickets/T-1/review", &review).await.status, 200);
    bad_requests(&server.url, &keys, revoked["key"].as_str().unwrap(), &hooked, &mut heard).await;
    commands(&home, &mut heard);
    heard.add("the metrics", server.api(&keys[2]).get("/metrics").await.text());
    heard.add("the health", hooked.get("/health").await.text());
    heard.add("the OpenAPI document", hooked.get("/openapi.json").await.text());
    let log = home.log();
    assert!(log.contains("TRACE") && log.contains("DEBUG"), "everything is logged");
    assert!(echo.requests.load(Ordering::Relaxed) > 3 * STATUSES.len(), "the other systems were asked");
    heard.add("the log", log);

    let mut secrets: Vec<String> =
        [HOOK, ZENDESK, CUSTOMERS, STATUS, UNUSED, WRONG_KEY, QUERY_KEY, COOKIE].map(str::to_owned).into();
    secrets.extend(keys.iter().map(|key| key[25..].to_owned()));
    secrets.push(revoked["key"].as_str().unwrap()[25..].to_owned());
    let pepper = fs::read(home.data().join("pepper")).unwrap();
    secrets.push(pepper.iter().map(|byte| format!("{byte:02x}")).collect());
    secrets.push(String::from_utf8_lossy(&pepper).into_owned());
    // As a header has it: the middle of base64 of `e-mail/token:secret` does not hang on where it begins.
    let basic = crate::api::client().get("http://x/").basic_auth("a@b.example/token", Some(ZENDESK)).build().unwrap();
    secrets.push(basic.headers()["authorization"].to_str().unwrap()[14..].trim_end_matches('=').to_owned());
    let planted: BTreeSet<&str> = secrets.iter().map(String::as_str).chain(WORDS).collect();
    assert!(planted.len() >= 20, "{} words are planted", planted.len());

    let mut hits: Vec<String> = planted.iter().flat_map(|word| heard.find(word).collect::<Vec<_>>()).collect();
    let stored = files(&home.data());
    for secret in &secrets {
        let holds = |(name, bytes): &&(String, Vec<u8>)| !name.ends_with("/pepper") && contains(bytes, secret);
        hits.extend(stored.iter().filter(holds).map(|(name, _)| format!("{secret} in {name}")));
    }
    assert!(hits.is_empty(), "{} of {} planted words were found:\n{}", hits.len(), planted.len(), hits.join("\n"));
    for word in WORDS {
        let kept = stored.iter().any(|(name, bytes)| name.contains("switchboard.db") && contains(bytes, word));
        assert!(kept, "the search finds what is there: {word}");
    }
    println!("{} words planted, {} places searched, 0 found", planted.len(), heard.0.len() + stored.len());
}

/// Requests that are wrong, each with something secret in it.
async fn bad_requests(url: &str, keys: &[String], revoked: &str, api: &Api, heard: &mut Heard) {
    let nobody = Api::new(url, None);
    let get = |path: &str| nobody.request(Method::GET, path);
    let requests = [
        get("/tickets").header("x-api-key", WRONG_KEY),
        get("/tickets").header("x-api-key", format!("{}x", keys[0])),
        get("/tickets").bearer_auth(revoked),
        get("/tickets").basic_auth(WRONG_KEY, Some(WRONG_KEY)),
        get(&format!("/tickets?api_key={QUERY_KEY}")),
        get(&format!("/health?key={QUERY_KEY}")).header("cookie", format!("session={COOKIE}")),
        get("/none").header("x-api-key", &keys[1]).header("referer", format!("https://x.example/?t={COOKIE}")),
        // Another tenant's ticket, and one with other content.
        get("/tickets/T-1").header("x-api-key", &keys[1]),
        api.request(Method::POST, "/tickets")
            .body(ticket_with("T-1", |one| one["subject"] = WORDS[0].into()).to_string()),
        api.request(Method::POST, "/tickets").body(with_words("T-1").to_string().replace("SVC204", "SVC205")),
        api.request(Method::POST, "/tickets")
            .body(with_words("T-9").to_string().replace("\"description\"", "\"descripton\"")),
        api.request(Method::POST, "/tickets").body(with_words("T-9").to_string().replace(WORDS[9], &"x".repeat(300))),
        api.request(Method::POST, "/tickets").body(format!("{}x", with_words("T-9"))),
        api.request(Method::POST, "/tickets")
            .body(with_words("T-9").to_string().replace("https://files", "javascript:")),
        api.request(Method::POST, "/tickets/batch")
            .body(json!([with_words("T-1"), {"subject": [WORDS[0]]}]).to_string()),
        api.request(Method::POST, "/tickets/T-1/review").body(json!({"note": WORDS[11], "team": "none"}).to_string()),
        api.request(Method::POST, "/tickets/T-1/review").body(json!({"notes": WORDS[11]}).to_string()),
    ];
    for (n, request) in requests.into_iter().enumerate() {
        let answer = Answer::of(request).await;
        let headers: Vec<String> = answer.headers.values().map(|value| format!("{value:?}")).collect();
        heard.add(format!("the answer to bad request {n}"), format!("{} {}", headers.join(" "), answer.text()));
    }
}

/// Events without the ticket's own words: the archive holds `TicketReceived` as it was sent, so that it can be replayed.
fn without_texts(lines: &str) -> String {
    let plain = |line: &str| {
        let Ok(mut event) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
        if event["detail-type"] == "TicketReceived"
            && let Some(detail) = event["detail"].as_object_mut()
        {
            detail.retain(|name, _| name != "subject" && name != "description");
        }
        event.to_string()
    };
    lines.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// What the command line says about all this.
fn commands(home: &Home, heard: &mut Heard) {
    for tenant in ["acme", "zenith"] {
        for command in [
            &["dlq", "list"][..],
            &["events", "list"],
            &["keys", "list"],
            &["tickets", "list"],
            &["models", "list"],
            &["replay"],
            &["train"],
        ] {
            for form in [&["--json"][..], &[]] {
                let ran = home.run(&[command, &["--tenant", tenant], form].concat());
                let said = if command[0] == "events" { without_texts(&ran.stdout) } else { ran.stdout };
                heard.add(format!("{command:?} {form:?}"), format!("{said}{}", ran.stderr));
            }
        }
        let dead = home.json(&["dlq", "list", "--tenant", tenant]);
        for letter in dead.as_array().unwrap() {
            let id = letter["event"]["id"].as_str().or(letter["id"].as_str()).unwrap_or_default();
            let ran = home.run(&["dlq", "show", id, "--tenant", tenant, "--json"]);
            heard.add(format!("dlq show {id}"), format!("{}{}", ran.stdout, ran.stderr));
        }
    }
    for command in [&["doctor"][..], &["tenants", "list"], &["tenants", "check"], &["config"], &["openapi"]] {
        for form in [&["-vv"][..], &["--json"], &[]] {
            let ran = home.run(&[command, form].concat());
            heard.add(format!("{command:?} {form:?}"), format!("{}{}", ran.stdout, ran.stderr));
        }
    }
}
