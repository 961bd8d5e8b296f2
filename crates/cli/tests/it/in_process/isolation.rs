//! One tenant against another, through every operation of the OpenAPI document.
//!
//! The other tenant's data is full of words that nobody else uses. Whatever a caller of this tenant asks for, and with
//! whatever ids, cursors and names of the other one: no answer has one of these words that the caller did not say
//! itself, the answer is the one that it would get for a thing that does not exist at all, and the other tenant's data is
//! afterwards what it was.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use switchboard_core::access::Scope;
use switchboard_testkit::world::start;

use super::{
    ELSEWHERE, HERE, Reply, World,
    openapi::{Call, Names, Operation, Place, document, operations},
};

/// In every word of the other tenant: its name, teams, categories, ids and texts.
const FOREIGN: &str = "quokka";
/// The header by which a session names a tenant.
const TENANT: &str = "x-switchboard-tenant";
/// Parameters that name no thing of anybody.
const WORDS: [&str; 8] = ["priority", "status", "sync_status", "review_state", "since", "until", "limit", "before"];

fn here() -> Names {
    Names {
        ticket_id: "T-1".to_owned(),
        customer_id: "C-1".to_owned(),
        team: "support".to_owned(),
        category: "outage".to_owned(),
        tickets_cursor: String::new(),
        reviews_cursor: String::new(),
        idempotency_key: "idem-1".to_owned(),
        correlation_id: "corr-1".to_owned(),
        key_id: String::new(),
        before: "2".to_owned(),
        tenant: HERE.to_owned(),
    }
}

fn elsewhere() -> Names {
    Names {
        ticket_id: "quokka-ticket-1".to_owned(),
        customer_id: "quokka-customer-1".to_owned(),
        team: "quokka_cables".to_owned(),
        category: "quokka_dark".to_owned(),
        tickets_cursor: String::new(),
        reviews_cursor: String::new(),
        idempotency_key: "quokka-idem-1".to_owned(),
        correlation_id: "quokka-corr-1".to_owned(),
        key_id: String::new(),
        before: "2".to_owned(),
        tenant: ELSEWHERE.to_owned(),
    }
}

/// Nobody's, in the same form and of the same length.
fn nowhere(names: &Names) -> Names {
    let other = |text: &str| text.replace("quokka", "wombat");
    Names {
        ticket_id: other(&names.ticket_id),
        customer_id: other(&names.customer_id),
        team: other(&names.team),
        category: other(&names.category),
        idempotency_key: other(&names.idempotency_key),
        correlation_id: other(&names.correlation_id),
        key_id: "0123456789abcdef".to_owned(),
        tenant: other(&names.tenant),
        ..names.clone()
    }
}

/// Both tenants with tickets that are decided, that wait for review and that were reviewed.
struct Case {
    world: World,
    operations: Vec<Operation>,
    here: Names,
    elsewhere: Names,
    key: String,
    foreign_key: String,
}

impl Case {
    async fn new() -> Self {
        let world = World::new();
        let key = world.key(HERE, Scope::ALL, None).await;
        let foreign_key = world.key(ELSEWHERE, Scope::ALL, None).await;
        let operations = operations(&document()).unwrap_or_else(|error| panic!("{error}"));
        let mut case = Self { world, operations, here: here(), elsewhere: elsewhere(), key, foreign_key };
        case.fill(&case.key, &case.here, "plain").await;
        case.fill(&case.foreign_key, &case.elsewhere, FOREIGN).await;
        case.here.key_id = key_id(&case.world.key(HERE, &[Scope::KeysManage], None).await);
        case.elsewhere.key_id = key_id(&case.world.key(ELSEWHERE, &[Scope::KeysManage], None).await);
        for (key, names) in [(case.key.clone(), &mut case.here), (case.foreign_key.clone(), &mut case.elsewhere)] {
            for (path, cursor) in
                [("/tickets?limit=1", &mut names.tickets_cursor), ("/reviews?limit=1", &mut names.reviews_cursor)]
            {
                let page = get(&case.world, path, &key).await.json();
                *cursor =
                    page["next_cursor"].as_str().unwrap_or_else(|| panic!("{path} has two pages: {page}")).to_owned();
            }
        }
        case
    }

    /// Four tickets with `word` in every text; the last two are reviewed.
    async fn fill(&self, key: &str, names: &Names, word: &str) {
        let of = |method: &str, path: &str| {
            self.operations.iter().find(|one| one.method == method && one.path == path).expect("the operation")
        };
        for n in 1..=4 {
            let mut names = names.clone();
            names.ticket_id = names.ticket_id.replace('1', &n.to_string());
            let mut call = of("POST", "/tickets").call(&names).header("x-api-key", key);
            let mut body: Value = serde_json::from_slice(&call.body).unwrap();
            for field in ["subject", "description"] {
                body[field] = format!("{word}{field} mail {word}@{word}.example about SVC204 and {word}{n}").into();
            }
            body["attachments"][0] = json!({
                "name": format!("{word}.jpg"), "type": "image/jpeg", "url": format!("https://{word}.example/1")
            });
            body["metadata"] = json!({ word: word });
            call.body = body.to_string().into_bytes();
            let call = call
                .header("idempotency-key", &names.idempotency_key.replace('1', &n.to_string()))
                .header("x-correlation-id", &names.correlation_id);
            let reply = self.send(&call).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            self.world.clock.advance(Duration::from_secs(1));
            self.world.work().await;
            if n > 2 {
                let review = of("POST", "/tickets/{ticket_id}/review").call(&names).header("x-api-key", key);
                let mut body: Value = serde_json::from_slice(&review.body).unwrap();
                body["note"] = format!("{word} said so").into();
                let reply = self.send(&Call { body: body.to_string().into_bytes(), ..review }).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                self.world.work().await;
            }
        }
    }

    async fn send(&self, call: &Call) -> Reply {
        self.world.call(call.request().unwrap_or_else(|| panic!("no request: {call:?}"))).await
    }

    /// All that a tenant can read of its own.
    async fn all_of(&self, key: &str) -> Vec<String> {
        let mut all = Vec::new();
        let list = get(&self.world, "/tickets?limit=200", key).await;
        for item in list.json()["items"].as_array().expect("a list") {
            all.push(get(&self.world, &format!("/tickets/{}", item["ticket_id"].as_str().unwrap()), key).await.text());
        }
        all.push(list.text());
        for path in ["/reviews?limit=200", "/keys", "/audit-log?limit=200", "/session"] {
            let reply = get(&self.world, path, key).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            all.push(reply.text());
        }
        all
    }
}

async fn get(world: &World, target: &str, key: &str) -> Reply {
    let request = axum::http::Request::get(target).header("x-api-key", key).body(axum::body::Body::empty());
    world.call(request.unwrap()).await
}

/// The public part of a key.
fn key_id(key: &str) -> String {
    key["sb_live_".len()..][..16].to_owned()
}

/// The rare word in an answer, beyond what the caller said itself.
fn leaks(call: &Call, reply: &Reply) -> Vec<String> {
    let said = call.said();
    let headers: String =
        reply.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()) + "\n").collect();
    let text = format!("{headers}{}", reply.text());
    let words = text.split(|char: char| !(char.is_alphanumeric() || "-_.@".contains(char)));
    words.filter(|word| word.contains(FOREIGN) && !said.contains(word)).map(str::to_owned).collect()
}

/// An answer as it would be about anything else: without the ids that are new each time.
fn plain(reply: &Reply) -> (u16, String) {
    let text = reply.text().replace(FOREIGN, "wombat");
    let is_key = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_ulid = |word: &str| word.len() == ulid::ULID_LEN && ulid::Ulid::from_string(word).is_ok();
    let is_new = |word: &&str| is_ulid(word) || is_key(word) || word.starts_with("sb_live_");
    let new: Vec<String> = text.split('"').filter(is_new).map(str::to_owned).collect();
    (reply.status, new.iter().fold(text, |text, id| text.replace(id, "<new>")))
}

/// A call about something foreign, and its twin about nothing at all.
struct Attack {
    what: String,
    call: Call,
    twin: Option<Call>,
    /// The foreign thing is what the path names.
    is_thing: bool,
}

/// Every operation with every foreign thing in every place.
fn attacks(case: &Case) -> Vec<Attack> {
    let (here, theirs, none) = (&case.here, &case.elsewhere, &nowhere(&case.elsewhere));
    let (mut of_paths, mut others, mut fresh) = (Vec::new(), Vec::new(), 0_u32);
    for operation in case.operations.iter().filter(|operation| operation.is_keyed()) {
        if operation.method == "GET" {
            let what = format!("{} as it is", operation.name());
            of_paths.push(Attack { what, call: operation.call(here), twin: None, is_thing: false });
        }
        let mut own = |word: &str| {
            fresh += 1;
            let call = operation.call(here);
            with_id(&call, &format!("fresh-{}-{word}", fresh.div_ceil(2)))
        };
        for parameter in operation.parameters.iter().filter(|parameter| !WORDS.contains(&&*parameter.name)) {
            let what = format!("{} {:?} {}", operation.name(), parameter.place, parameter.name);
            if parameter.place == Place::Path {
                let (call, twin) = (operation.call_at(theirs, here), Some(operation.call_at(none, here)));
                of_paths.push(Attack { what, call, twin, is_thing: true });
                continue;
            }
            let call = own(FOREIGN).parameter(parameter, &operation.value(theirs, &parameter.name));
            let twin = own("wombat").parameter(parameter, &operation.value(none, &parameter.name));
            // A cursor of nobody is none.
            let twin = (parameter.name != "cursor").then_some(twin);
            others.push(Attack { what, call, twin, is_thing: false });
        }
        let (Some(of_theirs), Some(of_none)) = (operation.body(theirs), operation.body(none)) else { continue };
        for (pointer, _) in strings(&of_theirs, String::new()).into_iter().filter(|(_, text)| text.contains(FOREIGN)) {
            let call = with(&own(FOREIGN), &pointer, of_theirs.pointer(&pointer));
            let twin = with(&own("wombat"), &pointer, of_none.pointer(&pointer));
            others.push(Attack {
                what: format!("{} body {pointer}", operation.name()),
                call,
                twin: Some(twin),
                is_thing: false,
            });
        }
        for tenant in ["/tenant_id", "/0/tenant_id"] {
            let call = with(&own(FOREIGN), tenant, Some(&ELSEWHERE.into()));
            let twin = with(&own("wombat"), tenant, Some(&"wombat".into()));
            others.push(Attack {
                what: format!("{} as another tenant {tenant}", operation.name()),
                call,
                twin: Some(twin),
                is_thing: false,
            });
        }
    }
    // At the end what stays in the data and is seen again: by then this caller has said it itself.
    others.sort_by_key(|attack| attack.what.ends_with("x-correlation-id"));
    // Before this tenant makes things that are called as the other's.
    of_paths.extend(others);
    of_paths
}

/// The call with `value` at `pointer` of its body, when there is such a place.
fn with(call: &Call, pointer: &str, value: Option<&Value>) -> Call {
    let Ok(mut body) = serde_json::from_slice::<Value>(&call.body) else { return call.clone() };
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    if let (Some(parent), Some(value)) = (body.pointer_mut(parent).and_then(Value::as_object_mut), value) {
        parent.insert(name.to_owned(), value.clone());
    }
    Call { body: body.to_string().into_bytes(), ..call.clone() }
}

/// The call with another id for what it makes, when it makes something.
fn with_id(call: &Call, id: &str) -> Call {
    let Ok(body) = serde_json::from_slice::<Value>(&call.body) else { return call.clone() };
    let place = ["/ticket_id", "/0/ticket_id"].into_iter().find(|place| body.pointer(place).is_some());
    place.map_or(call.clone(), |place| with(call, place, Some(&id.into())))
}

/// What is wrong with the answers to all attacks.
async fn cross(case: &Case, key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for Attack { what, call, twin, is_thing } in attacks(case) {
        let call = call.header("x-api-key", key);
        let reply = case.send(&call).await;
        if (is_thing && !matches!(reply.status, 401 | 403 | 404)) || reply.status >= 500 {
            wrong.push(format!("{what}: {} {}", reply.status, reply.text()));
        }
        for word in leaks(&call, &reply) {
            wrong.push(format!("{what}: {word} is in {}", reply.text()));
        }
        if call.headers.iter().any(|(name, value)| name == TENANT && value == ELSEWHERE.as_bytes())
            && call.path != "/session"
            && reply.status != 403
        {
            wrong.push(format!("{what}: {} for another tenant", reply.status));
        }
        let Some(twin) = twin else { continue };
        let answer = case.send(&twin.header("x-api-key", key)).await;
        if plain(&reply) != plain(&answer) {
            wrong.push(format!("{what} is not as for nobody's: {} and {}", reply.text(), answer.text()));
        }
    }
    wrong
}

/// Every text of a body with its pointer.
fn strings(value: &Value, at: String) -> Vec<(String, String)> {
    match value {
        Value::String(text) => vec![(at, text.clone())],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, item)| strings(item, format!("{at}/{n}"))).collect()
        }
        Value::Object(fields) => fields.iter().flat_map(|(name, item)| strings(item, format!("{at}/{name}"))).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn no_operation_shows_or_changes_another_tenants_data() {
    let case = Case::new().await;
    let before = case.all_of(&case.foreign_key).await;
    let own = case.all_of(&case.key).await.concat();
    for foreign in [FOREIGN, &case.elsewhere.key_id, &key_id(&case.foreign_key)] {
        assert!(before.concat().contains(foreign), "{foreign} is there to be found");
        assert!(!own.contains(foreign), "{foreign} is among what the tenant reads of its own");
    }
    let wrong = cross(&case, &case.key).await;
    assert!(wrong.is_empty(), "{} answers:\n{}", wrong.len(), wrong.join("\n"));
    case.world.work().await;
    assert_eq!(case.all_of(&case.foreign_key).await, before, "the other tenant's data changed");
    let own = case.all_of(&case.key).await.concat();
    assert!(own.contains("plainsubject"), "the search finds what is there");
}

#[tokio::test]
async fn the_check_finds_a_door_that_is_open() {
    // The other tenant's own key: every way of telling a leak must speak.
    let case = Case::new().await;
    let wrong = cross(&case, &case.foreign_key).await;
    for what in [
        "GET /tickets/{ticket_id} Path ticket_id: 200",
        "quokkasubject is in",
        "is not as for nobody's",
        "GET /reviews",
        "GET /keys as it is: quokka is in",
        "GET /audit-log as it is: quokka is in",
        "GET /session as it is: quokka is in",
        "DELETE /keys/{key_id} Path key_id: 204",
        "POST /keys/{key_id}/rotate Path key_id: 409",
        "GET /tickets Header x-switchboard-tenant: 200 for another tenant",
        "GET /tickets Header x-switchboard-tenant is not as for nobody's",
    ] {
        assert!(wrong.iter().any(|line| line.contains(what)), "{what} is not told: {wrong:#?}");
    }
}

#[tokio::test]
async fn every_operation_refuses_every_key_that_is_not_in_force() {
    let case = Case::new().await;
    let world = &case.world;
    let good = &case.key;
    let revoked = world.key(HERE, Scope::ALL, None).await;
    world.revoke(HERE, &revoked).await;
    let expired = world.key(HERE, Scope::ALL, Some(start().plus(Duration::from_secs(3_600)))).await;
    let another = World::new();
    another.reseed(99);
    let unknown = another.key(HERE, Scope::ALL, None).await;
    let (id, secret) = good.split_at(25);
    let other_secret = format!("{id}{}", &world.key(HERE, Scope::ALL, None).await[25..]);
    world.clock.advance(Duration::from_secs(3_600));
    let wrong = [
        ("none", None),
        ("empty", Some(String::new())),
        ("rubbish", Some("hunter2".to_owned())),
        ("of another installation", Some(unknown)),
        ("with another key's secret", Some(other_secret)),
        ("cut short", Some(format!("{id}{}", &secret[1..]))),
        ("revoked", Some(revoked)),
        ("expired", Some(expired)),
    ];
    for operation in case.operations.iter().filter(|operation| operation.is_keyed()) {
        for names in [&case.here, &case.elsewhere] {
            for (what, key) in &wrong {
                let what = format!("{} with a key that is {what}", operation.name());
                let mut calls = vec![operation.call(names)];
                if let Some(key) = key {
                    calls = vec![
                        operation.call(names).header("x-api-key", key),
                        operation.call(names).header("authorization", &format!("Bearer {key}")),
                        operation.call(names).header("authorization", &format!("Basic {key}")),
                    ];
                }
                for call in calls {
                    let reply = case.send(&call).await;
                    assert_eq!(
                        (reply.status, reply.header("www-authenticate")),
                        (401, "Bearer"),
                        "{what}: {}",
                        reply.text()
                    );
                    assert_eq!(leaks(&call, &reply), Vec::<String>::new(), "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_operation_asks_for_its_scope() {
    let case = Case::new().await;
    for operation in &case.operations {
        let Some(wanted) = operation.scope() else { continue };
        let others: Vec<Scope> = Scope::ALL.iter().copied().filter(|scope| *scope != wanted).collect();
        let mut sets: Vec<Vec<Scope>> = others.iter().map(|scope| vec![*scope]).collect();
        sets.extend([Vec::new(), others]);
        for scopes in sets {
            let key = case.world.key(HERE, &scopes, None).await;
            for names in [&case.here, &case.elsewhere] {
                let call = operation.call(names).header("x-api-key", &key);
                let reply = case.send(&call).await;
                let what = format!("{} with {scopes:?}", operation.name());
                assert_eq!(reply.status, 403, "{what}: {}", reply.text());
                assert!(reply.text().contains(wanted.name()), "{what}: {}", reply.text());
                assert_eq!(leaks(&call, &reply), Vec::<String>::new(), "{what}");
            }
        }
        let key = case.world.key(HERE, &[wanted], None).await;
        let reply = case.send(&operation.call(&case.here).header("x-api-key", &key)).await;
        assert!(!matches!(reply.status, 401 | 403), "{}: its own scope is enough: {}", operation.name(), reply.text());
    }
}

#[tokio::test]
async fn what_any_key_may_do_shows_nothing_foreign() {
    let case = Case::new().await;
    let mut sets: Vec<Vec<Scope>> = Scope::ALL.iter().map(|scope| vec![*scope]).collect();
    sets.extend([Vec::new(), Scope::ALL.to_vec()]);
    for operation in case.operations.iter().filter(|one| one.is_keyed() && one.scope().is_none()) {
        for scopes in &sets {
            let key = case.world.key(HERE, scopes, None).await;
            let call = operation.call(&case.elsewhere).header("x-api-key", &key);
            let reply = case.send(&call).await;
            let what = format!("{} with {scopes:?}: {}", operation.name(), reply.text());
            assert_eq!(leaks(&call, &reply), Vec::<String>::new(), "{what}");
            // A key is no session that could be ended.
            assert_eq!(reply.status, if operation.method == "GET" { 200 } else { 403 }, "{what}");
            if reply.status == 200 {
                let names: Vec<_> = scopes.iter().map(|scope| scope.name()).collect();
                let said = reply.json();
                assert_eq!((&said["tenants"], &said["scopes"]), (&json!([HERE]), &json!(names)), "{what}");
                assert_eq!(said["id"], key_id(&key).as_str(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_public_names_a_tenant_and_no_other_method_is_there() {
    let case = Case::new().await;
    for target in ["/health", "/health/live", "/openapi.json", "/docs/", "/"] {
        let call = Call { method: "GET".into(), path: target.into(), query: vec![], headers: vec![], body: vec![] };
        let reply = case.send(&call).await;
        assert_eq!(leaks(&call, &reply), Vec::<String>::new(), "{target}");
        assert!(!reply.text().contains("acme"), "{target} names a tenant: {}", reply.text());
    }
    for operation in case.operations.iter().filter(|operation| !operation.is_keyed()) {
        let call = operation.call(&case.elsewhere);
        let reply = case.send(&call).await;
        assert_eq!(leaks(&call, &reply), Vec::<String>::new(), "{}", operation.name());
        assert!(!reply.text().contains("acme"), "{} names a tenant: {}", operation.name(), reply.text());
    }
    let methods =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::TRACE];
    for operation in &case.operations {
        for method in &methods {
            if case.operations.iter().any(|one| one.path == operation.path && one.method == method.as_str()) {
                continue;
            }
            let call = Call { method: method.to_string(), ..operation.call(&case.elsewhere) };
            let reply = case.send(&call.header("x-api-key", &case.key)).await;
            assert!(matches!(reply.status, 404 | 405), "{method} {}: {}", operation.path, reply.text());
        }
        if operation.method == "GET" && operation.is_keyed() {
            let call = Call { method: "HEAD".into(), ..operation.call(&case.elsewhere) };
            assert_eq!(case.send(&call).await.status, 401, "HEAD {}", operation.path);
            let reply = case.send(&call.header("x-api-key", &case.key)).await;
            assert!(reply.body.is_empty(), "HEAD {} has a body", operation.path);
        }
    }
}
