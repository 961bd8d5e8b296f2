//! The contract of [`switchboard_core::ports::KeyStore`].

use std::{ops::Deref, sync::Arc, time::Duration};

use switchboard_core::{
    access::Scope,
    error::ErrorKind,
    ports::{KeyRecord, KeyStore, TenantScope},
};

use super::{
    UnderTest,
    expect::{expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::{sample, world::FixedClock};

/// How old a key may be that a look-up gives.
const OLD: Duration = Duration::from_secs(5);

/// What the suite of keys needs.
pub struct Keys {
    /// The keys.
    pub keys: Arc<dyn KeyStore>,
    /// The clock that a cache goes by.
    pub clock: Arc<FixedClock>,
}

/// Runs the contract of `KeyStore`; `make` gives a fresh, empty store for each check.
pub async fn key_store(make: impl AsyncFn() -> UnderTest<Keys>) {
    run_checks!(
        "KeyStore",
        Bench::new(make().await),
        [
            a_key_is_found_as_it_was_kept,
            an_absent_key_is_none,
            newest_first_and_only_the_tenants_own,
            an_id_that_is_there_is_a_conflict,
            an_id_of_another_tenant_is_a_conflict,
            a_revoked_key_keeps_its_first_time,
            revoking_what_is_not_there_says_so,
            another_tenants_key_is_not_revoked,
        ]
    );
}

struct Bench {
    test: UnderTest<Keys>,
    acme: TenantScope,
    globex: TenantScope,
}

impl Deref for Bench {
    type Target = Keys;

    fn deref(&self) -> &Keys {
        &self.test
    }
}

impl Bench {
    fn new(test: UnderTest<Keys>) -> Self {
        Self { test, acme: sample::scope("acme"), globex: sample::scope("globex") }
    }

    async fn restart(self) -> Self {
        Self { test: self.test.restart().await, ..self }
    }

    async fn create(&self, key: &KeyRecord) {
        let scope = TenantScope::of_operator(key.tenant.clone());
        expect_ok("create_key", self.keys.create_key(&scope, key.clone()).await);
    }

    /// Looks up when nothing old is given any more.
    async fn find(&self, key: &KeyRecord) -> Option<KeyRecord> {
        self.clock.advance(2 * OLD);
        expect_ok("key", self.keys.key(&key.id).await)
    }

    async fn list(&self, scope: &TenantScope) -> Vec<KeyRecord> {
        expect_ok("list_keys", self.keys.list_keys(scope).await)
    }
}

async fn a_key_is_found_as_it_was_kept(bench: Bench) {
    let plain = sample::key("acme", 1);
    let mut full = sample::key("globex", 2);
    full.name = "\"quoted\" 'single' \n 東京 🧑🏽\u{200d}🚒".to_owned();
    full.scopes = Scope::ALL.to_vec();
    full.hash.0 = std::array::from_fn(|n| u8::try_from(n * 8).expect("less than 256"));
    full.expires_at = Some(full.created_at.plus(Duration::from_millis(1_234_567)));
    let mut without_scopes = sample::key("acme", 3);
    without_scopes.scopes = Vec::new();
    let all = [plain, full, without_scopes];
    for key in &all {
        bench.create(key).await;
        expect_eq("the key", bench.find(key).await, Some(key.clone()));
    }
    let bench = bench.restart().await;
    for key in &all {
        expect_eq("the key after a restart", bench.find(key).await, Some(key.clone()));
    }
}

async fn an_absent_key_is_none(bench: Bench) {
    bench.create(&sample::key("acme", 1)).await;
    expect_eq("a key that was never made", bench.find(&sample::key("acme", 2)).await, None);
    expect_eq("the keys of a tenant without any", bench.list(&bench.globex).await, Vec::new());
}

async fn newest_first_and_only_the_tenants_own(bench: Bench) {
    for n in [3, 1, 4, 2] {
        bench.create(&sample::key("acme", n)).await;
    }
    bench.create(&sample::key("globex", 9)).await;
    let at = sample::key("acme", 2).created_at;
    expect_ok("revoke_key", bench.keys.revoke_key(&bench.acme, &sample::key("acme", 2).id, at).await);
    let expected: Vec<_> = [4, 3, 2, 1]
        .map(|n| KeyRecord { revoked_at: (n == 2).then_some(at), ..sample::key("acme", n) })
        .into_iter()
        .collect();
    expect_eq("acme's keys, newest first, the revoked one too", bench.list(&bench.acme).await, expected);
    expect_eq("globex's keys", bench.list(&bench.globex).await, vec![sample::key("globex", 9)]);
}

async fn an_id_that_is_there_is_a_conflict(bench: Bench) {
    let first = sample::key("acme", 1);
    bench.create(&first).await;
    let second = KeyRecord { name: "another".to_owned(), id: first.id.clone(), ..sample::key("acme", 2) };
    let created = bench.keys.create_key(&bench.acme, second).await;
    expect_kind("create_key with an id that is there", created, ErrorKind::Conflict);
    expect_eq("the key that is kept", bench.find(&first).await, Some(first.clone()));
    expect_eq("acme's keys", bench.list(&bench.acme).await, vec![first]);
}

async fn an_id_of_another_tenant_is_a_conflict(bench: Bench) {
    let first = sample::key("acme", 1);
    bench.create(&first).await;
    let second = KeyRecord { id: first.id.clone(), ..sample::key("globex", 2) };
    let created = bench.keys.create_key(&bench.globex, second).await;
    expect_kind("create_key with an id that another tenant has", created, ErrorKind::Conflict);
    expect_eq("the key that is kept", bench.find(&first).await, Some(first));
    expect_eq("globex's keys", bench.list(&bench.globex).await, Vec::new());
}

async fn a_revoked_key_keeps_its_first_time(bench: Bench) {
    let key = sample::key("acme", 1);
    bench.create(&key).await;
    let first = key.created_at.plus(Duration::from_secs(60));
    let revoked = KeyRecord { revoked_at: Some(first), ..key.clone() };
    for at in [first, first.plus(Duration::from_secs(60)), first.minus(Duration::from_secs(30))] {
        let known = expect_ok("revoke_key", bench.keys.revoke_key(&bench.acme, &key.id, at).await);
        expect_eq("whether the tenant has that key", known, true);
        expect_eq("the list after revoke", bench.list(&bench.acme).await, vec![revoked.clone()]);
        expect_eq("the key 5 seconds after revoke", bench.find(&key).await, Some(revoked.clone()));
    }
    let bench = bench.restart().await;
    expect_eq("the key after revoke and a restart", bench.find(&key).await, Some(revoked));
}

async fn revoking_what_is_not_there_says_so(bench: Bench) {
    let key = sample::key("acme", 1);
    let known = expect_ok("revoke_key", bench.keys.revoke_key(&bench.acme, &key.id, key.created_at).await);
    expect_eq("whether the tenant has that key", known, false);
}

async fn another_tenants_key_is_not_revoked(bench: Bench) {
    let key = sample::key("acme", 1);
    bench.create(&key).await;
    let known = expect_ok("revoke_key", bench.keys.revoke_key(&bench.globex, &key.id, key.created_at).await);
    expect_eq("whether globex has acme's key", known, false);
    expect_eq("acme's key", bench.find(&key).await, Some(key));
}
