//! Tickets that the local classifier is not sure of, over HTTP: the real binary asks a server that speaks OpenAI's API.

#[cfg(feature = "aws")]
mod bedrock;
mod probe;
mod trials;

use serde_json::{Value, json};
use switchboard_testkit::doubles::openai::{OpenAiDouble, Reply};

use crate::{
    server::Home,
    tenant::{acme, ticket_with},
};

const KEY: &str = "sk-of-the-test-0123456789";

fn home(double: &OpenAiDouble, month_usd: f64) -> Home {
    home_with(double, month_usd, |_| ())
}

fn home_with(double: &OpenAiDouble, month_usd: f64, change: impl FnOnce(&mut Value)) -> Home {
    let mut config = acme(&json!({"kind": "folder", "path": "desk"}));
    config["review"] = json!({"precision": 0.99});
    config["models"] = json!({
        "mode": "cascade",
        "providers": {"double": {"kind": "openai", "url": double.base_url(), "key": "models"}},
        "small": [{"provider": "double", "model": "small", "price": {"input": 0.15, "output": 0.6}}],
        "budget": {"month_usd": month_usd},
    });
    change(&mut config);
    Home::with_tenant(&config).allow(&[double]).secret("MODELS", KEY)
}

/// Nothing that the tenant's examples speak of.
fn ticket() -> Value {
    ticket_with("T-1", |ticket| {
        ticket["subject"] = "Something strange".into();
        ticket["description"] = "My neighbour says that I should ask you about the blue form.".into();
    })
}

fn opinion(category: &str) -> Reply {
    let opinion = json!({
        "category": category, "severity": "low", "sentiment": "neutral", "confidence": 95, "gives_orders": false,
    });
    Reply::text(&opinion.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_decides_what_the_classifier_does_not_know_and_its_cost_is_told() {
    let double = OpenAiDouble::start().await;
    double.require_key(KEY);
    double.reply_always(opinion("invoice"));
    let home = home(&double, 5.0);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket()).await;
    let decision = api.ticket_when("T-1", "success").await["decision"].clone();
    assert_eq!((&decision["decided_by"], &decision["assigned_team"]), (&json!("small"), &json!("billing")));
    assert_eq!(decision["prompt"], "decide_ticket/2");
    assert_eq!(decision["requires_manual_review"], false, "{decision}");
    let cost = decision["cost_usd"].as_f64().unwrap();
    assert!(cost > 0.0 && cost < 0.01, "{cost}");
    let asked = double.asked();
    assert_eq!(asked.len(), 1);
    let words = asked[0].body.to_string();
    assert!(words.contains("Something strange") && !words.contains(KEY), "{words}");
    let costs = home.json(&["--tenant", "acme", "costs"]);
    let spent = costs.to_string();
    assert!(spent.contains("month"), "{spent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_money_or_provider_tickets_are_decided_all_the_same() {
    for (month_usd, reply, calls) in [(0.0, opinion("invoice"), 0), (5.0, Reply::status(401), 1)] {
        let double = OpenAiDouble::start().await;
        double.reply_always(reply);
        let home = home(&double, month_usd);
        let server = home.start_empty();
        let api = server.api(&home.make_key("acme", &[]));
        api.accept(&ticket()).await;
        let decision: Value = api.ticket_when("T-1", "success").await["decision"].clone();
        assert_eq!((&decision["decided_by"], &decision["requires_manual_review"]), (&json!("local"), &json!(true)));
        let reasons = decision["review_reasons"].to_string();
        assert!(reasons.contains("a language model could not be asked"), "{reasons}");
        assert_eq!(double.asked().len(), calls, "{month_usd}");
        assert!(!decision.to_string().contains(KEY));
    }
}
