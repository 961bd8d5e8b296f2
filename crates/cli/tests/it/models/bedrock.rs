//! The same over SQLite with Amazon Bedrock, which needs no setting of `aws`: environment alone.

use serde_json::json;
use switchboard_testkit::doubles::bedrock::{BedrockDouble, Reply};

use super::ticket;
use crate::{server::Home, tenant::acme};

const ACCESS_KEY: &str = "AKIDOFTHETEST";
const SECRET_KEY: &str = "secret-key-of-the-test";

fn home(region: Option<&str>) -> Home {
    let mut config = acme(&json!({"kind": "folder", "path": "desk"}));
    config["review"] = json!({"precision": 0.99});
    config["models"] = json!({
        "mode": "cascade",
        "providers": {"aws": {"kind": "bedrock"}},
        "small": [{"provider": "aws", "model": "eu.amazon.nova-lite-v1:0"}],
        "budget": {"month_usd": 5},
    });
    if let Some(region) = region {
        config["models"]["providers"]["aws"]["region"] = region.into();
    }
    // Nobody asks the machine that this runs on for a role.
    Home::with_tenant(&config).env("AWS_EC2_METADATA_DISABLED", "true")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_bedrock_decides_what_the_classifier_does_not_know() {
    let double = BedrockDouble::start().await;
    double.require_access_key(ACCESS_KEY);
    let opinion = json!({
        "category": "invoice", "severity": "low", "sentiment": "neutral", "confidence": 95, "gives_orders": false,
    });
    double.reply_always(Reply::text(&opinion.to_string()));
    let home = home(Some("eu-central-1"))
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &double.url());
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket()).await;
    let decision = api.ticket_when("T-1", "success").await["decision"].clone();
    assert_eq!((&decision["decided_by"], &decision["assigned_team"]), (&json!("small"), &json!("billing")));
    assert_eq!(decision["model"], "aws/eu.amazon.nova-lite-v1:0", "{decision}");
    // What the double's count of tokens costs by the program's own list.
    assert!(decision["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0 && cost < 0.001), "{decision}");
    let asked = double.asked();
    assert_eq!(asked.len(), 1);
    let signed = asked[0].headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
    assert!(signed.is_some_and(|value| value.contains("/eu-central-1/bedrock/aws4_request")), "{signed:?}");
    assert!(asked[0].body.to_string().contains("Something strange"));
    assert!(!home.log().contains(SECRET_KEY) && !decision.to_string().contains(SECRET_KEY));
    let doctor = home.ok(&["doctor"]);
    assert!(doctor.contains("Bedrock in eu-central-1, with credentials that were found"), "{doctor}");
    assert_eq!(double.requests(), 1, "the doctor asks no model");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credentials_tickets_are_decided_all_the_same_and_the_doctor_says_what_is_missing() {
    let home = home(None).env("AWS_REGION", "eu-west-1");
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket()).await;
    let decision = api.ticket_when("T-1", "success").await["decision"].clone();
    assert_eq!((&decision["decided_by"], &decision["requires_manual_review"]), (&json!("local"), &json!(true)));
    assert!(decision["review_reasons"].to_string().contains("a language model could not be asked"), "{decision}");
    let ran = home.run(&["doctor"]);
    assert!(ran.stdout.contains("Bedrock in eu-west-1: there are no credentials"), "{ran:?}");
    let home = home.env("AWS_REGION", "");
    let ran = home.run(&["doctor"]);
    assert!(ran.stdout.contains("there is no region"), "{ran:?}");
}
