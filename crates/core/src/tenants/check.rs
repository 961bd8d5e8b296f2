//! Every mistake of a configuration, each with its place and its remedy.

use std::collections::HashSet;

use regex::Regex;

use super::{
    config::{CustomersConfig, DeskConfig, RuleConditions, ServiceStatusConfig, TenantConfig, WebhookRepeats},
    models,
    recogniser::{self, Recogniser},
};
use crate::{
    error::FieldError,
    json::nearest,
    limits,
    tickets::tools::entities::{BUILT_IN_KINDS, is_built_in},
};

type Compiled = (Vec<Recogniser>, Vec<Option<Regex>>);

/// Checks `config` and compiles its patterns.
pub(super) fn check(config: &TenantConfig) -> Result<Compiled, Vec<FieldError>> {
    let mut mistakes = Mistakes::default();
    check_teams_and_categories(config, &mut mistakes);
    check_rules(config, &mut mistakes);
    check_numbers(config, &mut mistakes);
    check_places(config, &mut mistakes);
    check_hooks(config, &mut mistakes);
    models::check(&config.models, &mut mistakes);
    let recognisers = compile_recognisers(config, &mut mistakes);
    let rule_keywords = compile_keywords(config, &mut mistakes);
    if mistakes.0.is_empty() { Ok((recognisers, rule_keywords)) } else { Err(mistakes.0) }
}

#[derive(Default)]
pub(super) struct Mistakes(Vec<FieldError>);

impl Mistakes {
    pub(super) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    pub(super) fn add_unknown<'a>(
        &mut self,
        pointer: String,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) {
        let detail = match nearest(name, known.clone()) {
            Some(near) => format!("{what} `{name}` does not exist; did you mean `{near}`?"),
            None => {
                format!("{what} `{name}` does not exist; there are: {}", known.collect::<Vec<_>>().join(", "))
            }
        };
        self.add(pointer, detail);
    }
}

fn check_teams_and_categories(config: &TenantConfig, mistakes: &mut Mistakes) {
    if config.name.trim().is_empty() {
        mistakes.add("/name", "is empty; give the tenant a name for people");
    }
    if config.teams.is_empty() {
        mistakes.add("/teams", "is empty; tickets need at least one team");
    }
    if config.categories.is_empty() {
        mistakes.add("/categories", "is empty; tickets need at least one category");
    }
    let mut seen = HashSet::new();
    for (n, team) in config.teams.iter().enumerate() {
        if !seen.insert(&team.id) {
            mistakes.add(format!("/teams/{n}/id"), format!("team `{}` is there twice", team.id));
        }
    }
    let mut seen = HashSet::new();
    for (n, category) in config.categories.iter().enumerate() {
        if !seen.insert(&category.id) {
            mistakes.add(format!("/categories/{n}/id"), format!("category `{}` is there twice", category.id));
        }
        if !config.teams.iter().any(|team| team.id == category.team) {
            let known = config.teams.iter().map(|team| team.id.as_str());
            mistakes.add_unknown(format!("/categories/{n}/team"), "team", category.team.as_str(), known);
        }
        if category.description.trim().is_empty() && category.examples.iter().all(|text| text.trim().is_empty()) {
            let detail = "has neither a description nor examples; nothing could be classified as it";
            mistakes.add(format!("/categories/{n}"), detail);
        }
    }
}

fn check_rules(config: &TenantConfig, mistakes: &mut Mistakes) {
    for (n, rule) in config.routing_rules.iter().enumerate() {
        if !config.teams.iter().any(|team| team.id == rule.team) {
            let known = config.teams.iter().map(|team| team.id.as_str());
            mistakes.add_unknown(format!("/routing_rules/{n}/team"), "team", rule.team.as_str(), known);
        }
        if let Some(category) = &rule.when.category
            && !config.categories.iter().any(|known| known.id == *category)
        {
            let known = config.categories.iter().map(|category| category.id.as_str());
            mistakes.add_unknown(format!("/routing_rules/{n}/when/category"), "category", category.as_str(), known);
        }
        if let Some(kind) = &rule.when.entity
            && !is_built_in(kind)
            && !config.entities.iter().any(|entity| entity.name == *kind)
        {
            let known = BUILT_IN_KINDS.iter().copied().chain(config.entities.iter().map(|entity| entity.name.as_str()));
            mistakes.add_unknown(format!("/routing_rules/{n}/when/entity"), "entity", kind.as_str(), known);
        }
        if is_empty(&rule.when) {
            mistakes.add(format!("/routing_rules/{n}/when"), "has no condition; it would take every ticket");
        }
        if rule.when.any_keyword.iter().any(|word| word.trim().is_empty()) {
            mistakes.add(format!("/routing_rules/{n}/when/any_keyword"), "has an empty keyword; remove it");
        }
    }
}

fn is_empty(when: &RuleConditions) -> bool {
    let RuleConditions { any_keyword, category, entity, channel, language, vip, account_type, outage } = when;
    any_keyword.is_empty()
        && category.is_none()
        && entity.is_none()
        && channel.is_none()
        && language.is_none()
        && vip.is_none()
        && account_type.is_none()
        && outage.is_none()
}

fn check_numbers(config: &TenantConfig, mistakes: &mut Mistakes) {
    let weights = &config.priority.weights;
    let named = [
        ("severity", weights.severity),
        ("vip", weights.vip),
        ("outage", weights.outage),
        ("sentiment", weights.sentiment),
        ("history", weights.history),
        ("money", weights.money),
        ("service_level", weights.service_level),
    ];
    for (name, weight) in named {
        if !(0.0..=1_000_000.0).contains(&weight) {
            mistakes.add(format!("/priority/weights/{name}"), "must be a number from 0 to 1000000");
        }
    }
    if named.iter().all(|(_, weight)| *weight == 0.0) {
        mistakes.add("/priority/weights", "are all 0; at least one term must count");
    }
    let levels = &config.priority.levels;
    if !(0.0 < levels.medium
        && levels.medium < levels.high
        && levels.high < levels.critical
        && levels.critical <= 100.0)
    {
        mistakes.add("/priority/levels", "must rise: 0 < medium < high < critical <= 100");
    }
    if !(config.priority.money_ceiling.0 > 0.0 && config.priority.money_ceiling.0.is_finite()) {
        mistakes.add("/priority/money_ceiling", "must be over 0");
    }
    for (n, level) in config.service_levels.iter().enumerate() {
        if !(0.0..=1.0).contains(&level.urgency) {
            mistakes.add(format!("/service_levels/{n}/urgency"), "must be from 0 to 1");
        }
    }
    let quotas = &config.quotas;
    for (name, quota) in [
        ("tickets_per_day", quotas.tickets_per_day),
        ("tickets_per_customer_per_day", quotas.tickets_per_customer_per_day),
    ] {
        if quota == Some(0) {
            mistakes.add(format!("/quotas/{name}"), "must be at least 1; leave it out for no quota");
        }
    }
    for (name, number) in
        [("after_reviews", config.learning.after_reviews), ("every_hours", config.learning.every_hours)]
    {
        if number == 0 {
            mistakes.add(
                format!("/learning/{name}"),
                "must be at least 1; to train by hand only, set `automatic` to false",
            );
        }
    }
    if !(0.0..=1.0).contains(&config.review.precision) {
        mistakes.add("/review/precision", "must be from 0 to 1, such as 0.97");
    }
}

fn check_places(config: &TenantConfig, mistakes: &mut Mistakes) {
    if let CustomersConfig::Http { url, .. } = &config.customers {
        check_url("/customers/url", url, mistakes);
    }
    match &config.service_status {
        ServiceStatusConfig::None => {}
        ServiceStatusConfig::File { path } => check_path("/service_status/path", path, mistakes),
        ServiceStatusConfig::Http { url, .. } => check_url("/service_status/url", url, mistakes),
    }
    match &config.desk {
        DeskConfig::None => {}
        DeskConfig::Folder { path } => check_path("/desk/path", path, mistakes),
        DeskConfig::Webhook { url, repeats, look_up, .. } => {
            check_url("/desk/url", url, mistakes);
            if let Some(template) = look_up {
                check_look_up(template, *repeats, mistakes);
            }
        }
        DeskConfig::Zendesk { url, email, .. } => {
            check_url("/desk/url", url, mistakes);
            if !email.contains('@') {
                mistakes.add("/desk/email", "must be the e-mail address of an agent");
            }
            for (n, team) in config.teams.iter().enumerate() {
                if team.desk_group.as_deref().is_none_or(|group| group.parse::<u64>().is_err()) {
                    let detail = format!("team `{}` needs the number of its Zendesk group", team.id);
                    mistakes.add(format!("/teams/{n}/desk_group"), detail);
                }
            }
        }
    }
}

fn check_hooks(config: &TenantConfig, mistakes: &mut Mistakes) {
    const POINTER: &str = "/hooks/generic/secrets";
    let Some(hook) = &config.hooks.generic else { return };
    if !(1..=limits::WEBHOOK_SECRETS).contains(&hook.secrets.len()) {
        mistakes.add(POINTER, "must name one secret, or two while one replaces the other");
    }
    let mut seen = HashSet::new();
    for (n, name) in hook.secrets.iter().enumerate() {
        if !seen.insert(name) {
            mistakes.add(format!("{POINTER}/{n}"), format!("secret `{name}` is there twice"));
        }
    }
}

pub(super) fn check_url(pointer: &str, text: &str, mistakes: &mut Mistakes) {
    let good = text.len() <= limits::URL_CHARS
        && url::Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.host().is_some()
                && url.username().is_empty()
                && url.password().is_none()
        });
    if !good {
        mistakes.add(pointer, "must be an http or https URL with a host and without a user");
    }
}

fn check_look_up(template: &str, repeats: WebhookRepeats, mistakes: &mut Mistakes) {
    const POINTER: &str = "/desk/look_up";
    check_url(POINTER, template, mistakes);
    // The key must not choose the host, nor be lost in a fragment.
    let place = |key: &str| url::Url::parse(&template.replace("{key}", key)).ok();
    let is_good = template.matches("{key}").count() == 1
        && place("a").zip(place("b")).is_some_and(|(a, b)| {
            a.host() == b.host() && a.port() == b.port() && (a.path() != b.path() || a.query() != b.query())
        });
    if !is_good {
        mistakes.add(POINTER, "must have {key} once, in its path or query");
    }
    if repeats == WebhookRepeats::Safe {
        mistakes.add(POINTER, "is asked only where `repeats` is `never`; set that or leave this out");
    }
}

fn check_path(pointer: &str, text: &str, mistakes: &mut Mistakes) {
    let path = std::path::Path::new(text);
    let inside = !text.is_empty() && path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        mistakes.add(pointer, "must be a relative path inside the tenant's folder");
    }
}

fn compile_recognisers(config: &TenantConfig, mistakes: &mut Mistakes) -> Vec<Recogniser> {
    let mut recognisers = Vec::with_capacity(config.entities.len());
    let mut seen = HashSet::new();
    for (n, entity) in config.entities.iter().enumerate() {
        if is_built_in(&entity.name) || !seen.insert(&entity.name) {
            mistakes.add(format!("/entities/{n}/name"), format!("entity `{}` is there already", entity.name));
        }
        match Recogniser::new(entity.name.clone(), &entity.pattern, entity.sensitive) {
            Ok(recogniser) if recogniser.pattern.is_match("") => {
                mistakes.add(format!("/entities/{n}/pattern"), "matches the empty text; make it ask for something");
            }
            Ok(recogniser) => recognisers.push(recogniser),
            Err(error) => mistakes.add(format!("/entities/{n}/pattern"), last_line(&error.to_string())),
        }
    }
    recognisers
}

fn compile_keywords(config: &TenantConfig, mistakes: &mut Mistakes) -> Vec<Option<Regex>> {
    let mut compiled = Vec::with_capacity(config.routing_rules.len());
    for (n, rule) in config.routing_rules.iter().enumerate() {
        if rule.when.any_keyword.is_empty() {
            compiled.push(None);
            continue;
        }
        match recogniser::keywords(&rule.when.any_keyword) {
            Ok(pattern) => compiled.push(Some(pattern)),
            Err(error) => {
                mistakes.add(format!("/routing_rules/{n}/when/any_keyword"), last_line(&error.to_string()));
            }
        }
    }
    compiled
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim().to_owned()
}
