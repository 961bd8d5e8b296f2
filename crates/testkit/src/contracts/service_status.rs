//! The contract of [`ServiceStatus`]: a report about the services asked for and no others, or an error that says that the
//! source is at fault.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_core::{
    error::{ErrorKind, Result, Retry},
    limits,
    ports::{Outage, ServiceStatus, StatusReport},
    tenants::Tenant,
};

use super::{
    expect::{expect, expect_eq, expect_kind, expect_ok},
    run_checks,
};
use crate::sample::parsed;

/// Calls at the same time.
const AT_ONCE: usize = 8;
/// What a broken source says.
const NONSENSE: &str = "words-of-the-source";

/// A source of outages, and the hand that writes what it tells.
#[async_trait]
pub trait Reported: Send + Sync {
    /// The adapter.
    fn status(&self) -> Arc<dyn ServiceStatus>;

    /// The tenant that is configured for it.
    fn tenant(&self) -> &Tenant;

    /// From now on the source tells this, whoever asks and whatever he asks for. All sources know `outages` and
    /// `known_issues`, lists of objects with `id`, `service_ids` and `title`.
    async fn tells(&self, text: &str);

    /// From now on the source is not there.
    async fn goes_away(&self);

    /// How often the source was asked; `None` where nobody can tell.
    fn asked(&self) -> Option<u64> {
        None
    }
}

type Shared = Arc<dyn Reported>;

/// Runs the contract of `ServiceStatus`; `make` gives a fresh adapter and source for each check.
pub async fn service_status<R: Reported + 'static>(make: impl AsyncFn() -> R) {
    run_checks!(
        "ServiceStatus",
        Arc::new(make().await) as Shared,
        [
            no_ids_are_an_empty_healthy_report_without_a_call,
            only_outages_that_touch_a_service_asked_for,
            only_known_issues_that_touch_a_service_asked_for,
            an_outage_is_told_as_it_is,
            ids_are_compared_as_they_are,
            a_source_without_trouble_is_an_empty_report,
            as_many_services_as_the_limit,
            what_changes_at_the_source_counts_at_once,
            an_answer_that_makes_no_sense_is_a_bad_answer,
            a_source_that_is_not_there_is_unavailable,
            a_source_that_comes_back_is_used_again,
            many_may_ask_at_once,
        ]
    );
}

async fn ask(test: &dyn Reported, services: &[&str]) -> Result<StatusReport> {
    let services: Vec<_> = services.iter().map(|service| parsed(service)).collect();
    test.status().status(test.tenant(), &services).await
}

async fn report(test: &dyn Reported, services: &[&str]) -> StatusReport {
    expect_ok(&format!("status of {services:?}"), ask(test, services).await)
}

fn outage(id: &str, services: &[&str]) -> Value {
    json!({"id": id, "service_ids": services, "title": format!("title of {id}")})
}

fn answer(outages: &[Value], known_issues: &[Value]) -> String {
    json!({"outages": outages, "known_issues": known_issues}).to_string()
}

fn ids(outages: &[Outage]) -> Vec<&str> {
    outages.iter().map(|outage| outage.id.as_str()).collect()
}

/// Outages and known issues of many services, no two of the same.
fn busy() -> String {
    let outages = [outage("INC-1", &["SVC1"]), outage("INC-2", &["SVC2", "SVC3"]), outage("INC-3", &[])];
    let known_issues = [outage("KI-1", &["SVC4"]), outage("KI-2", &["SVC3", "SVC5"]), outage("KI-3", &[])];
    answer(&outages, &known_issues)
}

async fn no_ids_are_an_empty_healthy_report_without_a_call(test: Shared) {
    let expected = StatusReport { overall_health: "healthy".to_owned(), ..StatusReport::default() };
    test.tells(&busy()).await;
    expect_eq("no ids while there are outages", report(&*test, &[]).await, expected.clone());
    test.tells(NONSENSE).await;
    expect_eq("no ids while the source talks nonsense", report(&*test, &[]).await, expected.clone());
    test.goes_away().await;
    expect_eq("no ids while the source is not there", report(&*test, &[]).await, expected);
    if let Some(asked) = test.asked() {
        expect_eq("calls of the source", asked, 0);
    }
}

async fn only_outages_that_touch_a_service_asked_for(test: Shared) {
    test.tells(&busy()).await;
    for (services, expected) in [
        (&["SVC1"][..], &["INC-1"][..]),
        (&["SVC2"], &["INC-2"]),
        (&["SVC3", "SVC9"], &["INC-2"]),
        (&["SVC2", "SVC3"], &["INC-2"]),
        (&["SVC3", "SVC1", "SVC1"], &["INC-1", "INC-2"]),
        (&["SVC4"], &[]),
        (&["SVC9"], &[]),
    ] {
        let seen = report(&*test, services).await;
        expect_eq(&format!("the outages of {services:?}"), ids(&seen.outages), expected.to_vec());
    }
}

async fn only_known_issues_that_touch_a_service_asked_for(test: Shared) {
    test.tells(&busy()).await;
    for (services, expected) in [
        (&["SVC4"][..], &["KI-1"][..]),
        (&["SVC5", "SVC3"], &["KI-2"]),
        (&["SVC4", "SVC9", "SVC5"], &["KI-1", "KI-2"]),
        (&["SVC1"], &[]),
        (&["SVC9"], &[]),
    ] {
        let seen = report(&*test, services).await;
        expect_eq(&format!("the known issues of {services:?}"), ids(&seen.known_issues), expected.to_vec());
    }
}

async fn an_outage_is_told_as_it_is(test: Shared) {
    let told = json!({
        "id": "INC-1", "service_ids": ["SVC1", "SVC2"], "title": "Glasfaser \u{201c}Süd\u{201d} 🔥",
        "started_at": "2026-11-19T05:40:00Z", "message": "We splice.",
    });
    test.tells(&answer(std::slice::from_ref(&told), &[told.clone(), json!({"id": "KI-1", "service_ids": ["SVC1"]})]))
        .await;
    let seen = report(&*test, &["SVC1"]).await;
    let expected = Outage {
        id: "INC-1".to_owned(),
        service_ids: vec![parsed("SVC1"), parsed("SVC2")],
        title: "Glasfaser \u{201c}Süd\u{201d} 🔥".to_owned(),
    };
    let bare = Outage { id: "KI-1".to_owned(), service_ids: vec![parsed("SVC1")], title: String::new() };
    expect_eq("the outages", seen.outages, vec![expected.clone()]);
    expect_eq("the known issues, one without a title", seen.known_issues, vec![expected, bare]);
}

async fn ids_are_compared_as_they_are(test: Shared) {
    let longest = "S".repeat(128);
    test.tells(&answer(&[outage("INC-1", &["SVC10", "svc1", "SVC/1", &longest])], &[])).await;
    for (service, is_touched) in [
        ("SVC1", false),
        ("SVC", false),
        ("SVC100", false),
        ("Svc1", false),
        (&longest[1..], false),
        ("SVC10", true),
        ("svc1", true),
        ("SVC/1", true),
        (&longest, true),
    ] {
        let seen = report(&*test, &[service]).await;
        expect_eq(&format!("whether an outage touches {service}"), !seen.outages.is_empty(), is_touched);
    }
}

async fn a_source_without_trouble_is_an_empty_report(test: Shared) {
    for text in ["{}", "{\"outages\": []}", "{\"known_issues\": []}", &answer(&[], &[])] {
        test.tells(text).await;
        let seen = report(&*test, &["SVC1", "SVC2"]).await;
        expect(&format!("{text} is an empty report"), seen.outages.is_empty() && seen.known_issues.is_empty(), seen);
    }
}

async fn as_many_services_as_the_limit(test: Shared) {
    let services: Vec<_> = (1..=limits::STATUS_SERVICES).map(|n| format!("SVC{n}")).collect();
    let services: Vec<_> = services.iter().map(String::as_str).collect();
    let outages: Vec<_> = services.iter().map(|service| outage(&format!("INC-{service}"), &[service])).collect();
    test.tells(&answer(&outages, &outages)).await;
    let seen = report(&*test, &services).await;
    expect_eq("outages", seen.outages.len(), services.len());
    expect_eq("known issues", seen.known_issues.len(), services.len());
}

async fn what_changes_at_the_source_counts_at_once(test: Shared) {
    for id in ["INC-1", "INC-2", "INC-1"] {
        test.tells(&answer(&[outage(id, &["SVC1"])], &[])).await;
        expect_eq("the outages after a change", ids(&report(&*test, &["SVC1"]).await.outages), vec![id]);
        test.tells(&answer(&[], &[])).await;
        expect_eq("the outages after the last one ended", report(&*test, &["SVC1"]).await.outages, Vec::new());
    }
}

/// Answers that are not JSON, not of the shape, or name what cannot be a name.
fn nonsense() -> Vec<String> {
    let outages = |outages: Value| json!({"outages": outages}).to_string();
    let known_issues = |issues: Value| json!({"known_issues": issues}).to_string();
    vec![
        String::new(),
        " \n".to_owned(),
        NONSENSE.to_owned(),
        format!("<html>{NONSENSE}</html>"),
        "{\"outages\": [".to_owned(),
        answer(&[], &[]) + NONSENSE,
        "\0\0\0\0".to_owned(),
        "[".repeat(100_000),
        "{\"outages\":".repeat(10_000),
        "1e999".to_owned(),
        json!([1, NONSENSE]).to_string(),
        // Derived code of serde takes a list for a struct; here it would be the good news that nothing is down.
        "[]".to_owned(),
        json!([[outage("INC-2", &["SVC2"])], []]).to_string(),
        "null".to_owned(),
        json!(NONSENSE).to_string(),
        outages(json!(null)),
        outages(json!(NONSENSE)),
        outages(json!({"id": "INC-1", "service_ids": ["SVC1"]})),
        outages(json!([NONSENSE])),
        outages(json!([{"id": "INC-1"}])),
        outages(json!([{"service_ids": ["SVC1"]}])),
        outages(json!([{"id": 1, "service_ids": ["SVC1"]}])),
        outages(json!([{"id": "INC-1", "service_ids": "SVC1"}])),
        outages(json!([{"id": "INC-1", "service_ids": [1]}])),
        outages(json!([{"id": "INC-1", "service_ids": ["SVC1", "no id, by its blanks"]}])),
        outages(json!([{"id": "INC-1", "service_ids": ["SVC1", ""]}])),
        outages(json!([{"id": "INC-1", "service_ids": ["SVC1"], "title": 7}])),
        known_issues(json!([{"id": "KI-1", "service_ids": [format!("{NONSENSE}\n")]}])),
        known_issues(json!([{"id": null, "service_ids": ["SVC1"]}])),
        known_issues(json!(7)),
    ]
}

async fn an_answer_that_makes_no_sense_is_a_bad_answer(test: Shared) {
    for text in nonsense() {
        let what = format!("an answer of {} bytes: {text:.60}", text.len());
        test.tells(&text).await;
        let seen = ask(&*test, &["SVC1"]).await;
        if let Err(error) = &seen {
            expect_eq(&format!("{what}: whether to try again"), error.retry(), Retry::Later);
        }
        expect_kind(&what, seen, ErrorKind::BadAnswer);
        // In between the source makes sense, so that nobody leaves it alone.
        test.tells(&answer(&[outage("INC-1", &["SVC1"])], &[])).await;
        expect_eq(&format!("after {what}"), ids(&report(&*test, &["SVC1"]).await.outages), vec!["INC-1"]);
    }
}

async fn a_source_that_is_not_there_is_unavailable(test: Shared) {
    test.tells(&busy()).await;
    report(&*test, &["SVC1"]).await;
    test.goes_away().await;
    for _ in 0..20 {
        expect_kind("a source that is not there", ask(&*test, &["SVC1"]).await, ErrorKind::Unavailable);
    }
}

async fn a_source_that_comes_back_is_used_again(test: Shared) {
    for _ in 0..3 {
        test.goes_away().await;
        expect_kind("a source that is not there", ask(&*test, &["SVC1"]).await, ErrorKind::Unavailable);
        test.tells(&busy()).await;
        expect_eq("the outages, back again", ids(&report(&*test, &["SVC1"]).await.outages), vec!["INC-1"]);
    }
}

async fn many_may_ask_at_once(test: Shared) {
    test.tells(&busy()).await;
    let calls = (0..AT_ONCE).map(|n| {
        let test = Arc::clone(&test);
        tokio::spawn(async move { report(&*test, &[["SVC1", "SVC2", "SVC9"][n % 3]]).await })
    });
    for (n, outcome) in join_all(calls).await.into_iter().enumerate() {
        let seen = outcome.expect("a call that does not panic");
        let expected: &[&str] = [&["INC-1"][..], &["INC-2"], &[]][n % 3];
        expect_eq("the outages, asked for by many", ids(&seen.outages), expected.to_vec());
    }
}
