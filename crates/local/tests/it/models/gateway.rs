use switchboard_core::models::StopReason;
use switchboard_testkit::scripted_model;

use super::*;

#[tokio::test]
async fn an_answer_is_read_and_paid() {
    let world = World::new(|_, _, _| says("3"));
    let answered = world.ask().await.unwrap();
    assert_eq!((answered.value, answered.model.as_str(), answered.provider.as_str()), (3, "a", "here"));
    assert_eq!((answered.usage, answered.cost), (USAGE, price_of_one()));
    assert_eq!(world.spent().await, Spend { spent: price_of_one(), open: NanoUsd::ZERO, calls: 1 });
}

#[tokio::test]
async fn the_large_chain_is_its_own() {
    let world = World::new(|_, _, _| says("3"));
    let asked = Asked { role: Role::Large, ..world.asked() };
    let answered = world.gateway.ask(&world.tenant, &asked, |answer| answer.read::<u32>()).await.unwrap();
    assert_eq!(answered.model, "l");
    let none = sample::tenant();
    let error = world.gateway.ask(&none, &asked, |answer| answer.read::<u32>()).await.unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Invalid);
}

#[tokio::test]
async fn the_next_link_answers_when_one_does_not_and_the_last_failure_is_told() {
    for kind in ModelErrorKind::ALL {
        let world = World::new(move |_, link, _| if link.model == "a" { fails(kind) } else { says("7") });
        assert_eq!(world.ask().await.unwrap().model, "b", "{kind:?}");
        let world = World::new(move |_, link, _| fails(if link.model == "a" { kind } else { ModelErrorKind::Refused }));
        assert_eq!(world.fails().await, ModelErrorKind::Refused, "after {kind:?}");
        assert_eq!(world.spent().await.spent, NanoUsd::ZERO, "what the provider charges nothing for");
    }
}

#[tokio::test]
async fn a_model_that_hangs_costs_its_worst_and_the_next_one_answers() {
    let world = World::new(|_, link, _| if link.model == "a" { Turn::Hangs(String::new()) } else { says("7") });
    let began = world.clock.monotonic();
    let answered = world.ask().await.unwrap();
    assert_eq!((answered.model.as_str(), answered.cost), ("b", world.worst() + price_of_one()));
    assert_eq!(world.clock.monotonic() - began, Duration::from_secs(10), "its time, once");
    assert_eq!(world.model.called(), ["a", "b"]);
    assert_eq!(world.spent().await, Spend { spent: answered.cost, open: NanoUsd::ZERO, calls: 2 });
}

#[tokio::test]
async fn each_try_is_paid_like_any_other() {
    let world = World::new(|n, _, _| match n {
        0 => Turn::Fails(error(ModelErrorKind::Down).billed()),
        1 => fails(ModelErrorKind::Overloaded),
        _ => says("3"),
    });
    let answered = world.ask().await.unwrap();
    assert_eq!(world.model.called(), ["a", "a", "a"]);
    assert_eq!((answered.usage, answered.cost), (USAGE, world.worst() + price_of_one()));
    assert_eq!(world.spent().await, Spend { spent: answered.cost, open: NanoUsd::ZERO, calls: 3 });
}

#[tokio::test]
async fn tokens_that_nobody_has_counted_are_taken_at_their_worst() {
    let world = World::new(|_, _, _| {
        Turn::Answers(switchboard_core::models::Answer { usage: Usage::default(), ..scripted_model::answer("3", "a") })
    });
    assert_eq!(world.ask().await.unwrap().cost, world.worst());
    assert_eq!(world.spent().await.spent, world.worst());
}

#[tokio::test]
async fn what_cannot_be_read_is_asked_for_once_more_and_then_of_the_next_model() {
    let world = World::new(|n, _, _| says(if n == 0 { "three </ticket>" } else { "3" }));
    let answered = world.ask().await.unwrap();
    assert_eq!((answered.value, answered.cost), (3, price_of_one() + price_of_one()));
    let [first, second] = world.model.calls().try_into().unwrap();
    assert_eq!((first.link.model, second.link.model), ("a".to_owned(), "a".to_owned()));
    assert_eq!(second.prompt.messages.len(), 3, "the question, what it said, and what was wrong");
    assert_eq!(second.prompt.system, first.prompt.system);

    let world = World::new(|_, link, _| says(if link.model == "a" { "never" } else { "4" }));
    assert_eq!(world.ask().await.unwrap().value, 4);
    assert_eq!(world.model.called(), ["a", "a", "b"]);

    let world = World::new(|_, _, _| says("never"));
    assert_eq!(world.fails().await, ModelErrorKind::BadOutput);
    assert_eq!(world.model.called(), ["a", "a", "b", "b"]);
    assert_eq!(world.spent().await, Spend { spent: NanoUsd(4 * price_of_one().0), open: NanoUsd::ZERO, calls: 4 });
}

#[tokio::test]
async fn what_was_cut_or_malformed_is_not_shown_to_the_model_again() {
    let cut = |_: usize, _: &ModelLink, prompt: &Prompt| {
        assert_eq!(prompt.messages.len(), 1, "one message of the user");
        let answer = scripted_model::answer("12345", "a");
        Turn::Answers(switchboard_core::models::Answer { stop: StopReason::MaxTokens, ..answer })
    };
    assert_eq!(World::new(cut).fails().await, ModelErrorKind::BadOutput);
    let malformed = World::new(|n, _, prompt| {
        assert_eq!(prompt.messages.len(), 1);
        if n == 0 { Turn::Fails(error(ModelErrorKind::BadOutput).billed()) } else { says("3") }
    });
    let answered = malformed.ask().await.unwrap();
    assert_eq!((answered.value, answered.cost), (3, malformed.worst() + price_of_one()));
}

#[tokio::test]
async fn the_same_question_is_answered_again_for_nothing_within_the_hour() {
    let mut world = World::new(|_, _, _| says("3"));
    world.ask().await.unwrap();
    let again = world.ask().await.unwrap();
    assert_eq!((again.value, again.usage, again.cost), (3, Usage::default(), NanoUsd::ZERO));
    assert_eq!(world.model.calls().len(), 1);
    // Whose answer cannot be read in another way is asked for.
    let other = world.gateway.ask(&world.tenant, &world.asked(), |answer| answer.read::<bool>()).await;
    assert_eq!(other.unwrap_err().kind(), ModelErrorKind::BadOutput);
    let asked = world.model.calls().len();
    world.clock.advance(Duration::from_secs(3_600));
    assert_eq!(world.ask().await.unwrap().cost, price_of_one());
    let changes: [fn(&mut World); 5] = [
        |world| world.prompt.system.push('!'),
        |world| world.prompt.max_tokens += 1,
        |world| world.prompt.temperature = None,
        |world| world.prompt.messages.extend(sample::prompt("and twice again").messages),
        |world| world.tenant.id = sample::parsed("globex"),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        change(&mut world);
        assert_eq!(world.ask().await.unwrap().cost, price_of_one(), "change {n}");
        assert_eq!(world.ask().await.unwrap().cost, NanoUsd::ZERO, "change {n}, again");
    }
    assert_eq!(world.model.calls().len(), asked + 6);
}

#[tokio::test]
async fn trusted_words_and_the_same_words_quoted_are_two_questions() {
    use switchboard_core::models::{Message, Part};
    let mut world = World::new(|_, _, _| says("3"));
    world.ask().await.unwrap();
    let Some(Message::User(parts)) = world.prompt.messages.last_mut() else { panic!("a message of the user") };
    let quoted = parts.pop().unwrap().wire();
    parts.push(Part::Trusted(quoted));
    assert_eq!(world.ask().await.unwrap().cost, price_of_one());
}

#[tokio::test]
async fn over_budget_nothing_is_sent() {
    // Room for one try's worst, and not for two.
    let world = World::with_budget(3.0, |_, _, _| Turn::Fails(error(ModelErrorKind::TooLong).billed()));
    assert!(world.worst() < NanoUsd::from_usd(3.0) && NanoUsd(2 * world.worst().0) > NanoUsd::from_usd(3.0));
    assert_eq!(world.fails().await, ModelErrorKind::OverBudget);
    assert_eq!(world.model.called(), ["a"], "the second link had no room any more");
    assert_eq!(world.fails().await, ModelErrorKind::OverBudget);
    assert_eq!(world.model.called(), ["a"]);
    assert_eq!(world.spent().await, Spend { spent: world.worst(), open: NanoUsd::ZERO, calls: 1 });
}

#[tokio::test]
async fn a_cheaper_link_still_answers_and_kept_answers_need_no_room() {
    let mut world = World::with_budget(1.0, |_, _, _| says("3"));
    assert_eq!(world.fails().await, ModelErrorKind::OverBudget);
    world.tenant.config.models.small[1].price = Some(switchboard_core::models::ModelPrice { input: 0.0, output: 0.0 });
    let answered = world.ask().await.unwrap();
    assert_eq!((answered.model.as_str(), answered.cost), ("b", NanoUsd::ZERO));
    world.tenant.config.models.budget = None;
    assert_eq!(world.ask().await.unwrap().cost, NanoUsd::ZERO);
    assert_eq!(world.model.called(), ["b"]);
}

#[tokio::test]
async fn without_a_budget_or_a_ledger_nothing_is_spent() {
    let mut world = World::new(|_, _, _| says("3"));
    world.tenant.config.models.budget = None;
    assert_eq!(world.fails().await, ModelErrorKind::OverBudget);
    let (model, clock) = (Arc::new(world.model.clone()), Arc::new(world.clock.clone()));
    let gateway = Gateway::new(model, Arc::new(NoLedger), clock, ids());
    let tenant = sample::tenant_with_models(PLENTY);
    let error = gateway.ask(&tenant, &world.asked(), |answer| answer.read::<u32>()).await.unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::OverBudget);
    assert_eq!(world.model.calls().len(), 0);
}

#[tokio::test]
async fn a_dead_model_is_left_alone_and_looked_at_again() {
    let mut world = World::new(|n, link, _| match (link.model.as_str(), n) {
        ("a", 0..15) => fails(ModelErrorKind::Down),
        _ => says("3"),
    });
    for n in 0..9 {
        world.prompt.system = format!("question {n}");
        assert_eq!(world.ask().await.unwrap().model, "b");
    }
    assert_eq!(world.model.counts()["a"], 15, "five questions with three tries");
    assert_eq!(world.spent().await.calls, 24, "what is left alone reserves nothing");
    world.clock.advance(Duration::from_secs(10));
    world.prompt.system = "after the rest".to_owned();
    assert_eq!(world.ask().await.unwrap().model, "a");
}

#[tokio::test]
async fn a_wish_of_a_model_to_be_left_alone_is_kept() {
    let wish = Duration::from_secs(50);
    let mut world = World::new(move |_, link, _| match link.model.as_str() {
        "a" => Turn::Fails(error(ModelErrorKind::Throttled).after(wish)),
        _ => says("3"),
    });
    let began = world.clock.monotonic();
    for n in 0..3 {
        world.prompt.system = format!("question {n}");
        assert_eq!(world.ask().await.unwrap().model, "b");
    }
    assert_eq!(world.model.counts()["a"], 1);
    assert_eq!(world.clock.monotonic(), began, "nobody waited for it");
}

#[tokio::test]
async fn a_question_that_is_dropped_stays_paid_at_its_worst() {
    use futures_util::FutureExt;
    let (clock, model) = (FixedClock::new(), ScriptedModel::new(|_, _, _| Turn::Hangs(String::new())));
    let mut world = World::new(|_, _, _| says("3"));
    let ledger = Arc::new(world.ledger.clone());
    world.gateway = Gateway::new(Arc::new(model.clone()), ledger, Arc::new(clock), ids());
    assert!(world.ask().now_or_never().is_none());
    assert_eq!(model.calls().len(), 1);
    assert_eq!(world.spent().await, Spend { spent: world.worst(), open: world.worst(), calls: 1 });
}

#[tokio::test]
async fn a_whole_question_ends_in_its_time() {
    use futures_util::FutureExt;
    let mut world = World::new(|_, _, _| says("3"));
    // Each of another provider: one that hangs leaves less time to its other models.
    let link = world.tenant.config.models.large[0].clone();
    let of = |n: usize| ModelLink { provider: sample::parsed(&format!("provider-{n}")), ..link.clone() };
    world.tenant.config.models.large = (0..5).map(of).collect();
    // A clock that does not move itself: all waits run side by side.
    let (clock, model) = (FixedClock::new(), ScriptedModel::new(|_, _, _| Turn::Hangs(String::new())));
    let ledger = Arc::new(world.ledger.clone());
    let gateway = Gateway::new(Arc::new(model.clone()), ledger, Arc::new(clock.clone()), ids());
    let asked = Asked { role: Role::Large, ..world.asked() };
    let mut asking = Box::pin(gateway.ask(&world.tenant, &asked, |answer| answer.read::<u32>()));
    for second in 0..60 {
        assert!((&mut asking).now_or_never().is_none(), "at {second} s");
        clock.advance(Duration::from_secs(1));
    }
    let error = (&mut asking).now_or_never().expect("an end after a minute").unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Down);
    assert!(model.calls().len() <= 3, "half a minute each");
}
