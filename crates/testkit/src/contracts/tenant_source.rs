//! The contract of [`switchboard_core::ports::TenantSource`].

use std::sync::Arc;

use serde_json::Value;
use switchboard_core::{ids::TenantId, ports::TenantSource, tenants::Tenant};

use super::{
    Suite, UnderTest,
    expect::{expect, expect_eq, expect_ok},
};
use crate::sample;

type Source = UnderTest<Arc<dyn TenantSource>>;

/// A configuration that a source is to hold: whose it is, and its JSON.
pub type TenantFile = (TenantId, Vec<u8>);

/// Runs the contract of `TenantSource`; `make` gives a fresh source that holds these configurations and nothing else.
pub async fn tenant_source(make: impl AsyncFn(Vec<TenantFile>) -> UnderTest<Arc<dyn TenantSource>>) {
    let mut suite = Suite::new("TenantSource");
    suite.check("known_tenants_are_given", make(three()).await, known_tenants_are_given).await;
    suite.check("an_unknown_tenant_is_none", make(three()).await, an_unknown_tenant_is_none).await;
    suite.check("the_list_is_in_order", make(three()).await, the_list_is_in_order).await;
    suite.check("an_empty_source_lists_nothing", make(Vec::new()).await, an_empty_source_lists_nothing).await;
    let with_broken = three().into_iter().chain([broken()]).collect();
    suite
        .check("a_broken_tenant_names_its_mistakes", make(with_broken).await, a_broken_tenant_names_its_mistakes)
        .await;
    suite.finish();
}

fn file(id: &str, change: impl FnOnce(&mut Value)) -> TenantFile {
    let mut config = sample::tenant_json();
    config["tenant_id"] = id.into();
    config["name"] = format!("Tenant {id}").into();
    change(&mut config);
    (sample::parsed(id), config.to_string().into_bytes())
}

/// Not in order, and with ids that sort otherwise as numbers or without their punctuation.
fn three() -> Vec<TenantFile> {
    ["globex", "acme-2", "acme-10", "acme", "9lives", "acme_1"].map(|id| file(id, |_| {})).into()
}

fn broken() -> TenantFile {
    file("broken", |config| config["categories"][0]["team"] = "nobody".into())
}

async fn known_tenants_are_given(source: Source) {
    for (id, json) in three() {
        let expected = Tenant::from_json(&json).expect("a valid tenant");
        let seen = expect_ok("tenant", source.tenant(&id).await);
        let seen = seen.unwrap_or_else(|| panic!("tenant {id}\n  expected: it is there\n  seen:     None"));
        expect_eq("its id", &seen.id, &id);
        expect_eq("its name", seen.config.name.as_str(), expected.config.name.as_str());
        expect_eq("the version of its configuration", &seen.version, &expected.version);
        expect_eq("its problem", seen.problem.as_deref(), None);
    }
}

async fn an_unknown_tenant_is_none(source: Source) {
    for id in ["initech", "acm", "acme-", "config"] {
        let seen = expect_ok("tenant", source.tenant(&sample::parsed(id)).await);
        expect_eq(&format!("tenant {id}"), seen.map(|tenant| tenant.id.clone()), None);
    }
}

async fn the_list_is_in_order(source: Source) {
    let mut expected: Vec<TenantId> = three().into_iter().map(|(id, _)| id).collect();
    expected.sort();
    expect_eq("the ids of all tenants", expect_ok("list", source.list().await), expected);
}

async fn an_empty_source_lists_nothing(source: Source) {
    expect_eq("the ids of all tenants", expect_ok("list", source.list().await), Vec::new());
    let seen = expect_ok("tenant", source.tenant(&sample::parsed("acme")).await);
    expect_eq("tenant acme", seen.map(|tenant| tenant.id.clone()), None);
}

async fn a_broken_tenant_names_its_mistakes(source: Source) {
    let (id, _) = broken();
    match source.tenant(&id).await {
        Ok(seen) => panic!(
            "a tenant that never had a good version\n  expected: an error\n  seen:     {:?}",
            seen.map(|tenant| tenant.id.clone())
        ),
        Err(error) => {
            let report = error.report();
            expect("the error names the place of the mistake", report.contains("/categories/0/team"), report);
        }
    }
    known_tenants_are_given(source).await;
}
