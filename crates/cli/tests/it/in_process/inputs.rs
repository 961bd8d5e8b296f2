//! Requests that were good, damaged at random in every part, through the door: no panic, no 5xx, and every refusal is a
//! problem document that a machine can read and that the OpenAPI document knows.

use std::{collections::BTreeMap, io};

use axum::serve::Listener;
use serde_json::Value;
use switchboard_core::{access::Scope, webhook::SigningKey};
use switchboard_testkit::{
    fuzz::{Random, TOKENS, count, damaged, damaged_bytes},
    world::start,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    ELSEWHERE, HERE, HOOK_SECRET, Reply, World,
    openapi::{Call, Names, Operation, Place, document, escaped, operations},
};

/// Requests in `cargo test`; `SWITCHBOARD_TEST_INPUTS` asks for more.
const INPUTS: u64 = 50_000;
/// Of which so many go through the HTTP parser as bytes: one in so many.
const RAW_ONE_IN: u64 = 10;
/// Requests to one world: then a new one begins, so that the tables stay small, the list of keys above all. Of sign-ins with
/// a body that is a password, five of a world are hashed: then they are locked, for the clock stands still.
const INPUTS_OF_A_WORLD: u64 = 10_000;

fn names(random: &mut Random, keys: &[String]) -> Names {
    Names {
        ticket_id: format!("T-{}", random.below(300)),
        customer_id: format!("C-{}", random.below(20)),
        team: "support".to_owned(),
        category: "outage".to_owned(),
        tickets_cursor: "1795161600000-3".to_owned(),
        reviews_cursor: "3fd2c3c9eecbfb16-3fe69e1b089a0275-39".to_owned(),
        idempotency_key: format!("idem-{}", random.below(50)),
        correlation_id: "corr".to_owned(),
        key_id: keys[keys.len() - 1 - random.below(keys.len().min(20))].clone(),
        before: random.below(100).to_string(),
        tenant: random.pick(&[HERE, ELSEWHERE, "nobody"]).to_string(),
    }
}

struct Callers {
    key: String,
    /// The operator's cookie.
    session: String,
}

/// A damaged call of some operation.
fn any_call<'o>(
    random: &mut Random,
    operations: &'o [Operation],
    callers: &Callers,
    keys: &[String],
) -> (&'o Operation, Call) {
    let operation = &operations[random.below(operations.len())];
    let names = names(random, keys);
    let call = operation.call(&names);
    let mut call = if random.one_in(4) {
        call.header("cookie", &callers.session).header("sec-fetch-site", "same-origin")
    } else {
        call.header("x-api-key", &callers.key)
    };
    for parameter in &operation.parameters {
        if parameter.place != Place::Path && random.one_in(3) {
            call = call.parameter(parameter, &operation.value(&names, &parameter.name));
        }
    }
    if operation.media.iter().any(|media| media.contains("ndjson")) && random.one_in(2) {
        lines(random, &mut call);
    }
    for _ in 0..=random.below(2) {
        damage(random, &mut call);
    }
    if operation.path == "/hooks/generic" && random.one_in(2) {
        sign(random, &mut call);
    }
    (operation, call)
}

/// As who knows the secret does: nothing else of a web hook is looked at when it is not signed.
fn sign(random: &mut Random, call: &mut Call) {
    let (id, timestamp) = (format!("msg_{}", random.below(50)), (start().as_millis() / 1_000).to_string());
    let signature = SigningKey::new(&HOOK_SECRET.into()).unwrap().sign(&id, &timestamp, &call.body);
    call.query = vec![("tenant".to_owned(), HERE.to_owned())];
    call.headers.retain(|(name, _)| !name.starts_with("webhook-"));
    for (name, value) in [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)] {
        call.headers.push((name.to_owned(), value.into_bytes()));
    }
}

/// The body as one object a line.
fn lines(random: &mut Random, call: &mut Call) {
    let Ok(Value::Array(items)) = serde_json::from_slice(&call.body) else { return };
    let mut body = Vec::new();
    for _ in 0..=random.below(4) {
        let line = items[0].to_string().into_bytes();
        body.extend(if random.one_in(3) { damaged(random, &line) } else { line });
        body.extend(["\n", "\r\n", "\n\n", ""][random.below(4)].bytes());
    }
    call.body = body;
    call.headers[0].1 = b"application/x-ndjson".to_vec();
}

fn damage(random: &mut Random, call: &mut Call) {
    let text = |random: &mut Random, text: &str| {
        String::from_utf8_lossy(&damaged_bytes(random, text.as_bytes())).chars().take(5_000).collect::<String>()
    };
    match random.below(if call.body.is_empty() { 6 } else { 12 }) {
        0 => {
            let segments: Vec<String> = call
                .path
                .split('/')
                .map(|one| if random.one_in(2) { escaped(&text(random, one)) } else { one.to_owned() })
                .collect();
            call.path = format!("/{}", segments.join("/").trim_start_matches('/'));
        }
        1 if !call.query.is_empty() => {
            let at = random.below(call.query.len());
            let (name, value) = call.query[at].clone();
            match random.below(3) {
                0 => call.query[at].0 = text(random, &name),
                1 => call.query.push((name, value)),
                _ => call.query[at].1 = text(random, &value),
            }
        }
        2 => call.query.push((text(random, "limit"), text(random, "2"))),
        3 => {
            let at = random.below(call.headers.len());
            call.headers[at].1 = damaged_bytes(random, &call.headers[at].1.clone());
        }
        4 => {
            let name = [
                "content-length",
                "content-type",
                "accept",
                "idempotency-key",
                "x-correlation-id",
                "authorization",
                "expect",
                "host",
                "range",
            ];
            call.headers.push((random.pick(&name).to_owned(), random.pick(TOKENS).to_vec()));
        }
        5 => {
            call.method = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"][random.below(9)]
                .to_owned()
        }
        _ => call.body = damaged(random, &call.body.clone()),
    }
}

/// What is wrong with an answer.
fn judge(operations: &[Operation], operation: &Operation, call: &Call, reply: &Reply) -> Result<(), String> {
    let fail = |what: &str| Err(what.to_owned());
    if reply.status >= 500 {
        return fail("a 5xx");
    }
    let asked = operations.iter().find(|one| one.method == call.method && one.path == operation.path);
    if let Some(asked) = asked
        && call.path == asked.call_path(call)
        && !asked.statuses.contains(&reply.status)
    {
        return fail("a status that is not documented");
    }
    if (200..400).contains(&reply.status) || call.method == "HEAD" {
        let answer = reply.json();
        let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        return results
            .iter()
            .filter(|one| one["status"] == "refused")
            .try_for_each(|one| judge_problem(&one["error"]));
    }
    if reply.header("content-type") != "application/problem+json" {
        return fail("no problem document");
    }
    if reply.body.len() > 64 * 1024 {
        return fail("a problem of a size that the caller chose");
    }
    if reply.json()["status"] != reply.status {
        return fail("a problem with another status than its answer");
    }
    judge_problem(&reply.json())
}

/// What is wrong with a problem document.
fn judge_problem(problem: &Value) -> Result<(), String> {
    let fail = |what: &str| Err(what.to_owned());
    let texts =
        ["type", "title", "detail"].iter().all(|name| problem[name].as_str().is_some_and(|text| !text.is_empty()));
    if !texts || problem["status"].as_u64().is_none_or(|status| !(400..500).contains(&status)) {
        return fail("a problem without type, title or detail, or one of our own");
    }
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let placed = ["invalid_field", "invalid_parameter", "malformed_json"];
    if placed.iter().any(|code| problem["type"].as_str().unwrap_or_default().ends_with(code)) && errors.is_empty() {
        return fail("a mistake without its place");
    }
    for error in errors {
        let pointer = error["pointer"].as_str().unwrap_or("none");
        if !(pointer.is_empty() || pointer.starts_with('/')) || error["detail"].as_str().is_none_or(str::is_empty) {
            return fail("a place that is no JSON pointer");
        }
    }
    Ok(())
}

impl Operation {
    /// The path of a call if it were undamaged: the operation's, with the call's own segments in the place of parameters.
    fn call_path(&self, call: &Call) -> String {
        let own: Vec<&str> = call.path.split('/').collect();
        let segments = self.path.split('/').enumerate();
        let filled = segments.map(|(n, segment)| match own.get(n) {
            Some(own) if segment.starts_with('{') && !own.is_empty() => own,
            _ => segment,
        });
        filled.collect::<Vec<_>>().join("/")
    }
}

#[tokio::test]
async fn no_damaged_request_makes_the_door_fail() {
    let operations = operations(&document()).unwrap_or_else(|error| panic!("{error}"));
    let inputs = count("SWITCHBOARD_TEST_INPUTS", INPUTS);
    let mut random = Random::named("inputs");
    let mut statuses = BTreeMap::<u16, u64>::new();
    let mut answers = BTreeMap::<(String, u16), u64>::new();
    let (mut done, mut raw) = (0, 0);
    while done < inputs {
        let world = World::new();
        let mut callers = Callers { key: world.key(HERE, Scope::ALL, None).await, session: world.session().await };
        // The caller's own is not among them: it would soon be revoked.
        let mut keys = vec!["0123456789abcdef".to_owned()];
        let door = Door::open(&world);
        for n in 0..INPUTS_OF_A_WORLD.min(inputs - done) {
            if n % 1_000 == 0 {
                world.work().await;
            }
            let (operation, call) = any_call(&mut random, &operations, &callers, &keys);
            if n % RAW_ONE_IN == 0 {
                raw += 1;
                for status in door.send(&mut random, &call).await {
                    assert!(status < 500 || status == 505, "{status} to {call:?}");
                    *statuses.entry(status).or_default() += 1;
                }
                continue;
            }
            let Some(request) = call.request() else { continue };
            let reply = world.call(request).await;
            *statuses.entry(reply.status).or_default() += 1;
            if call.method == operation.method {
                *answers.entry((operation.name(), reply.status)).or_default() += 1;
            }
            if call.method == "DELETE" && reply.header("set-cookie").starts_with("switchboard=;")
                || reply.status == 401 && call.headers.iter().any(|(name, _)| name == "cookie")
            {
                callers.session = world.session().await;
            }
            if reply.status == 201 {
                keys.extend(reply.json()["id"].as_str().map(str::to_owned));
            }
            if let Err(what) = judge(&operations, operation, &call, &reply) {
                let body = String::from_utf8_lossy(&call.body).chars().take(2_000).collect::<String>();
                panic!(
                    "input {}: {what}: {reply:?}\n{} {} {:?}\n{body}",
                    done + n,
                    call.method,
                    call.target(),
                    call.headers
                );
            }
        }
        world.work().await;
        let depth = world.app.queue.depth().await.unwrap();
        assert_eq!((depth.waiting, depth.leased, depth.dead), (0, 0, 0), "what was taken is worked off");
        done += INPUTS_OF_A_WORLD.min(inputs - done);
    }
    println!("{inputs} damaged requests, {raw} of them as bytes: 0 panics, 0 5xx; answers: {statuses:?}");
    for wanted in [200, 201, 202, 204, 400, 403, 404, 405, 409, 415, 422] {
        let found = statuses.get(&wanted).copied().unwrap_or(0);
        assert!(found > inputs / 1_000, "{wanted} came {found} times: the damage reaches too little");
    }
    for operation in &operations {
        let is_good = |status: u16| (200..300).contains(&status);
        let good = answers.iter().any(|((name, status), _)| *name == operation.name() && is_good(*status));
        // There is no password here that would be right.
        let never = operation.name() == "POST /session";
        assert!(good || never, "{}: never well answered, so its damage is seen too early", operation.name());
    }
}

/// The door behind the HTTP parser of the server, on connections in memory.
struct Door(tokio::sync::mpsc::Sender<DuplexStream>);

struct Connections(tokio::sync::mpsc::Receiver<DuplexStream>);

impl Listener for Connections {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Door {
    fn open(world: &World) -> Self {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let serving = axum::serve(Connections(receiver), world.router());
        tokio::spawn(async move { serving.await });
        Self(sender)
    }

    /// Sends the call as bytes, damaged once more, and gives the statuses of all answers: damage may make two of one.
    async fn send(&self, random: &mut Random, call: &Call) -> Vec<u16> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", call.method, call.target()).into_bytes();
        for (name, value) in &call.headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        head.extend(format!("content-length: {}\r\n\r\n", call.body.len()).bytes());
        if !random.one_in(4) {
            head = damaged_bytes(random, &head);
        }
        let bytes = [head, call.body.clone()].concat();
        let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
        self.0.send(theirs).await.expect("the door is open");
        // The server may hang up before it has read all: that is an answer, too.
        let _ = ours.write_all(&bytes).await;
        let _ = ours.shutdown().await;
        let mut answer = Vec::new();
        let _ = ours.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        let statuses = text.split("HTTP/1.1 ").skip(1);
        statuses.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
    }
}
