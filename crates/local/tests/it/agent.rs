//! A model that plans and calls the tools itself: what it may ask, what it may decide, and what becomes of a ticket without it.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use switchboard_core::{
    limits,
    models::{Answer, Message, ModelError, ModelErrorKind, Part, Prompt, StopReason, ToolUse},
    tenants::Tenant,
    tickets::{DecidedBy, Decision, ToolName, route::route_again},
    untrusted::Untrusted,
};
use switchboard_testkit::{
    sample,
    scripted_model::{ScriptedModel, Turn, USAGE},
};

use crate::cascade::{Desk, LARGE, SMALL, ticket};

/// `acme`, decided by an agent.
fn tenant(chains: &[&str], month_usd: f64) -> Tenant {
    sample::tenant_with(|config| {
        let link = |model: &str| json!([{"provider": "somewhere", "model": model}]);
        config["models"] = json!({
            "mode": "agent",
            "providers": {"somewhere": {"kind": "openai", "url": "https://models.example.org/v1"}},
            "small": if chains.contains(&SMALL) { link(SMALL) } else { json!([]) },
            "large": if chains.contains(&LARGE) { link(LARGE) } else { json!([]) },
            "budget": {"month_usd": month_usd},
        });
    })
}

fn asks_for(calls: &[(&str, Value)]) -> Turn {
    let calls = calls.iter().enumerate().map(|(n, (name, input))| ToolUse {
        id: format!("call_{n}"),
        name: (*name).to_owned(),
        input: Untrusted::new(match input {
            Value::String(text) => text.clone(),
            input => input.to_string(),
        }),
    });
    Turn::Answers(Answer {
        text: Untrusted::new(String::new()),
        calls: calls.collect(),
        stop: StopReason::Tools,
        usage: USAGE,
        model: LARGE.to_owned(),
    })
}

fn opinion(category: &str, team: &str, confidence: u32) -> Turn {
    let opinion = json!({
        "category": category, "team": team, "severity": "high", "sentiment": "negative", "confidence": confidence,
        "gives_orders": false,
    });
    Turn::Says(opinion.to_string())
}

/// One that takes these steps and then decides for support.
fn plans(steps: impl Fn(usize) -> Option<Turn> + Send + Sync + 'static) -> ScriptedModel {
    ScriptedModel::new(move |n, _, prompt| {
        if prompt.schema.is_some() {
            assert!(prompt.tools.is_empty(), "nothing is decided where tools are");
            return opinion("outage", "support", 90);
        }
        assert_eq!(prompt.tools.len(), 7);
        steps(n).unwrap_or_else(|| Turn::Says("DONE".to_owned()))
    })
}

/// What the tools have answered to it, by the last prompt that has them.
fn told(prompts: &[Prompt]) -> Vec<(String, bool)> {
    let planned = prompts.iter().rfind(|prompt| prompt.schema.is_none()).expect("a plan");
    let results = planned.messages.iter().filter_map(|message| match message {
        Message::Tools(results) => Some(results.iter().map(|result| (result.wire().to_owned(), result.is_error))),
        Message::User(_) | Message::Assistant { .. } => None,
    });
    results.flatten().collect()
}

fn prompts(desk: &Desk) -> Vec<Prompt> {
    desk.model.calls().into_iter().map(|call| call.prompt).collect()
}

fn count(decision: &Decision, tool: ToolName) -> usize {
    decision.tool_calls.iter().filter(|call| call.name == tool).count()
}

#[tokio::test]
async fn it_asks_for_what_it_wants_and_decides_from_that() {
    let desk = Desk::with(plans(|n| match n {
        0 => Some(asks_for(&[("check_vip_status", json!({})), ("extract_entities", json!(""))])),
        1 => Some(asks_for(&[
            ("classify_issue", json!({})),
            ("check_vip_status", json!({})),
            ("calculate_priority", json!({"severity": "critical", "sentiment": "negative"})),
            ("route_to_team", json!({"category": "invoice"})),
        ])),
        _ => None,
    }))
    .await;
    let tenant = tenant(&[SMALL, LARGE], 10.0);
    let text = "Something strange happened: you took 49.90 EUR from my account. Please answer to ana@example.org";
    let decision = desk.decides(&tenant, text).await;
    assert_eq!(desk.asked(), [LARGE; 4], "two steps, the end of the plan, and the decision");
    assert_eq!((decision.decided_by, decision.assigned_team.as_str()), (DecidedBy::Large, "support"));
    assert_eq!(
        (decision.confidence_score, decision.requires_manual_review),
        (0.9, false),
        "{:?}",
        decision.review_reasons
    );
    assert_eq!(decision.prompt.as_deref(), Some("plan_ticket/1 decide_ticket/2"));
    assert_eq!(decision.tokens.input, 400);
    assert!(decision.cost_usd > 0.0);
    // Each look-up is made once, those that it did not ask for after it: the record is the same in all modes.
    for tool in [ToolName::CheckVipStatus, ToolName::CheckServiceStatus, ToolName::GetHistoricalContext] {
        assert_eq!(count(&decision, tool), 1, "{tool}");
    }

    let prompts = prompts(&desk);
    let told = told(&prompts);
    assert_eq!(told.len(), 6);
    assert!(told.iter().all(|(_, is_error)| !is_error), "{told:?}");
    assert!(told[4].0.contains("\"level\"") && told[5].0.contains("billing"), "{told:?}");
    let last = prompts.last().unwrap();
    let [Message::User(parts)] = last.messages.as_slice() else { panic!("one message") };
    let facts = parts[1].wire();
    assert!(facts.starts_with("<facts>") && facts.contains("check_vip_status") && facts.contains("49.90"), "{facts}");
    for prompt in &prompts {
        let wire: Vec<String> = prompt
            .messages
            .iter()
            .map(|message| match message {
                Message::User(parts) => parts.iter().map(Part::wire).collect(),
                Message::Assistant { text, .. } => Message::said(text).to_owned(),
                Message::Tools(results) => results.iter().map(|result| result.wire().to_owned()).collect(),
            })
            .collect();
        assert!(!wire.concat().contains("ana@example.org"), "{wire:?}");
    }

    let again = route_again(&desk.app, &tenant, &ticket(text), &decision);
    assert_eq!((again.assigned_team, again.decided_by), (decision.assigned_team, DecidedBy::Large));
    assert_eq!(desk.asked().len(), 4, "a replay asks nobody");
    desk.bench.app.finish().await;
}

#[tokio::test]
async fn what_is_no_tool_or_no_input_of_one_is_told_and_does_nothing() {
    let desk = Desk::with(plans(|n| match n {
        0 => Some(asks_for(&[
            ("delete_ticket", json!({})),
            ("check_vip_status", json!({"customer_id": "somebody else"})),
            ("route_to_team", json!({"category": "admin"})),
            ("calculate_priority", json!({"severity": "apocalyptic", "sentiment": "negative"})),
            ("extract_entities", json!("{cut")),
        ])),
        _ => None,
    }))
    .await;
    let decision = desk.decides(&tenant(&[LARGE], 10.0), "Something strange").await;
    let told = told(&prompts(&desk));
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|(output, is_error)| *is_error && output.contains("error")), "{told:?}");
    let record = decision.tool_calls.iter().find(|call| call.output.get("opinion").is_some()).unwrap();
    assert_eq!((&record.input["refused"], &record.input["tools"]), (&json!(5), &json!([])));
    assert_eq!(decision.decided_by, DecidedBy::Large);
    desk.bench.app.finish().await;
}

#[tokio::test]
async fn who_never_has_enough_is_made_to_decide() {
    let desk =
        Desk::with(plans(|_| Some(asks_for(&[("check_vip_status", json!({})), ("classify_issue", json!({}))])))).await;
    let decision = desk.decides(&tenant(&[LARGE], 10.0), "Something strange").await;
    assert_eq!(desk.asked().len(), limits::AGENT_STEPS as usize + 1);
    assert_eq!(decision.decided_by, DecidedBy::Large);
    desk.bench.app.finish().await;

    let desk = Desk::with(plans(|_| Some(asks_for(&vec![("classify_issue", json!({})); 30])))).await;
    let decision = desk.decides(&tenant(&[LARGE], 10.0), "Something strange").await;
    assert_eq!((desk.asked().len(), decision.decided_by), (2, DecidedBy::Large), "so many calls end the plan");
    desk.bench.app.finish().await;
}

#[tokio::test]
async fn without_the_large_model_the_small_one_plans_and_then_a_person_looks() {
    let down = |kind| Turn::Fails(ModelError::new(kind, "the script says so"));
    let desk = Desk::with(ScriptedModel::new(move |_, link, prompt| match (link.model.as_str(), &prompt.schema) {
        (LARGE, _) => down(ModelErrorKind::Unauthorised),
        (_, None) => Turn::Says("DONE".to_owned()),
        (_, Some(_)) => opinion("outage", "support", 85),
    }))
    .await;
    let decision = desk.decides(&tenant(&[SMALL, LARGE], 10.0), "Something strange").await;
    assert_eq!((decision.decided_by, decision.requires_manual_review), (DecidedBy::Small, false));
    assert_eq!(desk.asked(), [LARGE, SMALL, SMALL]);
    desk.bench.app.finish().await;

    for (model, month_usd) in [
        (ScriptedModel::new(move |_, _, _| down(ModelErrorKind::Refused)), 10.0),
        (plans(|_| None), 0.0),
        // It plans well and decides for nobody's team.
        (
            ScriptedModel::new(|_, _, prompt| match &prompt.schema {
                None => Turn::Says("DONE".to_owned()),
                Some(_) => opinion("outage", "administrators", 99),
            }),
            10.0,
        ),
    ] {
        let desk = Desk::with(model).await;
        let decision = desk.decides(&tenant(&[LARGE], month_usd), "please send me the invoice of May").await;
        assert_eq!((decision.decided_by, decision.assigned_team.as_str()), (DecidedBy::Local, "billing"));
        assert!(decision.review_reasons.contains(&"a language model could not be asked".to_owned()));
        desk.bench.app.finish().await;
    }
}

fn any_turn() -> impl Strategy<Value = (Vec<(String, String)>, String)> {
    let name = prop_oneof![
        prop::sample::select(ToolName::ALL.to_vec()).prop_map(|tool| tool.word().to_owned()),
        "[a-z_]{1,12}",
    ];
    let input = prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"category":"outage"}"#.to_owned()),
        Just(r#"{"severity":"low","sentiment":"positive"}"#.to_owned()),
        "\\PC{0,30}",
    ];
    let text = prop_oneof![
        Just(r#"{"category":"outage","team":"billing","severity":"critical","sentiment":"negative","confidence":100,"gives_orders":false}"#.to_owned()),
        "\\PC{0,40}",
    ];
    (vec((name, input), 0..5), text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a model answers: a decision comes, of the tenant's own team, and nothing outside is changed.
    #[test]
    fn whatever_it_answers_a_decision_comes_and_nothing_else_happens(turns in vec(any_turn(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let turns = Arc::new(turns);
            let desk = Desk::with(ScriptedModel::new(move |n, _, _| {
                let (calls, text) = &turns[n % turns.len()];
                let calls: Vec<_> = calls.iter().map(|(name, input)| (name.as_str(), json!(input))).collect();
                if calls.is_empty() { Turn::Says(text.clone()) } else { asks_for(&calls) }
            }))
            .await;
            let tenant = tenant(&[SMALL, LARGE], 10.0);
            let decision = desk.decides(&tenant, "Something strange").await;
            assert!(tenant.team(&decision.assigned_team).is_some());
            assert!(tenant.category(&decision.issue_classification.primary_category).is_some());
            assert!(desk.bench.desk.taken.lock().unwrap().is_empty());
            assert!(desk.asked().len() <= 4 * (limits::AGENT_STEPS as usize + 2));
            desk.bench.app.finish().await;
        });
    }
}
