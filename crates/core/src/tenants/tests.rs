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
    for (secrets, mistake) in [
        (&[][..], "/hooks/generic/secrets: must name one secret, or two while one replaces the other"),
        (&["a", "b", "c"], "/hooks/generic/secrets: must name one secret, or two while one replaces the other"),
        (&["a", "a"], "/hooks/generic/secrets/1: secret `a` is there twice"),
    ] {
        check(|value| value["hooks"] = serde_json::json!({"generic": {"secrets": secrets}}), mistake);
    }
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

#[test]
fn keywords_are_words_and_no_patterns() {
    let words = |words: &[&str]| recogniser::keywords(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    let pattern = words(&["c++", ".*", "a|b", "[x"]).unwrap();
    for (text, found) in
        [("my C++ code", true), ("anything", false), ("a", false), ("a|b", true), ("x", false), ("[x", true)]
    {
        assert_eq!(pattern.is_match(text), found, "{text}");
    }
}

#[test]
fn a_look_up_has_its_key_in_path_or_query_and_is_for_receivers_that_forget() {
    let desk = |repeats: &str, look_up: &str| {
        let desk = serde_json::json!({
            "kind": "webhook", "url": "https://desk.example/hook", "secret": "hook", "repeats": repeats, "look_up": look_up,
        });
        config(|value| value["desk"] = desk)
    };
    for good in ["https://desk.example/hook/{key}", "https://desk.example/seen?id={key}&x=1"] {
        assert!(Tenant::from_json(&desk("never", good)).is_ok(), "{good}");
    }
    for bad in [
        "https://desk.example/hook",
        "https://{key}.example/hook",
        "https://desk.example:{key}/",
        "https://desk.example/hook#{key}",
        "https://desk.example/{key}/{key}",
        "ftp://desk.example/{key}",
    ] {
        let error = Tenant::from_json(&desk("never", bad)).unwrap_err().to_string();
        assert!(error.starts_with("/desk/look_up: "), "{bad}: {error}");
    }
    let error = Tenant::from_json(&desk("safe", "https://desk.example/{key}")).unwrap_err().to_string();
    assert!(error.contains("only where `repeats` is `never`"), "{error}");
    assert!(Tenant::from_json(&desk("often", "https://desk.example/{key}")).is_err());
}

/// A configuration whose `models` has these providers, this model for vectors, and more.
fn embedding(link: serde_json::Value, more: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    config(|value| {
        value["models"] = serde_json::json!({
            "providers": {"own": {"kind": "local"}, "openai": {"kind": "openai", "url": "https://api.openai.com/v1"}},
            "embed": link,
        });
        more(&mut value["models"]);
    })
}

#[test]
fn the_model_for_vectors_needs_a_budget_unless_it_costs_nothing() {
    let own = serde_json::json!({"provider": "own", "model": "all-MiniLM-L6-v2"});
    let tenant = Tenant::from_json(&embedding(own, |_| {})).unwrap();
    let link = tenant.config.models.embed.as_ref().unwrap();
    assert_eq!(link.price(&tenant.config.models), crate::models::ModelPrice::FREE);
    let paid = || serde_json::json!({"provider": "openai", "model": "text-embedding-3-small", "dimensions": 512});
    let mistake = Tenant::from_json(&embedding(paid(), |_| {})).unwrap_err().to_string();
    assert_eq!(mistake, "/models/budget: is missing; say what may be spent a month (`month_usd`)");
    let budget = |models: &mut serde_json::Value| models["budget"] = serde_json::json!({"month_usd": 5});
    let tenant = Tenant::from_json(&embedding(paid(), budget)).unwrap();
    let link = tenant.config.models.embed.as_ref().unwrap();
    assert_eq!((link.dimensions, link.price(&tenant.config.models).input), (Some(512), 0.02));
    let free = serde_json::json!({"provider": "openai", "model": "mine", "price": {"input": 0, "output": 0}});
    assert!(Tenant::from_json(&embedding(free, |_| {})).is_ok());
    // What is written comes back.
    let written = serde_json::to_value(&tenant.config.models).unwrap();
    assert_eq!((&written["providers"]["own"], &written["embed"]), (&serde_json::json!({"kind": "local"}), &paid()));
}

#[test]
fn mistakes_of_the_model_for_vectors_are_named() {
    let check = |link: serde_json::Value, expected: &str| {
        let mistake = Tenant::from_json(&embedding(link, |_| {})).unwrap_err().to_string();
        assert_eq!(mistake, expected);
    };
    check(
        serde_json::json!({"provider": "onw", "model": "m", "price": {"input": 0, "output": 0}}),
        "/models/embed/provider: provider `onw` does not exist; did you mean `own`?",
    );
    check(
        serde_json::json!({"provider": "own", "model": "e5", "dimensions": 100}),
        "/models/embed/model: must be `all-MiniLM-L6-v2`, the program's own\n/models/embed/dimensions: cannot be chosen for \
         the program's own model; leave it out",
    );
    check(
        serde_json::json!({"provider": "openai", "model": "m", "dimensions": 0, "price": {"input": 0, "output": 0}}),
        "/models/embed/dimensions: must be from 1 to 4096",
    );
    check(
        serde_json::json!({"provider": "openai", "model": " ", "price": {"input": 0, "output": -1}}),
        "/models/embed/model: must be the provider's name of the model, 1 to 256 bytes\n/models/embed/price: must be dollars \
         for a million tokens, from 0 on\n/models/budget: is missing; say what may be spent a month (`month_usd`)",
    );
    let unknown = Tenant::from_json(&embedding(serde_json::json!({"provider": "openai", "model": "m"}), |_| {}));
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.starts_with("/models/embed/price: is missing, and no price of this model is known"), "{unknown}");
    let chat = serde_json::json!([{"provider": "own", "model": "all-MiniLM-L6-v2"}]);
    let chat = config(|value| {
        let budget = serde_json::json!({"month_usd": 5});
        value["models"] = serde_json::json!({"providers": {"own": {"kind": "local"}}, "small": chat, "budget": budget});
    });
    assert_eq!(
        Tenant::from_json(&chat).unwrap_err().to_string(),
        "/models/small/0/provider: is of the kind `local`, which makes vectors and no words; name another provider",
    );
    let surplus = embedding(serde_json::json!(null), |models| models["providers"]["own"]["url"] = "x".into());
    assert!(Tenant::from_json(&surplus).unwrap_err().to_string().contains("unknown field `url`"));
}

#[test]
fn providers_of_bedrock_are_checked() {
    let with = |provider: serde_json::Value, model: &str| {
        let models = serde_json::json!({
            "providers": {"aws": provider}, "small": [{"provider": "aws", "model": model}], "budget": {"month_usd": 1},
        });
        Tenant::from_json(&config(|value| value["models"] = models)).map_err(|error| error.to_string())
    };
    let arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0";
    let region = |region: &str| serde_json::json!({"kind": "bedrock", "region": region});
    let guarded =
        |id: &str, version: &str| serde_json::json!({"kind": "bedrock", "guardrail": {"id": id, "version": version}});
    let guardrail_arn = "arn:aws:bedrock:eu-central-1:123456789012:guardrail/gr4a7b1c9d2e";
    for (provider, model) in [
        (serde_json::json!({"kind": "bedrock"}), "amazon.nova-lite-v1:0"),
        (region("us-gov-west-1"), "us.amazon.nova-lite-v1:0"),
        (guarded("gr4a7b1c9d2e", "1"), arn),
        (guarded(guardrail_arn, "DRAFT"), "amazon.nova-lite-v1:0"),
    ] {
        let tenant = with(provider, model).unwrap();
        let kept: ModelsConfig = serde_json::from_value(serde_json::to_value(&tenant.config.models).unwrap()).unwrap();
        assert_eq!(kept, tenant.config.models);
        assert_eq!(tenant.config.models.providers.values().next().unwrap().kind(), "bedrock");
    }
    let nova = "amazon.nova-lite-v1:0";
    let at = |error: String| error.split(": ").next().unwrap().to_owned();
    for bad in ["", "eu", "eu-central", "eu-central-", "eu-central-123", "EU-central-1", "x.evil.example/eu-1", "a--1"]
    {
        assert_eq!(at(with(region(bad), nova).unwrap_err()), "/models/providers/aws/region", "{bad}");
    }
    for bad in ["", "Gr4", "gr/4", "arn:aws:bedrock:eu-central-1:123456789012:guardrail/", "arn:other:guardrail/gr4"] {
        assert_eq!(at(with(guarded(bad, "1"), nova).unwrap_err()), "/models/providers/aws/guardrail/id", "{bad}");
    }
    for bad in ["", "0", "01", "draft", "1.0", "123456789"] {
        assert_eq!(
            at(with(guarded("gr4", bad), nova).unwrap_err()),
            "/models/providers/aws/guardrail/version",
            "{bad}"
        );
    }
    let error = with(serde_json::json!({"kind": "bedrock"}), "amazon.nova-lite-v1:0?x=1").unwrap_err();
    assert!(error.starts_with("/models/small/0/model: must be an id of Bedrock's"), "{error}");
    let error = with(serde_json::json!({"kind": "bedrock", "url": "https://x.example"}), nova).unwrap_err();
    assert!(error.contains("unknown field `url`"), "{error}");
}

#[test]
fn a_guardrail_is_borrowed_from_a_provider_that_has_one() {
    let of = |guardrail: &str| {
        let config = serde_json::json!({
            "tenant_id": "t", "name": "T", "teams": [{"id": "a", "name": "A"}],
            "categories": [{"id": "c", "name": "C", "description": "d", "team": "a"}],
            "models": {"providers": {
                "ours": {"kind": "openai", "url": "https://models.example.org/v1", "guardrail": guardrail},
                "aws": {"kind": "bedrock", "guardrail": {"id": "gr4a7b1c9d2e", "version": "1"}},
                "bare": {"kind": "bedrock"},
            }},
        });
        Tenant::from_json(config.to_string().as_bytes()).map(drop).map_err(|mistakes| mistakes.to_string())
    };
    assert_eq!(of("aws"), Ok(()));
    for (named, words) in [("bare", "no provider of kind `bedrock` with a `guardrail`"), ("awz", "did you mean `aws`?")]
    {
        let refused = of(named).unwrap_err();
        assert!(refused.contains("/models/providers/ours/guardrail") && refused.contains(words), "{refused}");
    }
}
