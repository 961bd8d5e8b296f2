//! When a tenant's model is due, and which one is in force.

use std::time::Duration;

use switchboard_core::{
    error::{ErrorKind, Retry},
    learning::{self, Due, Options, Verdict, due, refresh, roll_back, train},
    ports::{Example, ExampleSource, ExampleStore},
    tenants::Tenant,
};
use switchboard_testkit::sample;

use crate::path::Bench;

async fn bench() -> Bench {
    Bench::with_desk(0, ErrorKind::Unavailable, Retry::Later).await
}

/// Examples that say what the words of each category are; `from` keeps their texts and ids apart.
async fn teach(bench: &Bench, source: ExampleSource, from: u32, n: u32) {
    let one = |n: u32| {
        let (text, category) = if n.is_multiple_of(2) {
            ("the sextant is broken", "outage")
        } else {
            ("a kaleidoscope was charged", "invoice")
        };
        Example {
            text: switchboard_core::untrusted::Untrusted::new(format!("{text} ({n})")),
            category: Some(sample::parsed(category)),
            team: None,
            source,
            ..sample::example(n)
        }
    };
    bench.store.add(&bench.scope, (from..from + n).map(one).collect()).await.unwrap();
}

async fn trained(bench: &Bench, tenant: &Tenant) -> learning::Outcome {
    train(&bench.app, tenant, Options::default(), &|_, _| ()).await.unwrap()
}

#[tokio::test]
async fn a_training_is_due_by_examples_reviews_time_and_configuration() {
    let bench = bench().await;
    let tenant = sample::tenant();
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), None, "nothing to learn from yet");
    teach(&bench, ExampleSource::Import, 0, 400).await;
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), Some(Due::First));
    let outcome = trained(&bench, &tenant).await;
    assert_eq!(outcome.verdict, Verdict::Better, "{outcome:?}");
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), None);
    teach(&bench, ExampleSource::Review, 1_000, 49).await;
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), None, "one review less than it takes");
    teach(&bench, ExampleSource::Review, 2_000, 1).await;
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), Some(Due::Reviews(50)));
    trained(&bench, &tenant).await;
    bench.clock.advance(Duration::from_secs(25 * 3_600));
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), None, "nothing new");
    teach(&bench, ExampleSource::Import, 3_000, 1).await;
    assert_eq!(due(&bench.app, &tenant).await.unwrap(), Some(Due::Time));
    let changed = sample::tenant_with(|config| config["categories"][0]["examples"][0] = "something else".into());
    assert_eq!(due(&bench.app, &changed).await.unwrap(), Some(Due::Configuration));
    let by_hand = sample::tenant_with(|config| config["learning"] = serde_json::json!({"automatic": false}));
    assert_eq!(due(&bench.app, &by_hand).await.unwrap(), None);
    bench.app.finish().await;
}

#[tokio::test]
async fn what_is_in_force_is_taken_over_and_taken_back() {
    let bench = bench().await;
    let tenant = sample::tenant();
    teach(&bench, ExampleSource::Import, 0, 400).await;
    let first = trained(&bench, &tenant).await.record.version;
    let second = trained(&bench, &tenant).await.record.version;
    assert!(first < second);
    let installed = || bench.app.learner.installed(&tenant.id);
    assert_eq!(installed(), Some(second.clone()));
    assert_eq!(roll_back(&bench.app, &tenant, None).await.unwrap(), Some(first.clone()));
    assert_eq!(installed(), Some(first.clone()));
    // Another process puts a version in force; this one sees it at its next look.
    bench.app.models.activate(&bench.scope, Some(&second)).await.unwrap();
    refresh(&bench.app, &tenant).await.unwrap();
    assert_eq!(installed(), Some(second));
    roll_back(&bench.app, &tenant, None).await.unwrap();
    assert_eq!(
        roll_back(&bench.app, &tenant, None).await.unwrap(),
        None,
        "before the first there is the configuration"
    );
    assert_eq!(installed(), None);
    let nothing = roll_back(&bench.app, &tenant, None).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotFound);
    bench.app.finish().await;
}
