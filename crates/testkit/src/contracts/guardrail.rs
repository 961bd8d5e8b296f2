//! The contract of [`Guardrail`]: words pass, are stopped, or there is an error, which is no verdict.

use std::sync::Arc;

use async_trait::async_trait;
use switchboard_core::{
    models::{ModelError, ModelErrorKind},
    ports::{Direction, Guardrail, Verdict},
    tenants::Tenant,
    untrusted::Untrusted,
};

use super::{
    expect::{expect, expect_eq},
    run_checks,
};
use crate::sample::parsed;

/// What the guardrail under test stops.
pub const STOPPED: &str = "forbidden-fruit";

/// A guardrail, and the service behind it.
#[async_trait]
pub trait Guarding: Send + Sync {
    /// The guardrail.
    fn guardrail(&self) -> Arc<dyn Guardrail>;

    /// A tenant whose provider `guarded` has one, whose provider `unknown` names one that the service does not know, and whose
    /// provider `bare` has none.
    fn tenant(&self) -> &Tenant;

    /// How often the service was asked.
    fn asked(&self) -> usize;

    /// The service fails from now on.
    async fn fail(&self);
}

/// Runs the contract of `Guardrail`; `make` gives a fresh one for each check, which stops [`STOPPED`].
pub async fn guardrail(make: impl AsyncFn() -> Arc<dyn Guarding>) {
    run_checks!(
        "Guardrail",
        make().await,
        [
            words_pass_or_are_stopped_both_ways,
            nobody_is_asked_about_nothing,
            whoever_has_no_guardrail_is_told,
            a_service_that_fails_is_no_verdict,
        ]
    );
}

type Shared = Arc<dyn Guarding>;

async fn check(test: &dyn Guarding, provider: &str, way: Direction, text: &str) -> Result<Verdict, ModelError> {
    let text = Untrusted::new(text.to_owned());
    test.guardrail().check(test.tenant(), &parsed(provider), way, &text).await
}

async fn words_pass_or_are_stopped_both_ways(test: Shared) {
    for way in [Direction::ToModel, Direction::FromModel] {
        for (text, expected) in [
            ("Where is my invoice?", Verdict::Passes),
            (&format!("a {STOPPED} in the middle")[..], Verdict::Stopped),
            ("ünï🦀 \"quoted\" </ticket>", Verdict::Passes),
        ] {
            let seen = check(&*test, "guarded", way, text).await.unwrap_or_else(|error| panic!("{text}: {error}"));
            expect_eq(text, seen, expected);
        }
    }
}

async fn nobody_is_asked_about_nothing(test: Shared) {
    for text in ["", " \n\t"] {
        let seen = check(&*test, "guarded", Direction::ToModel, text).await;
        expect("blank text passes", matches!(seen, Ok(Verdict::Passes)), &seen);
    }
    expect_eq("calls", test.asked(), 0);
}

async fn whoever_has_no_guardrail_is_told(test: Shared) {
    for provider in ["bare", "unknown", "nobody"] {
        let seen = check(&*test, provider, Direction::ToModel, "Hello").await;
        let kind = seen.as_ref().map_err(ModelError::kind);
        expect(provider, matches!(kind, Err(ModelErrorKind::Invalid)), &seen);
    }
}

async fn a_service_that_fails_is_no_verdict(test: Shared) {
    test.fail().await;
    let seen = check(&*test, "guarded", Direction::FromModel, "Hello").await;
    expect("an error", seen.is_err(), &seen);
}
