//! What was spent on models, at the command line.

use serde_json::{Value, json};
use switchboard_testkit::sample;

use crate::server::Home;

fn with_budget() -> Home {
    let mut config = sample::tenant_json();
    let price = json!({"input": 1.0, "output": 2.0});
    config["models"] = json!({
        "providers": {"here": {"kind": "openai", "url": "https://models.example/v1"}},
        "small": [{"provider": "here", "model": "a", "price": price}],
        "budget": {"month_usd": 20.0, "customer_day_usd": 0.5},
    });
    Home::with_tenant(&config)
}

#[test]
fn spend_is_shown_beside_its_budget() {
    let home = with_budget();
    home.prepared();
    let nothing = home.json(&["costs", "--customer", "C-1"]);
    let (month, day) = (nothing["month"]["period"].as_str().unwrap(), nothing["day"]["period"].as_str().unwrap());
    assert!(day.starts_with(month), "{nothing}");
    let count = |period: &str, budget: Value| json!({"period": period, "spent_usd": 0.0, "open_usd": 0.0, "calls": 0, "budget_usd": budget});
    let expected = json!({
        "tenant": "acme", "customer": "C-1", "month": count(month, json!(20.0)), "day": count(day, Value::Null),
        "customer_day": count(day, json!(0.5)),
    });
    assert_eq!(nothing, expected);
    let database = rusqlite::Connection::open(home.data().join("switchboard.db")).unwrap();
    for (customer, period, spent, open, calls) in
        [("", month, 12_340_000_000_i64, 40_000_000, 7), ("C-1", day, 120_000_000, 0, 2), ("C-2", day, 7, 7, 7)]
    {
        let sql = "INSERT INTO model_usage (tenant, customer, period, spent, open, calls) VALUES ('acme', ?1, ?2, ?3, ?4, ?5)";
        database.execute(sql, (customer, period, spent, open, calls)).unwrap();
    }
    let some = home.json(&["costs", "--customer", "C-1"]);
    assert_eq!(
        (&some["month"]["spent_usd"], &some["month"]["open_usd"], &some["month"]["calls"]),
        (&json!(12.34), &json!(0.04), &json!(7))
    );
    assert_eq!((&some["customer_day"]["spent_usd"], &some["day"]["spent_usd"]), (&json!(0.12), &json!(0.0)));
    let text = home.ok(&["costs"]);
    for part in [month, "acme", "$12.34", "$20.00", "none"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("C-1"), "{text}");
}

#[test]
fn what_belongs_to_the_deployment_is_not_asked_of_a_tenant() {
    let home = Home::new();
    for arguments in
        [&["costs", "--rest"][..], &["costs", "--tickets-per-day", "5"], &["costs", "--aws", "--customer", "C-1"]]
    {
        assert_eq!(home.run(arguments).code, Some(2), "{arguments:?}");
    }
    assert!(home.ok(&["costs", "--aws"]).contains("a month for 1000 tickets a day"));
}
