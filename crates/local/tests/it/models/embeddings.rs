//! Texts as vectors through the gateway: in batches, paid, tried again, left alone and bounded in time like any call.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::json;
use switchboard_core::{
    breaker::{Breakers, Rests},
    ids::CustomerId,
    limits,
    models::{Answered, BatchLimits, Broken, Gateway, ModelError, ModelErrorKind, NanoUsd, Purpose, ToEmbed, Usage},
    ports::{Clock, Embedder, Spend, TenantScope, UsageLedger},
    tenants::Tenant,
    untrusted::Untrusted,
};
use switchboard_testkit::{
    memory_usage::MemoryUsage,
    sample,
    scripted_embedder::{ScriptedEmbedder, Vectors},
    scripted_model::ScriptedModel,
    world::FixedClock,
};

use super::{error, ids, says};

const BATCH: BatchLimits = BatchLimits { texts: 3, bytes: limits::EMBED_BATCH_BYTES };

struct World {
    gateway: Gateway,
    embedder: ScriptedEmbedder,
    ledger: MemoryUsage,
    clock: FixedClock,
    tenant: Tenant,
    customer: CustomerId,
}

/// The tenant whose model for vectors costs a dollar for a thousand tokens.
fn tenant(month_usd: f64) -> Tenant {
    sample::tenant_with(|config| {
        config["models"] = json!({
            "providers": {"here": {"kind": "openai", "url": "https://models.example/v1"}},
            "embed": {"provider": "here", "model": "e", "price": {"input": 1_000.0, "output": 0.0}},
            "budget": {"month_usd": month_usd},
        });
    })
}

impl World {
    fn new(script: impl Fn(usize, &[String]) -> Vectors + Send + Sync + 'static) -> Self {
        Self::with(FixedClock::auto(), super::PLENTY, script)
    }

    fn with(
        clock: FixedClock,
        month_usd: f64,
        script: impl Fn(usize, &[String]) -> Vectors + Send + Sync + 'static,
    ) -> Self {
        let (embedder, ledger) = (ScriptedEmbedder::new(BATCH, script), MemoryUsage::default());
        let nobody = Arc::new(ScriptedModel::new(|_, _, _| says("3")));
        let gateway = Gateway::new(nobody, Arc::new(ledger.clone()), Arc::new(clock.clone()), ids())
            .with_embedder(Arc::new(embedder.clone()));
        Self { gateway, embedder, ledger, clock, tenant: tenant(month_usd), customer: sample::parsed("ana") }
    }

    async fn embed(&self, texts: &[&str]) -> Result<Answered<Vec<Vec<f32>>>, ModelError> {
        let texts: Vec<_> = texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect();
        let wanted = ToEmbed { texts: &texts, purpose: Purpose::Passage, customer: Some(&self.customer) };
        self.gateway.embed(&self.tenant, &wanted).await
    }

    async fn fails(&self, texts: &[&str]) -> ModelErrorKind {
        self.embed(texts).await.map(|answered| panic!("answered {answered:?}")).unwrap_err().kind()
    }

    async fn spent(&self) -> Spend {
        let scope = TenantScope::of_tenant(&self.tenant);
        let spent = self.ledger.spent(&scope, Some(&self.customer), self.clock.now()).await.unwrap();
        assert_eq!((spent.day, spent.customer_day), (spent.month, spent.month));
        spent.month
    }

    /// The most that a call for these texts can cost.
    fn worst(&self, texts: &[&str]) -> NanoUsd {
        let texts: Vec<_> = texts.iter().map(|text| Untrusted::new((*text).to_owned())).collect();
        let link = self.tenant.config.models.embed.as_ref().unwrap();
        link.price(&self.tenant.config.models).cost(Usage::at_most_of(&texts))
    }
}

const EIGHT: [&str; 8] = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg", "hhhhhhhh"];

fn fails(kind: ModelErrorKind) -> Vectors {
    Vectors::Fail(error(kind))
}

#[tokio::test]
async fn texts_go_out_in_batches_and_come_back_in_order() {
    let world = World::new(|_, _| Vectors::Of(2));
    let answered = world.embed(&EIGHT).await.unwrap();
    let expected: Vec<_> = (1_u8..=8).map(|length| vec![f32::from(length), 0.0]).collect();
    assert_eq!(answered.value, expected);
    assert_eq!(world.embedder.calls().iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
    assert_eq!((answered.usage.input_tokens, answered.cost), (8, NanoUsd::from_usd(0.008)));
    assert_eq!(world.spent().await, Spend { spent: answered.cost, open: NanoUsd::ZERO, calls: 3 });
}

#[tokio::test]
async fn nothing_costs_nothing_and_what_is_wrong_is_found_before_a_call() {
    let mut world = World::new(|_, _| Vectors::Of(2));
    let answered = world.embed(&[]).await.unwrap();
    assert_eq!((answered.value.len(), answered.cost, answered.model.as_str()), (0, NanoUsd::ZERO, "e"));
    let mut texts = EIGHT.to_vec();
    texts.push(" ");
    assert_eq!(world.fails(&texts).await, ModelErrorKind::Invalid);
    assert_eq!(world.fails(&vec!["a"; limits::EMBED_TEXTS + 1]).await, ModelErrorKind::Invalid);
    let long = "x".repeat(limits::EMBED_TEXT_BYTES + 1);
    assert_eq!(world.fails(&["a", "b", "c", &long]).await, ModelErrorKind::TooLong);
    world.tenant.config.models.embed = None;
    assert_eq!(world.fails(&["a"]).await, ModelErrorKind::Invalid);
    assert_eq!((world.embedder.calls().len(), world.spent().await.calls), (0, 0));
}

#[tokio::test]
async fn a_batch_that_fails_is_tried_again_and_each_try_is_paid() {
    let world = World::new(|nth, _| match nth {
        0 => fails(ModelErrorKind::Overloaded),
        1 => Vectors::Fail(error(ModelErrorKind::Down).billed()),
        _ => Vectors::Of(2),
    });
    let answered = world.embed(&["one", "two"]).await.unwrap();
    assert_eq!(world.embedder.calls().len(), 3);
    let paid = world.worst(&["one", "two"]) + NanoUsd::from_usd(0.002);
    assert_eq!(answered.cost, paid);
    assert_eq!(world.spent().await, Spend { spent: paid, open: NanoUsd::ZERO, calls: 3 });
}

#[tokio::test]
async fn after_a_failure_for_good_no_batch_is_begun_and_nothing_stays_open() {
    let world = World::new(|_, texts| match texts[0].as_str() {
        "refused" => fails(ModelErrorKind::TooLong),
        _ => Vectors::Of(2),
    });
    let mut texts = vec!["fine"; 60];
    texts[0] = "refused";
    assert_eq!(world.fails(&texts).await, ModelErrorKind::TooLong);
    let calls = world.embedder.calls().len();
    assert!(calls <= limits::EMBED_AT_ONCE, "{calls} of 20 batches");
    assert_eq!(world.spent().await.open, NanoUsd::ZERO);
}

#[tokio::test]
async fn batches_of_different_dimensions_are_bad_output() {
    let world = World::new(|nth, _| Vectors::Of(2 + nth));
    assert_eq!(world.fails(&EIGHT).await, ModelErrorKind::BadOutput);
}

#[tokio::test]
async fn what_the_budget_has_no_room_for_is_not_sent() {
    let world = World::with(FixedClock::auto(), 0.03, |_, _| Vectors::Of(2));
    assert!(world.worst(&["one", "two"]) > NanoUsd::from_usd(0.03));
    assert_eq!(world.fails(&["one", "two"]).await, ModelErrorKind::OverBudget);
    assert_eq!(world.embedder.calls().len(), 0);
    let mut free = World::with(FixedClock::auto(), 0.0, |_, _| Vectors::Of(2));
    free.tenant.config.models.embed.as_mut().unwrap().price =
        Some(switchboard_core::models::ModelPrice { input: 0.0, output: 0.0 });
    free.tenant.config.models.budget = None;
    assert_eq!(free.embed(&["one"]).await.unwrap().cost, NanoUsd::ZERO, "what is free needs no budget");
}

#[tokio::test]
async fn a_dead_model_is_left_alone() {
    let world = World::new(|_, _| fails(ModelErrorKind::Down));
    for _ in 0..7 {
        assert_eq!(world.fails(&["one"]).await, ModelErrorKind::Down);
    }
    assert_eq!(world.embedder.calls().len(), 15, "five calls with three tries");
    // Alone, as every layer can be had.
    let breakers = Arc::new(Breakers::new(Arc::new(world.clock.clone()), Rests::Even));
    let broken = Broken::new(world.embedder.clone(), breakers);
    let (link, texts) = (world.tenant.config.models.embed.clone().unwrap(), [Untrusted::new("one".to_owned())]);
    for _ in 0..7 {
        broken.embed(&world.tenant, &link, &texts, Purpose::Query).await.unwrap_err();
    }
    assert_eq!(world.embedder.calls().len(), 20);
}

#[tokio::test]
async fn a_model_that_is_silent_is_given_up() {
    let clock = FixedClock::new();
    let world = World::with(clock.clone(), super::PLENTY, |_, _| Vectors::Hang);
    let mut asking = Box::pin(world.embed(&EIGHT));
    for second in 0..limits::EMBED_TIME.as_secs() {
        assert!((&mut asking).now_or_never().is_none(), "at {second} s");
        clock.advance(Duration::from_secs(1));
    }
    let error = (&mut asking).now_or_never().expect("an end, and no other try").unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Down, true));
    drop(asking);
    let spend = world.spent().await;
    assert_eq!(spend.spent, world.worst(&EIGHT[..3]) + world.worst(&EIGHT[3..6]) + world.worst(&EIGHT[6..]));
}

#[tokio::test]
async fn each_model_is_tried_by_itself() {
    use switchboard_core::models::ProbeRole;
    let model = ScriptedModel::new(|_, link, _| match link.model.as_str() {
        "a" => says("{\"ready\":true}"),
        "b" => says("Hello."),
        _ => super::fails(ModelErrorKind::Unauthorised),
    });
    let (ledger, clock) = (MemoryUsage::default(), FixedClock::auto());
    let embedder = ScriptedEmbedder::new(BATCH, |_, _| Vectors::Of(2));
    let gateway = Gateway::new(Arc::new(model.clone()), Arc::new(ledger), Arc::new(clock), ids())
        .with_embedder(Arc::new(embedder.clone()));
    let mut tenant = sample::tenant_with_models(super::PLENTY);
    tenant.config.models.embed = self::tenant(0.0).config.models.embed;
    let probes = gateway.probe_models(&tenant, None).await;
    let seen: Vec<_> = probes
        .iter()
        .map(|probe| (probe.role.word(), probe.model.as_str(), probe.outcome.as_ref().err().map(ModelError::kind)))
        .collect();
    let expected = [
        ("small", "a", None),
        ("small", "b", Some(ModelErrorKind::BadOutput)),
        ("large", "l", Some(ModelErrorKind::Unauthorised)),
        ("embed", "e", None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(model.calls().len(), 3, "nothing is repaired, and none stands in for another");
    assert_eq!((probes[0].cost, probes[2].cost), (super::price_of_one(), NanoUsd::ZERO));
    for role in ProbeRole::ALL {
        let probes = gateway.probe_models(&tenant, Some(*role)).await;
        assert!(!probes.is_empty() && probes.iter().all(|probe| probe.role == *role));
    }
    assert_eq!(model.calls().len(), 6, "no answer is kept");
}
