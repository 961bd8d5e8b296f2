//! Two worlds that differ only in the other tenant's data, the same calls of this tenant in both: the answers are the same to
//! the byte. What a caller cannot tell apart, it has not learnt.

use std::time::Duration;

use serde_json::json;
use switchboard_core::access::Scope;
use switchboard_testkit::fuzz::{Random, count};

use super::{
    ELSEWHERE, HERE, Reply, World,
    openapi::{Call, Names, Operation, document, operations},
};

/// Pairs of calls in `cargo test`; `SWITCHBOARD_TEST_PAIRS` asks for more.
const PAIRS: u64 = 5_000;
/// Pairs after which two new worlds begin, so that tables stay as small as a test wants them.
const PAIRS_OF_A_WORLD: u64 = 2_500;

struct Side {
    world: World,
    /// Cursors that this world gave.
    cursors: Vec<String>,
    /// Keys that were made for this tenant, and one of the other's.
    keys: Vec<String>,
    key: String,
    foreign_key: String,
}

impl Side {
    async fn new(seed: u64) -> Self {
        let world = World::new();
        world.reseed(seed);
        let key = world.key(HERE, Scope::ALL, None).await;
        // The other tenant's keys differ, too.
        world.reseed(seed ^ 0xffff);
        let foreign_key = world.key(ELSEWHERE, Scope::ALL, None).await;
        let spare = world.key(ELSEWHERE, &[Scope::KeysManage], None).await;
        let keys = vec![spare["sb_live_".len()..][..16].to_owned()];
        Self { world, cursors: Vec::new(), keys, key, foreign_key }
    }

    async fn send(&self, call: &Call, key: &str) -> Option<Reply> {
        Some(self.world.call(call.clone().header("x-api-key", key).request()?).await)
    }

    /// The call with this world's own cursor in the place of its number.
    fn with_cursor(&self, call: &Call) -> Call {
        let mut call = call.clone();
        for (_, value) in call.query.iter_mut() {
            if let Some(n) = value.strip_prefix("cursor ").and_then(|n| n.parse::<usize>().ok()) {
                value.clone_from(&self.cursors[n]);
            }
        }
        call
    }

    /// The other tenant does something, or nothing.
    async fn disturb(&self, random: &mut Random, operations: &[Operation], seed: u64) {
        // What this tenant has waiting is done first: its decisions' ids shall not hang on the other one's.
        self.world.reseed(seed);
        self.world.work().await;
        for _ in 0..random.below(4) {
            let call = any_call(random, operations, 0, &self.keys);
            if let Some(call) = call {
                self.send(&call, &self.foreign_key).await;
            }
            if random.one_in(2) {
                self.world.work().await;
            }
        }
        self.world.work().await;
    }
}

/// A call with names that both tenants use; it may be wrong in many ways. `cursors` were given so far, and one is named by
/// its number; of `keys` a late one.
fn any_call(random: &mut Random, operations: &[Operation], cursors: usize, keys: &[String]) -> Option<Call> {
    let keyed: Vec<&Operation> = operations.iter().filter(|one| one.is_keyed() && one.path != "/metrics").collect();
    let operation = random.pick(&keyed);
    let n = random.below(12);
    let pick = |random: &mut Random, from: &[&str]| random.pick(from).to_owned();
    let cursor = if cursors == 0 { "x".to_owned() } else { format!("cursor {}", random.below(cursors)) };
    let names = Names {
        ticket_id: format!("T-{n}"),
        customer_id: format!("C-{}", random.below(4)),
        team: pick(random, &["support", "billing", "quokka_cables", "none"]),
        category: pick(random, &["outage", "invoice", "quokka_dark", "none"]),
        tickets_cursor: cursor.clone(),
        reviews_cursor: cursor,
        idempotency_key: format!("idem-{}", random.below(6)),
        correlation_id: format!("corr-{}", random.below(6)),
        key_id: if random.one_in(4) { &keys[0] } else { &keys[keys.len() - 1 - random.below(keys.len().min(4))] }
            .clone(),
        before: random.below(100).to_string(),
        tenant: pick(random, &[HERE, HERE, ELSEWHERE, "nobody"]),
    };
    let mut call = operation.call(&names);
    for parameter in &operation.parameters {
        if random.one_in(4) {
            call = call.parameter(parameter, &operation.value(&names, &parameter.name));
        }
    }
    if call.body.is_empty() || random.one_in(8) {
        return Some(call);
    }
    let mut body = serde_json::from_slice::<serde_json::Value>(&call.body).ok()?;
    let one = if body.is_array() { &mut body[0] } else { &mut body };
    let texts =
        ["everything is down", "I was charged twice, $120.00!", "a lawyer will call", "no internet, SVC204", "hello"];
    if one["ticket_id"].is_string() {
        one["description"] = (*random.pick(&texts)).into();
        // Mostly new ids: the same one again is a repetition or a conflict.
        if !random.one_in(3) {
            one["ticket_id"] = format!("T-{}", random.below(5_000)).into();
        }
        if random.one_in(10) {
            one["tenant_id"] = (*random.pick(&[HERE, ELSEWHERE])).into();
        }
    } else if random.one_in(2) {
        *one = json!({"note": *random.pick(&texts)});
    }
    call.body = body.to_string().into_bytes();
    Some(call)
}

#[tokio::test]
async fn no_answer_depends_on_another_tenants_data() {
    let operations = operations(&document()).unwrap_or_else(|error| panic!("{error}"));
    let pairs = count("SWITCHBOARD_TEST_PAIRS", PAIRS);
    let (mut random, mut left, mut right) = (Random::named("calls"), Random::named("left"), Random::named("right"));
    let mut statuses = std::collections::BTreeMap::<(String, u16), u64>::new();
    let mut read = std::collections::BTreeMap::<String, u64>::new();
    let mut done = 0;
    while done < pairs {
        let mut sides = [Side::new(done + 1).await, Side::new(done + 1).await];
        assert_eq!(sides[0].key, sides[1].key);
        for n in 0..PAIRS_OF_A_WORLD.min(pairs - done) {
            if random.one_in(3) {
                sides[0].disturb(&mut left, &operations, done + n).await;
                sides[1].disturb(&mut right, &operations, done + n).await;
            }
            let Some(call) = any_call(&mut random, &operations, sides[0].cursors.len(), &sides[0].keys) else {
                continue;
            };
            let works = random.one_in(2);
            let mut replies = Vec::new();
            for side in &mut sides {
                side.world.clock.advance(Duration::from_millis(250));
                side.world.reseed(1_000_000 + done + n);
                let reply = side.send(&side.with_cursor(&call), &side.key).await;
                if let Some(cursor) =
                    reply.as_ref().and_then(|reply| reply.json()["next_cursor"].as_str().map(str::to_owned))
                {
                    side.cursors.push(cursor);
                }
                if let Some(id) = reply.as_ref().and_then(|reply| reply.json()["id"].as_str().map(str::to_owned))
                    && call.path.starts_with("/keys")
                {
                    side.keys.push(id);
                }
                replies.push(reply);
                if works {
                    side.world.work().await;
                }
            }
            assert_eq!(replies[0], replies[1], "pair {}: {} {}", done + n, call.target(), call.said());
            if let Some(reply) = &replies[0] {
                *statuses.entry((call.method.clone(), reply.status)).or_default() += 1;
                if call.method == "GET" && reply.status == 200 {
                    *read.entry(call.path.clone()).or_default() += 1;
                }
            }
        }
        done += PAIRS_OF_A_WORLD.min(pairs - done);
    }
    println!("{pairs} pairs of calls, 0 differ; answers: {statuses:?}");
    for wanted in [
        ("POST", 202),
        ("POST", 200),
        ("GET", 200),
        ("GET", 404),
        ("POST", 409),
        ("POST", 422),
        ("POST", 201),
        ("DELETE", 204),
    ] {
        let found = statuses.get(&(wanted.0.to_owned(), wanted.1)).copied().unwrap_or(0);
        assert!(found > pairs / 500, "{wanted:?} came {found} times: the calls try too little");
    }
    for path in ["/tickets", "/reviews", "/keys", "/audit-log", "/session"] {
        let found = read.get(path).copied().unwrap_or(0);
        assert!(found > pairs / 100, "{path} was read {found} times: the calls try too little");
    }
}
