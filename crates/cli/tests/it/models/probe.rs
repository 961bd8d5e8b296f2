//! `switchboard models try`.

use serde_json::{Value, json};
use switchboard_testkit::doubles::openai::{OpenAiDouble, Reply};

use super::KEY;
use crate::{server::Home, tenant::acme};

/// A tenant with two small models, of which the provider knows the first, a large one, and one for vectors.
fn home(double: &OpenAiDouble, key: &str, embed: &Value) -> Home {
    let link = |model: &str| json!({"provider": "double", "model": model, "price": {"input": 0.15, "output": 0.6}});
    let mut config = acme(&json!({"kind": "folder", "path": "desk"}));
    config["models"] = json!({
        "providers": {
            "double": {"kind": "openai", "url": double.base_url(), "key": "models"},
            "own": {"kind": "local"},
        },
        "small": [link("small"), link("smaller")],
        "large": [link("large")],
        "embed": embed,
        "budget": {"month_usd": 5.0},
    });
    let home = Home::with_tenant(&config).allow(&[double]).secret("MODELS", key);
    let nowhere = home.beside("no-model");
    home.env("SWITCHBOARD_EMBEDDING_MODEL", nowhere.to_str().unwrap())
}

fn priced() -> Value {
    json!({"provider": "double", "model": "embed", "price": {"input": 0.02, "output": 0.0}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_model_is_asked_by_itself_and_paid_for() {
    let double = OpenAiDouble::start().await;
    double.require_key(KEY);
    double.reply_always(Reply::text("{\"ready\":true}"));
    let home = home(&double, KEY, &priced());
    // Beside a server that runs.
    let _server = home.start_empty();
    let tried = home.run(&["--tenant", "acme", "models", "try", "--json"]);
    assert_eq!(tried.code, Some(1), "{tried:?}");
    let told: Value = serde_json::from_str(&tried.stdout).unwrap();
    let models = told["models"].as_array().unwrap();
    let seen: Vec<_> =
        models.iter().map(|one| (one["role"].as_str().unwrap(), one["error"]["kind"].as_str())).collect();
    assert_eq!(seen, [("small", None), ("small", Some("invalid")), ("large", None), ("embed", None)]);
    assert!(models[1]["error"]["message"].as_str().unwrap().contains("does not know the model `smaller`"), "{told}");
    assert_eq!((&models[0]["ok"], &models[0]["answered_by"]), (&json!(true), &json!("small-2026-11-20")));
    assert!(models[0]["cost_usd"].as_f64().unwrap() > 0.0 && models[3]["cost_usd"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(models[1]["cost_usd"], 0.0);
    assert_eq!(double.asked().len(), 4);
    let table = home.run(&["--tenant", "acme", "models", "try"]);
    assert_eq!(table.code, Some(1), "{table:?}");
    for word in ["small", "large", "embed", "ok", "invalid", "$0.0000"] {
        assert!(table.stdout.contains(word), "{word}: {}", table.stdout);
    }
    assert!(!format!("{tried:?}{table:?}").contains(KEY));
    let costs = home.json(&["--tenant", "acme", "costs"]);
    let spent = costs["month"]["spent_usd"].as_f64().unwrap();
    let told: f64 = models.iter().map(|one| one["cost_usd"].as_f64().unwrap()).sum();
    assert!((spent - 2.0 * told).abs() < 1e-9, "{spent} and twice {told}");
    let embed = home.json(&["--tenant", "acme", "models", "try", "--role", "embed"]);
    assert_eq!(embed["models"].as_array().unwrap().len(), 1, "{embed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_with_the_way_out() {
    let double = OpenAiDouble::start().await;
    double.require_key(KEY);
    let home = home(&double, "sk-another-0123456789", &json!({"provider": "own", "model": "all-MiniLM-L6-v2"}));
    home.prepared();
    let tried = home.run(&["models", "try", "--role", "embed", "--json"]);
    assert_eq!(tried.code, Some(1), "{tried:?}");
    assert!(tried.stdout.contains("run `switchboard models install`"), "{tried:?}");
    let tried = home.run(&["models", "try", "--role", "large", "--json"]);
    assert_eq!(tried.code, Some(1), "{tried:?}");
    assert!(tried.stdout.contains("unauthorised") && tried.stdout.contains("check the secret `models`"), "{tried:?}");
    assert!(!tried.stdout.contains("sk-another"), "{tried:?}");
    let tried = home.run(&["models", "try", "--role", "medium"]);
    assert_eq!(tried.code, Some(2), "{tried:?}");
    assert!(tried.stderr.contains("small, large, embed"), "{tried:?}");
}
