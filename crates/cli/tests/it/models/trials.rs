//! Configurations that are tried, and thresholds that are chosen, over HTTP and the command line.

use serde_json::json;
use switchboard_testkit::doubles::openai::OpenAiDouble;

use super::{KEY, home_with, opinion, ticket};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_compared_with_what_was_decided() {
    let double = OpenAiDouble::start().await;
    double.require_key(KEY);
    double.reply_always(opinion("invoice"));
    let home = home_with(&double, 5.0, |config| {
        let cascade = json!({"mode": "cascade", "small": config["models"]["small"].take()});
        config["models"]["mode"] = "local".into();
        config["models"]["small"] = json!([]);
        config["trial"] = json!({"name": "small-model", "kind": "shadow", "share": 1, "models": cascade});
    });
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    api.accept(&ticket()).await;
    let decision = api.ticket_when("T-1", "success").await["decision"].clone();
    assert_eq!((&decision["decided_by"], &decision["cost_usd"]), (&json!("local"), &json!(0.0)));
    assert_eq!(decision["trial"]["shadow"]["assigned_team"], "billing", "{decision}");

    let compared = home.json(&["--tenant", "acme", "eval", "--trial"]);
    assert_eq!((&compared["trial"], &compared["tickets_seen"]), (&json!("small-model"), &json!(1)));
    let comparison = &compared["comparison"];
    assert_eq!((&comparison["both"], &comparison["trial"]["automatic"]), (&json!(1), &json!(1)));
    let shown = home.ok(&["--tenant", "acme", "eval", "--trial", "small-model"]);
    assert!(shown.contains("decided without a look") && shown.contains("Of 1 tickets decided by both"), "{shown}");
    let other = home.ok(&["--tenant", "acme", "eval", "--trial", "another"]);
    assert!(other.contains("None of the 1 tickets"), "{other}");
    let metrics = api.get("/metrics").await.text();
    assert!(metrics.contains("switchboard_trial_shadows_total{field=\"team\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thresholds_are_chosen_from_labelled_texts() {
    let double = OpenAiDouble::start().await;
    double.require_key(KEY);
    double.reply_always(opinion("invoice"));
    let home = home_with(&double, 5.0, |config| config["review"] = json!({"precision": 0.9}));
    let _server = home.start_empty();
    let data = home.beside("labelled.csv");
    let rows: String = (0..12)
        .map(|n| format!("\"The blue form number {n}\",{}\n", if n < 11 { "invoice" } else { "nobody" }))
        .collect();
    std::fs::write(&data, format!("text,label\n{rows}")).unwrap();
    let path = data.to_str().unwrap();
    let tuned = home.json(&["--tenant", "acme", "eval", path, "--tune", "--texts", "8"]);
    assert_eq!((&tuned["tuned"]["n"], &tuned["left_out"]["unknown_labels"]), (&json!(8), &json!(1)), "{tuned}");
    let best = &tuned["tuned"]["best"];
    assert_eq!((&best["automatic"], &best["precision"]), (&json!(1.0), &json!(1.0)), "{tuned}");
    assert!(best["sure_from"]["small"].as_f64().unwrap() <= 0.95, "{best}");
    assert!(!tuned["tuned"]["curve"].as_array().unwrap().is_empty());
    assert!((1..=8).contains(&double.asked().len()));
    let shown = home.ok(&["--tenant", "acme", "eval", path, "--tune"]);
    assert!(shown.contains("\"sure_from\":"), "{shown}");
    // It is paid for like any other call.
    assert!(home.json(&["--tenant", "acme", "costs"]).to_string().contains("\"calls\":"));

    std::fs::write(&data, "text,label\nsomething,nobody\n").unwrap();
    let refused = home.run(&["--tenant", "acme", "eval", path, "--tune"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("no label in"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_decides_again_without_a_model() {
    let double = OpenAiDouble::start().await;
    double.require_key(KEY);
    double.reply_always(opinion("invoice"));
    let home = home_with(&double, 5.0, |_| ());
    home.prepared();
    let tickets = home.beside("tickets.jsonl");
    let mut one = ticket();
    one["description"] = "My neighbour says that I should ask you about the blue form. I am ana@example.org.".into();
    std::fs::write(&tickets, one.to_string()).unwrap();
    let (path, folder) = (tickets.to_str().unwrap(), home.beside("cassettes"));
    let folder = folder.to_str().unwrap();
    let live = home.json(&["--tenant", "acme", "--record", folder, "route", path]);
    assert_eq!((&live["decided_by"], double.asked().len()), (&json!("small"), 1), "{live}");
    let kept = std::fs::read_to_string(std::path::Path::new(folder).join("acme.jsonl")).unwrap();
    assert!(kept.contains("blue form") && !kept.contains("ana@example.org") && !kept.contains(KEY), "{kept}");
    let played = home.json(&["--tenant", "acme", "--cassettes", folder, "route", path]);
    for field in ["decided_by", "assigned_team", "model", "tokens"] {
        assert_eq!(played[field], live[field], "{field}");
    }
    assert_eq!(double.asked().len(), 1, "nobody is asked");
    let refused = home.run(&["--tenant", "acme", "--cassettes", home.data().to_str().unwrap(), "route", path]);
    assert!(refused.code == Some(1) && refused.stderr.contains("--record"), "{}", refused.stderr);
}
