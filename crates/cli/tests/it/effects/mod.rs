//! The ledger of what left the system, through the binary: a receiver that does not know an update again, an answer that
//! does not tell what happened, and a person who looks.

use serde_json::{Value, json};
use switchboard_testkit::doubles::{Fault, WebhookDouble};

use crate::{
    api::Api,
    desks::HOOK_SECRET,
    server::{Home, Server},
    tenant::{acme, ticket},
};

async fn forgetful(double: &WebhookDouble) -> (Home, Server, Api) {
    let desk = json!({"kind": "webhook", "url": double.hook_url(), "secret": "hook", "repeats": "never"});
    let home = Home::with_tenant(&acme(&desk)).allow(&[double]).secret("HOOK", HOOK_SECRET);
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    (home, server, api)
}

fn held(home: &Home) -> Vec<Value> {
    home.json(&["effects", "list"]).as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unclear_answer_is_held_for_a_person_and_never_repeated_blindly() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    double.rate(1.0, Fault::ApplyThenAnswer { status: 500 });
    let (home, _server, api) = forgetful(&double).await;
    api.accept(&ticket("T-1")).await;
    let failed = api.ticket_when("T-1", "failed").await;
    assert_eq!(double.requests(), 1, "it is not sent again by itself");
    let effects = held(&home);
    let decision = &failed["decision"]["decision_id"];
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!((&effects[0]["id"], &effects[0]["state"]), (decision, &json!("unknown")));
    assert!(api.get("/metrics").await.text().contains("switchboard_effects_unknown 1"));

    // Not by a replay of all dead letters either.
    double.heal();
    home.ok(&["dlq", "replay", "--all"]);
    api.ticket_when("T-1", "failed").await;
    assert_eq!(double.requests(), 1);
    let reason = home.json(&["dlq", "list"])[0]["reason"].to_string();
    assert!(reason.contains("switchboard effects resolve"), "{reason}");

    let id = effects[0]["id"].as_str().unwrap();
    let done = home.json(&["effects", "resolve", id, "--happened", "ana saw it in the other system"]);
    assert_eq!((&done["state"], &done["attempts"]), (&json!("done"), &json!(1)));
    let synced = api.ticket_when("T-1", "success").await;
    assert_eq!(synced["sync"]["receipt"], "ana saw it in the other system");
    assert_eq!((held(&home), double.requests()), (vec![], 1));
    assert_eq!(home.json(&["dlq", "list"]), json!([]));
    let again = home.run(&["effects", "resolve", id, "--abandon"]);
    assert!(again.code == Some(1) && again.stderr.contains("is `done`"), "{again:?}");
    let acts = home.ok(&["audit-log", "list", "--json"]);
    assert!(acts.contains("effect.settle") && acts.contains(id), "{acts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_is_tried_again_or_given_up_when_a_person_says_so() {
    let double = WebhookDouble::start(HOOK_SECRET).await;
    double.rate(1.0, Fault::Drop);
    let (home, _server, api) = forgetful(&double).await;
    for id in ["T-1", "T-2"] {
        api.accept(&ticket(id)).await;
        api.ticket_when(id, "failed").await;
    }
    double.heal();
    let of = |ticket: &str| home.json(&["effects", "list", "--ticket", ticket])[0]["id"].as_str().unwrap().to_owned();
    home.ok(&["effects", "resolve", &of("T-1"), "--try-again"]);
    api.ticket_when("T-1", "success").await;
    home.ok(&["effects", "resolve", &of("T-2"), "--abandon"]);
    let given_up = home.json(&["effects", "show", &of("T-2")]);
    assert_eq!((&given_up["state"], &given_up["ticket_id"]), (&json!("abandoned"), &json!("T-2")));
    assert_eq!(held(&home), Vec::<Value>::new());
    assert_eq!(double.effects().len(), 1);
    let listed = home.run(&["effects", "list", "--state", "done"]);
    assert!(listed.code == Some(1) && listed.stderr.contains("--ticket"), "{listed:?}");
    let unknown = home.run(&["effects", "show", "01M7VZGGK6NYPAJ925T6RE71NG"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("has no effect"), "{unknown:?}");
}
