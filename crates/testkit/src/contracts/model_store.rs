//! The contract of [`switchboard_core::ports::ModelStore`].

use std::sync::Arc;

use switchboard_core::{
    error::ErrorKind,
    ids::ModelVersion,
    learning::{ModelRecord, Scores},
    ports::{ModelStore, TenantScope},
};

use super::{
    UnderTest,
    expect::{expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::{sample, world::start};

type Store = UnderTest<Arc<dyn ModelStore>>;

/// Runs the contract of `ModelStore`; `make` gives a fresh, empty store for each check.
pub async fn model_store(make: impl AsyncFn() -> UnderTest<Arc<dyn ModelStore>>) {
    run_checks!(
        "ModelStore",
        make().await,
        [
            a_model_is_read_back_as_it_was,
            the_newest_first,
            saving_puts_nothing_in_force,
            one_is_in_force_and_can_be_taken_back,
            an_unknown_version_is_not_put_in_force,
            a_version_is_never_overwritten,
            each_tenant_has_its_own,
            old_ones_go_and_the_one_in_force_stays,
            nothing_is_lost_at_a_restart,
        ]
    );
}

fn acme() -> TenantScope {
    sample::scope("acme")
}

fn version(n: u64) -> ModelVersion {
    ModelVersion::from_ulid(ulid::Ulid::from_parts(1_795_161_600_000 + n, n.into()))
}

fn record(n: u64) -> ModelRecord {
    let scores = Scores { teams: 100, teams_right: 90, ..Scores::default() };
    ModelRecord {
        version: version(n),
        created_at: start(),
        learned_from: 10 + n,
        reviews: 3,
        imported: 4,
        cross_validated: scores.clone(),
        held_back: scores,
        before: Scores::default(),
        has_embeddings: false,
        bytes: 3,
        fingerprint: "f".to_owned(),
    }
}

async fn save(store: &Store, scope: &TenantScope, n: u64) {
    expect_ok("save", store.save(scope, &record(n), &[n as u8, 0, 255]).await);
}

async fn versions(store: &Store, scope: &TenantScope) -> Vec<ModelVersion> {
    expect_ok("list", store.list(scope).await).into_iter().map(|record| record.version).collect()
}

async fn active(store: &Store, scope: &TenantScope) -> Option<ModelVersion> {
    expect_ok("active", store.active(scope).await)
}

async fn a_model_is_read_back_as_it_was(store: Store) {
    expect_eq("no version at first", versions(&store, &acme()).await, vec![]);
    expect_eq("no artifact at first", expect_ok("read", store.read(&acme(), &version(1)).await), None);
    save(&store, &acme(), 1).await;
    expect_eq("the record", expect_ok("list", store.list(&acme()).await), vec![record(1)]);
    expect_eq("the artifact", expect_ok("read", store.read(&acme(), &version(1)).await), Some(vec![1, 0, 255]));
}

async fn the_newest_first(store: Store) {
    for n in [2, 1, 3] {
        save(&store, &acme(), n).await;
    }
    expect_eq("the order", versions(&store, &acme()).await, vec![version(3), version(2), version(1)]);
}

async fn saving_puts_nothing_in_force(store: Store) {
    save(&store, &acme(), 1).await;
    expect_eq("in force", active(&store, &acme()).await, None);
}

async fn one_is_in_force_and_can_be_taken_back(store: Store) {
    save(&store, &acme(), 1).await;
    save(&store, &acme(), 2).await;
    for wanted in [Some(version(2)), Some(version(1)), None] {
        expect_ok("activate", store.activate(&acme(), wanted.as_ref()).await);
        expect_eq("in force", active(&store, &acme()).await, wanted);
    }
}

async fn an_unknown_version_is_not_put_in_force(store: Store) {
    save(&store, &acme(), 1).await;
    expect_ok("activate", store.activate(&acme(), Some(&version(1))).await);
    expect_kind("activate", store.activate(&acme(), Some(&version(9))).await, ErrorKind::NotFound);
    expect_eq("in force", active(&store, &acme()).await, Some(version(1)));
}

async fn a_version_is_never_overwritten(store: Store) {
    save(&store, &acme(), 1).await;
    expect_kind("save", store.save(&acme(), &record(1), b"other").await, ErrorKind::Conflict);
    expect_eq("the artifact", expect_ok("read", store.read(&acme(), &version(1)).await), Some(vec![1, 0, 255]));
}

async fn each_tenant_has_its_own(store: Store) {
    let other = sample::scope("globex");
    save(&store, &acme(), 1).await;
    expect_ok("activate", store.activate(&acme(), Some(&version(1))).await);
    expect_eq("the other's versions", versions(&store, &other).await, vec![]);
    expect_eq("the other's artifact", expect_ok("read", store.read(&other, &version(1)).await), None);
    expect_eq("the other's in force", active(&store, &other).await, None);
    expect_kind("activate", store.activate(&other, Some(&version(1))).await, ErrorKind::NotFound);
}

async fn old_ones_go_and_the_one_in_force_stays(store: Store) {
    save(&store, &acme(), 0).await;
    expect_ok("activate", store.activate(&acme(), Some(&version(0))).await);
    for n in 1..=25 {
        save(&store, &acme(), n).await;
    }
    let kept = versions(&store, &acme()).await;
    let newest: Vec<ModelVersion> = (16..=25).rev().map(version).collect();
    expect_eq("the ten newest", kept.iter().take(10).cloned().collect::<Vec<_>>(), newest);
    expect_eq("the one in force", kept.last().cloned(), Some(version(0)));
    let artifact = expect_ok("read", store.read(&acme(), &version(0)).await);
    expect_eq("its artifact", artifact, Some(vec![0, 0, 255]));
}

async fn nothing_is_lost_at_a_restart(store: Store) {
    save(&store, &acme(), 1).await;
    expect_ok("activate", store.activate(&acme(), Some(&version(1))).await);
    let store = store.restart().await;
    expect_eq("the versions", versions(&store, &acme()).await, vec![version(1)]);
    expect_eq("in force", active(&store, &acme()).await, Some(version(1)));
}
