//! Each layer alone.

use std::sync::Mutex;

use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use switchboard_core::{
    breaker::{Breakers, Rests},
    models::{Bill, Broken, Budgeted, Metered, Retried, Till, TimeLimited},
    ports::ChatModel,
};

use super::*;

struct Layer {
    clock: FixedClock,
    tenant: Tenant,
    link: ModelLink,
    prompt: Prompt,
}

impl Layer {
    fn new() -> Self {
        let tenant = sample::tenant_with_models(PLENTY);
        let link = tenant.config.models.small[0].clone();
        Self { clock: FixedClock::auto(), tenant, link, prompt: sample::prompt("hello") }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn call(&self, model: &impl ChatModel) -> std::result::Result<(), ModelErrorKind> {
        model.chat(&self.tenant, &self.link, &self.prompt).await.map(drop).map_err(|error| error.kind())
    }
}

#[tokio::test]
async fn only_passing_failures_are_tried_again_and_three_times_at_most() {
    for kind in ModelErrorKind::ALL {
        let (layer, model) = (Layer::new(), ScriptedModel::new(move |_, _, _| fails(kind)));
        let began = layer.clock.monotonic();
        assert_eq!(layer.call(&Retried::new(model.clone(), layer.clock(), ids())).await, Err(kind));
        assert_eq!(model.calls().len(), if kind.is_passing() { 3 } else { 1 }, "{kind:?}");
        let waited = (layer.clock.monotonic() - began).as_millis();
        let expected = if kind.is_passing() { 375..=750 } else { 0..=0 };
        assert!(expected.contains(&waited), "{kind:?}: {waited} ms");
    }
}

#[tokio::test]
async fn waits_differ_by_chance() {
    let layer = Layer::new();
    let retried = Retried::new(ScriptedModel::new(|_, _, _| fails(ModelErrorKind::Down)), layer.clock(), ids());
    let mut waits = Vec::new();
    for _ in 0..5 {
        let began = layer.clock.monotonic();
        layer.call(&retried).await.unwrap_err();
        waits.push(layer.clock.monotonic() - began);
    }
    waits.dedup();
    assert_eq!(waits.len(), 5);
}

#[tokio::test]
async fn a_short_wish_is_waited_for_and_a_long_one_ends_the_tries() {
    for (seconds, tries) in [(2, 2), (3, 1)] {
        let wish = Duration::from_secs(seconds);
        let model = ScriptedModel::new(move |n, _, _| match n {
            0 => Turn::Fails(error(ModelErrorKind::Throttled).after(wish)),
            _ => says("ok"),
        });
        let layer = Layer::new();
        let began = layer.clock.monotonic();
        let outcome = layer.call(&Retried::new(model.clone(), layer.clock(), ids())).await;
        assert_eq!((outcome.is_ok(), model.calls().len()), (tries == 2, tries), "{seconds} s");
        assert!(tries == 1 || layer.clock.monotonic() - began >= wish);
    }
}

#[tokio::test]
async fn what_was_given_up_is_not_tried_again() {
    let layer = Layer::new();
    let model = ScriptedModel::new(|_, _, _| Turn::Hangs(String::new()));
    let limited = TimeLimited::new(model.clone(), layer.clock(), Duration::from_secs(1));
    assert_eq!(layer.call(&Retried::new(limited, layer.clock(), ids())).await, Err(ModelErrorKind::Down));
    assert_eq!(model.calls().len(), 1);
}

#[tokio::test]
async fn a_call_ends_in_its_time_and_may_have_to_be_paid_for() {
    let layer = Layer::new();
    let model = ScriptedModel::new(|n, _, _| if n == 0 { Turn::Hangs(String::new()) } else { says("ok") });
    let limited = TimeLimited::new(model, layer.clock(), Duration::from_secs(7));
    let began = layer.clock.monotonic();
    let error = limited.chat(&layer.tenant, &layer.link, &layer.prompt).await.unwrap_err();
    assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Down, true));
    assert_eq!(layer.clock.monotonic() - began, Duration::from_secs(7));
    assert_eq!(layer.call(&limited).await, Ok(()));
    assert_eq!(layer.clock.sleepers(), 0, "nothing stays behind");
}

#[tokio::test]
async fn a_model_that_was_quick_is_given_up_sooner_and_then_waited_for_longer() {
    let layer = Layer::new();
    let model =
        ScriptedModel::new(|n, _, _| if (30..=33).contains(&n) { Turn::Hangs(String::new()) } else { says("ok") });
    let limited = TimeLimited::new(model, layer.clock(), Duration::from_secs(10)).with_patience(Arc::default());
    for _ in 0..30 {
        assert_eq!(layer.call(&limited).await, Ok(()));
    }
    for seconds in [1, 2, 4, 8] {
        let began = layer.clock.monotonic();
        let error = limited.chat(&layer.tenant, &layer.link, &layer.prompt).await.unwrap_err();
        assert_eq!((error.kind(), error.is_late()), (ModelErrorKind::Down, true));
        assert_eq!(layer.clock.monotonic() - began, Duration::from_secs(seconds));
    }
    assert_eq!(layer.call(&limited).await, Ok(()));
    let other = ModelLink { model: "b".to_owned(), ..layer.link.clone() };
    assert!(limited.chat(&layer.tenant, &other, &layer.prompt).await.is_ok(), "each model has a pace of its own");
}

#[tokio::test]
async fn a_model_that_nobody_knows_has_less_time_while_its_provider_is_in_doubt() {
    let layer = Layer::new();
    let hangs = ScriptedModel::new(|n, link, _| match (link.model.as_str(), n) {
        ("a", 31) => says("ok"),
        ("a", n) if n < 30 => says("ok"),
        _ => Turn::Hangs(String::new()),
    });
    let limited = TimeLimited::new(hangs, layer.clock(), Duration::from_secs(10)).with_patience(Arc::default());
    let link = |provider: &str, model: &str| ModelLink {
        provider: sample::parsed(provider),
        model: model.to_owned(),
        ..layer.link.clone()
    };
    let took = async |link: &ModelLink| {
        let began = layer.clock.monotonic();
        let outcome = limited.chat(&layer.tenant, link, &layer.prompt).await;
        (outcome.is_ok(), (layer.clock.monotonic() - began).as_secs())
    };
    let known = link("here", "a");
    for _ in 0..30 {
        assert_eq!(took(&known).await, (true, 0));
    }
    assert_eq!(took(&known).await, (false, 1));
    assert_eq!(took(&link("here", "b")).await, (false, 1), "of the same provider");
    assert_eq!(took(&link("elsewhere", "b")).await, (false, 10), "of another one");
    assert_eq!(took(&known).await, (true, 0));
    assert_eq!(took(&link("here", "c")).await, (false, 10), "it answers again");
}

#[tokio::test]
async fn the_breaker_goes_by_what_the_failure_says_of_the_model() {
    let stops = [ModelErrorKind::Down, ModelErrorKind::Overloaded, ModelErrorKind::Throttled];
    for kind in ModelErrorKind::ALL {
        let (layer, model) = (Layer::new(), ScriptedModel::new(move |_, _, _| fails(kind)));
        let breakers = Arc::new(Breakers::new(layer.clock(), Rests::Even));
        let broken = Broken::new(model.clone(), breakers);
        for _ in 0..8 {
            layer.call(&broken).await.unwrap_err();
        }
        assert_eq!(model.calls().len(), if stops.contains(&kind) { 5 } else { 8 }, "{kind:?}");
        // Neither another model of the same provider nor another tenant's is concerned.
        let other = ModelLink { model: "b".to_owned(), ..layer.link.clone() };
        broken.chat(&layer.tenant, &other, &layer.prompt).await.unwrap_err();
        let mut theirs = layer.tenant.clone();
        theirs.id = sample::parsed("globex");
        broken.chat(&theirs, &layer.link, &layer.prompt).await.unwrap_err();
        assert_eq!(model.calls().len(), if stops.contains(&kind) { 7 } else { 10 }, "{kind:?}");
    }
}

#[tokio::test]
async fn the_budget_alone_reserves_and_settles() {
    let (layer, ledger) = (Layer::new(), MemoryUsage::default());
    let till = Till {
        ledger: Arc::new(ledger.clone()),
        clock: layer.clock(),
        ids: ids(),
        customer: None,
        bill: Bill::default(),
    };
    let seen = ledger.clone();
    let scope = TenantScope::of_tenant(&layer.tenant);
    let (during, at) = (scope.clone(), layer.clock.now());
    let worst = layer.link.price().worst_case(&layer.prompt);
    let model = ScriptedModel::new(move |_, _, _| {
        use futures_util::FutureExt;
        let spent = seen.spent(&during, None, at).now_or_never().unwrap().unwrap();
        assert_eq!((spent.month.spent, spent.day.open), (worst, worst), "while it is asked");
        says("ok")
    });
    let budgeted = Budgeted::new(model, till.clone());
    assert_eq!(layer.call(&budgeted).await, Ok(()));
    let spent = ledger.spent(&scope, None, at).await.unwrap();
    let expected = Spend { spent: price_of_one(), open: NanoUsd::ZERO, calls: 1 };
    assert_eq!((spent.month, spent.day, till.bill.sum()), (expected, expected, (USAGE, price_of_one())));
}

/// Keeps counts, and how many values a histogram was given.
#[derive(Default)]
struct Kept(Arc<Mutex<Vec<(String, u64)>>>);

struct One(String, Arc<Mutex<Vec<(String, u64)>>>);

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.1.lock().unwrap().push((self.0.clone(), value));
    }

    fn absolute(&self, _: u64) {}
}

impl HistogramFn for One {
    fn record(&self, _: f64) {
        self.1.lock().unwrap().push((self.0.clone(), 1));
    }
}

impl Kept {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(One(format!("{} {}", key.name(), labels.join(" ")), self.0.clone()))
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

#[test]
fn the_meter_counts_outcomes_and_tokens_without_naming_tenants() {
    use futures_util::FutureExt;
    let (kept, layer) = (Kept::default(), Layer::new());
    let model = ScriptedModel::new(|n, _, _| match n {
        0 => says("ok"),
        1 => fails(ModelErrorKind::Refused),
        _ => Turn::Hangs(String::new()),
    });
    let link = ModelLink { model: "gpt-4o-mini-2024-07-18".to_owned(), ..layer.link.clone() };
    metrics::with_local_recorder(&kept, || {
        let metered = Metered::new(model, layer.clock(), Role::Small.word());
        for _ in 0..3 {
            let _ = metered.chat(&layer.tenant, &link, &layer.prompt).now_or_never();
        }
    });
    let kept = kept.0.lock().unwrap();
    let labels = "role=small provider=openai model=gpt-4o-mini";
    let count = |what: String| kept.iter().filter(|(name, _)| *name == what).map(|(_, value)| value).sum::<u64>();
    for outcome in ["answered", "refused", "dropped"] {
        assert_eq!(
            count(format!("switchboard_model_calls_total {labels} outcome={outcome}")),
            1,
            "{outcome}: {kept:?}"
        );
    }
    assert_eq!(count(format!("switchboard_model_tokens_total {labels} kind=input")), 100);
    assert_eq!(count(format!("switchboard_model_tokens_total {labels} kind=output")), 10);
    assert_eq!(count(format!("switchboard_model_seconds {labels}")), 3);
    assert!(!format!("{kept:?}").contains("acme"));
}
