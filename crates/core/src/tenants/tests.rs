use super::*;

fn config(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut value = serde_json::json!({
        "tenant_id": "acme",
        "name": "Acme",
        "teams": [{"id": "billing", "name": "Billing"}, {"id": "support", "name": "Support"}],
        "categories": [{"id": "invoice", "name": "Invoice", "description": "about an invoice", "team": "billing"}],
        "routing_rules": [{"name": "legal", "when": {"any_keyword": ["lawyer"]}, "team": "support"}],
        "entities": [{"name": "serial", "pattern": "SN-\\d+"}],
    });
    change(&mut value);
    value.to_string().into_bytes()
}

fn check(change: impl FnOnce(&mut serde_json::Value), expected: &str) {
    assert_eq!(Tenant::from_json(&config(change)).unwrap_err().to_string(), expected);
}

#[test]
fn a_good_configuration_is_taken_and_its_version_follows_the_text() {
    let one = Tenant::from_json(&config(|_| {})).unwrap();
    let two = Tenant::from_json(&config(|value| value["name"] = "Acme 2".into())).unwrap();
    assert_eq!(one.team(&"billing".parse().unwrap()).unwrap().name, "Billing");
    assert_ne!(one.version, two.version);
}

#[test]
fn an_unknown_team_is_refused_by_name() {
    check(
        |value| value["routing_rules"][0]["team"] = "suport".into(),
        "/routing_rules/0/team: team `suport` does not exist; did you mean `support`?",
    );
    check(
        |value| value["categories"][0]["team"] = "zzzzzzzzz".into(),
        "/categories/0/team: team `zzzzzzzzz` does not exist; there are: billing, support",
    );
}

#[test]
fn each_mistake_names_its_place() {
    check(
        |value| value["teams"][0]["nmae"] = "x".into(),
        "/teams/0/nmae: unknown field `nmae`, expected one of `id`, `name`, `description`, `desk_group`; did you mean \
         `name`?",
    );
    check(
        |value| value["teams"][0]["id"] = "support".into(),
        "/teams/1/id: team `support` is there twice\n/categories/0/team: team `billing` does not exist; there are: support, support",
    );
    check(
        |value| value["routing_rules"][0]["when"] = serde_json::json!({}),
        "/routing_rules/0/when: has no condition; it would take every ticket",
    );
    check(|value| value["entities"][0]["pattern"] = "(".into(), "/entities/0/pattern: error: unclosed group");
    check(
        |value| value["entities"][0]["pattern"] = "a*".into(),
        "/entities/0/pattern: matches the empty text; make it ask for something",
    );
    check(
        |value| value["desk"] = serde_json::json!({"kind": "folder", "path": "../../etc"}),
        "/desk/path: must be a relative path inside the tenant's folder",
    );
    check(
        |value| value["desk"] = serde_json::json!({"kind": "webhook", "url": "ftp://x", "secret": "s"}),
        "/desk/url: must be an http or https URL with a host and without a user",
    );
    check(
        |value| value["priority"] = serde_json::json!({"levels": {"high": 10.0}}),
        "/priority/levels: must rise: 0 < medium < high < critical <= 100",
    );
    check(
        |value| value["quotas"] = serde_json::json!({"tickets_per_day": 0}),
        "/quotas/tickets_per_day: must be at least 1; leave it out for no quota",
    );
}

#[test]
fn a_pattern_that_would_explode_is_refused() {
    let huge = config(|value| value["entities"][0]["pattern"] = r"(\d{1,1000}){1,1000}".into());
    let mistakes = Tenant::from_json(&huge).unwrap_err().to_string();
    assert!(mistakes.starts_with("/entities/0/pattern: "), "{mistakes}");
}
