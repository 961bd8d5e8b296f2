//! The contract of [`switchboard_core::ports::KeyStore`].

use std::{ops::Deref, sync::Arc, time::Duration};

use switchboard_core::{
    access::{
        Scope,
        audit::{Action, NewAuditEntry},
    },
    error::ErrorKind,
    ids::KeyId,
    ports::{AuditFilter, AuditLog, KeyRecord, KeyStore, TenantScope},
    time::Timestamp,
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
    /// The audit log that their changes are written to.
    pub audit: Arc<dyn AuditLog>,
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
            a_rotated_key_ends_and_its_successor_begins_in_one_write,
            rotation_never_makes_a_key_last_longer,
            what_cannot_be_rotated_stays_as_it_is,
            what_is_to_be_forgotten_goes_with_the_write_of_the_new_key,
            the_last_use_is_kept,
            each_change_writes_one_entry_and_what_changes_nothing_writes_none,
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
        expect_ok("create_key", self.keys.create_key(&scope, key.clone(), &[], created()).await);
    }

    /// Looks up when nothing old is given any more.
    async fn find(&self, key: &KeyRecord) -> Option<KeyRecord> {
        self.clock.advance(2 * OLD);
        expect_ok("key", self.keys.key(&key.id).await)
    }

    async fn revoke(&self, scope: &TenantScope, id: &KeyId, at: Timestamp) -> bool {
        expect_ok("revoke_key", self.keys.revoke_key(scope, id, at, sample::act(Action::KeyRevoke, 1)).await)
    }

    async fn rotate(&self, scope: &TenantScope, old: &KeyRecord, end: Timestamp, new: &KeyRecord) -> bool {
        let act = sample::act(Action::KeyRotate, 1);
        expect_ok("rotate_key", self.keys.rotate_key(scope, &old.id, end, new.clone(), &[], act).await)
    }

    async fn acts(&self) -> Vec<Action> {
        let entries = expect_ok("list", self.audit.list(None, &AuditFilter::default(), 100).await);
        entries.into_iter().rev().map(|entry| entry.action).collect()
    }

    async fn list(&self, scope: &TenantScope) -> Vec<KeyRecord> {
        expect_ok("list_keys", self.keys.list_keys(scope).await)
    }
}

fn created() -> NewAuditEntry {
    sample::act(Action::KeyCreate, 1)
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
    bench.revoke(&bench.acme, &sample::key("acme", 2).id, at).await;
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
    let created = bench.keys.create_key(&bench.acme, second, &[], created()).await;
    expect_kind("create_key with an id that is there", created, ErrorKind::Conflict);
    expect_eq("the key that is kept", bench.find(&first).await, Some(first.clone()));
    expect_eq("acme's keys", bench.list(&bench.acme).await, vec![first]);
}

async fn an_id_of_another_tenant_is_a_conflict(bench: Bench) {
    let first = sample::key("acme", 1);
    bench.create(&first).await;
    let second = KeyRecord { id: first.id.clone(), ..sample::key("globex", 2) };
    let created = bench.keys.create_key(&bench.globex, second, &[], created()).await;
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
        let known = bench.revoke(&bench.acme, &key.id, at).await;
        expect_eq("whether the tenant has that key", known, true);
        expect_eq("the list after revoke", bench.list(&bench.acme).await, vec![revoked.clone()]);
        expect_eq("the key 5 seconds after revoke", bench.find(&key).await, Some(revoked.clone()));
    }
    let bench = bench.restart().await;
    expect_eq("the key after revoke and a restart", bench.find(&key).await, Some(revoked));
}

async fn revoking_what_is_not_there_says_so(bench: Bench) {
    let key = sample::key("acme", 1);
    let known = bench.revoke(&bench.acme, &key.id, key.created_at).await;
    expect_eq("whether the tenant has that key", known, false);
}

async fn another_tenants_key_is_not_revoked(bench: Bench) {
    let key = sample::key("acme", 1);
    bench.create(&key).await;
    let known = bench.revoke(&bench.globex, &key.id, key.created_at).await;
    expect_eq("whether globex has acme's key", known, false);
    expect_eq("acme's key", bench.find(&key).await, Some(key));
}

async fn a_rotated_key_ends_and_its_successor_begins_in_one_write(bench: Bench) {
    let (old, new) = (sample::key("acme", 1), sample::key("acme", 2));
    bench.create(&old).await;
    let end = old.created_at.plus(Duration::from_secs(3_600));
    expect_eq("whether the key was rotated", bench.rotate(&bench.acme, &old, end, &new).await, true);
    let ended = KeyRecord { expires_at: Some(end), ..old };
    expect_eq("acme's keys", bench.list(&bench.acme).await, vec![new.clone(), ended.clone()]);
    let bench = bench.restart().await;
    expect_eq("the old key after a restart", bench.find(&ended).await, Some(ended.clone()));
    expect_eq("the new key after a restart", bench.find(&new).await, Some(new));
}

async fn rotation_never_makes_a_key_last_longer(bench: Bench) {
    let end = sample::key("acme", 1).created_at.plus(Duration::from_secs(60));
    let old = KeyRecord { expires_at: Some(end), ..sample::key("acme", 1) };
    bench.create(&old).await;
    let later = end.plus(Duration::from_secs(1));
    expect_eq("whether", bench.rotate(&bench.acme, &old, later, &sample::key("acme", 2)).await, true);
    expect_eq("the old key's end", bench.find(&old).await.and_then(|key| key.expires_at), Some(end));
    let earlier = end.minus(Duration::from_secs(1));
    expect_eq("whether", bench.rotate(&bench.acme, &old, earlier, &sample::key("acme", 3)).await, true);
    expect_eq("the old key's end", bench.find(&old).await.and_then(|key| key.expires_at), Some(earlier));
}

async fn what_cannot_be_rotated_stays_as_it_is(bench: Bench) {
    let (old, there) = (sample::key("acme", 1), sample::key("acme", 2));
    bench.create(&old).await;
    bench.create(&there).await;
    let end = old.created_at.plus(Duration::from_secs(60));
    let new = sample::key("globex", 3);
    expect_eq("rotating another tenant's key", bench.rotate(&bench.globex, &old, end, &new).await, false);
    let absent = sample::key("acme", 9);
    expect_eq(
        "rotating what is not there",
        bench.rotate(&bench.acme, &absent, end, &sample::key("acme", 4)).await,
        false,
    );
    let taken = bench.keys.rotate_key(&bench.acme, &old.id, end, there.clone(), &[], created()).await;
    expect_kind("rotate_key to an id that is there", taken, ErrorKind::Conflict);
    expect_eq("acme's keys", bench.list(&bench.acme).await, vec![there, old.clone()]);
    expect_eq("globex's keys", bench.list(&bench.globex).await, Vec::new());
    bench.revoke(&bench.acme, &old.id, end).await;
    expect_eq("rotating a revoked key", bench.rotate(&bench.acme, &old, end, &sample::key("acme", 5)).await, false);
    expect_eq("acme's keys are as many", bench.list(&bench.acme).await.len(), 2);
}

async fn what_is_to_be_forgotten_goes_with_the_write_of_the_new_key(bench: Bench) {
    let [one, two, three] = [1, 2, 3].map(|n| sample::key("acme", n));
    let foreign = sample::key("globex", 9);
    for key in [&one, &two, &three, &foreign] {
        bench.create(key).await;
    }
    for key in [&one, &two] {
        bench.revoke(&bench.acme, &key.id, key.created_at).await;
        bench.find(key).await;
    }
    let absent = sample::key("acme", 8).id;
    let forget = [one.id.clone(), foreign.id.clone(), absent];
    let taken = bench.keys.create_key(&bench.acme, three.clone(), &forget, created()).await;
    expect_kind("create_key with an id that is there", taken, ErrorKind::Conflict);
    expect_eq("acme's keys after a refusal", bench.list(&bench.acme).await.len(), 3);
    let four = sample::key("acme", 4);
    expect_ok("create_key", bench.keys.create_key(&bench.acme, four.clone(), &forget, created()).await);
    let left: Vec<_> = bench.list(&bench.acme).await.into_iter().map(|key| key.id).collect();
    expect_eq("acme's keys", left, [&four, &three, &two].map(|key| key.id.clone()).to_vec());
    expect_eq("the key that was forgotten", bench.find(&one).await, None);
    expect_eq("another tenant's key", bench.find(&foreign).await, Some(foreign.clone()));
    let (five, end) = (sample::key("acme", 5), four.created_at.plus(Duration::from_secs(60)));
    let forget = [two.id.clone()];
    let rotated = bench.keys.rotate_key(&bench.acme, &two.id, end, five.clone(), &forget, created()).await;
    expect_eq("rotating a revoked key", expect_ok("rotate_key", rotated), false);
    expect_eq("acme's keys after a refusal", bench.list(&bench.acme).await.len(), 3);
    let rotated = bench.keys.rotate_key(&bench.acme, &four.id, end, five.clone(), &forget, created()).await;
    expect_eq("whether the key was rotated", expect_ok("rotate_key", rotated), true);
    let left: Vec<_> = bench.list(&bench.acme).await.into_iter().map(|key| key.id).collect();
    expect_eq("acme's keys", left, [&five, &four, &three].map(|key| key.id.clone()).to_vec());
}

async fn the_last_use_is_kept(bench: Bench) {
    let key = sample::key("acme", 1);
    bench.create(&key).await;
    let at = key.created_at.plus(Duration::from_secs(60));
    let absent = sample::key("acme", 9).id;
    expect_ok("record_uses", bench.keys.record_uses(vec![(key.id.clone(), at), (absent, at)]).await);
    expect_ok("record_uses", bench.keys.record_uses(vec![(key.id.clone(), key.created_at)]).await);
    let used = KeyRecord { used_at: Some(at), ..key };
    expect_eq("the key, used later and then earlier", bench.find(&used).await, Some(used.clone()));
    let bench = bench.restart().await;
    expect_eq("acme's keys after a restart", bench.list(&bench.acme).await, vec![used]);
}

async fn each_change_writes_one_entry_and_what_changes_nothing_writes_none(bench: Bench) {
    let (old, new) = (sample::key("acme", 1), sample::key("acme", 2));
    bench.create(&old).await;
    let again = bench.keys.create_key(&bench.acme, old.clone(), &[], created()).await;
    expect_kind("create_key with an id that is there", again, ErrorKind::Conflict);
    let end = old.created_at.plus(Duration::from_secs(60));
    bench.rotate(&bench.globex, &old, end, &sample::key("globex", 3)).await;
    bench.rotate(&bench.acme, &old, end, &new).await;
    bench.revoke(&bench.globex, &old.id, end).await;
    bench.revoke(&bench.acme, &old.id, end).await;
    bench.revoke(&bench.acme, &old.id, end).await;
    expect_ok("record_uses", bench.keys.record_uses(vec![(new.id, end)]).await);
    expect_eq("the acts", bench.acts().await, vec![Action::KeyCreate, Action::KeyRotate, Action::KeyRevoke]);
}
