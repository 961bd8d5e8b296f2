//! `route_to_team`: the tenant's rules first, then the classifier.

use crate::{
    ids::TeamId,
    ports::{Customer, StatusReport},
    tenants::{RuleConditions, Tenant},
    tickets::{Classification, DecidedBy, Ticket},
    untrusted::Untrusted,
};

use super::entities::Entities;

/// What the choice is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The ticket.
    pub ticket: &'a Ticket,
    /// Its text, as recognisers read it.
    pub text: &'a Untrusted<String>,
    /// What it is about.
    pub classification: &'a Classification,
    /// What the recognisers found.
    pub entities: &'a Entities,
    /// Who the customer is, when known.
    pub customer: Option<&'a Customer>,
    /// What is known of the services that the ticket names.
    pub status: Option<&'a StatusReport>,
}

/// The team, how sure that is, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The team.
    pub team: TeamId,
    /// 0 to 1.
    pub confidence: f64,
    /// A rule or the classifier.
    pub decided_by: DecidedBy,
    /// Why, for people.
    pub reason: String,
}

/// Chooses the team. The first rule that fits decides; it is as sure as what it rests on. Without one, it is the
/// classifier's most probable team.
pub fn route(tenant: &Tenant, facts: &Facts<'_>) -> Routing {
    for (rule, keywords) in tenant.config.routing_rules.iter().zip(&tenant.rule_keywords) {
        if fits(&rule.when, keywords.as_ref(), facts) {
            let confidence = if rule.when.category.is_some() { top_probability(facts) } else { 1.0 };
            return Routing {
                team: rule.team.clone(),
                confidence,
                decided_by: DecidedBy::Rule,
                reason: format!("the rule \"{}\" fits", rule.name),
            };
        }
    }
    by_classifier(facts)
}

fn top_probability(facts: &Facts<'_>) -> f64 {
    facts.classification.categories.first().map_or(0.0, |top| top.probability)
}

fn by_classifier(facts: &Facts<'_>) -> Routing {
    let best = facts.classification.teams.iter().max_by(|one, other| one.probability.total_cmp(&other.probability));
    // invariant: a classification names at least one team
    let best = best.unwrap_or_else(|| unreachable!("a classification names a team"));
    let category = facts.classification.categories.first().map_or("?", |top| top.category.as_str());
    Routing {
        team: best.team.clone(),
        confidence: best.probability.clamp(0.0, 1.0),
        decided_by: facts.classification.decided_by,
        reason: match facts.classification.decided_by {
            DecidedBy::Small | DecidedBy::Large => format!("it reads as {category}"),
            DecidedBy::Local | DecidedBy::Person | DecidedBy::Rule => format!("the classifier reads it as {category}"),
        },
    }
}

fn fits(when: &RuleConditions, keywords: Option<&regex::Regex>, facts: &Facts<'_>) -> bool {
    let RuleConditions { any_keyword: _, category, entity, channel, language, vip, account_type, outage } = when;
    let classification = facts.classification;
    let spoken = facts.ticket.language.as_ref().or(classification.language.as_ref());
    keywords.is_none_or(|pattern| facts.text.read_as(|text| pattern.is_match(text)))
        && category.as_ref().is_none_or(|id| classification.categories.first().is_some_and(|top| top.category == *id))
        && entity.as_ref().is_none_or(|kind| facts.entities.0.contains_key(kind))
        && channel.as_ref().is_none_or(|channel| facts.ticket.channel.as_ref() == Some(channel))
        && language.as_ref().is_none_or(|language| spoken.is_some_and(|spoken| spoken.base() == language.base()))
        && vip.is_none_or(|vip| facts.customer.is_some_and(|customer| customer.is_vip == vip))
        && account_type
            .as_ref()
            .is_none_or(|kind| facts.customer.is_some_and(|customer| customer.account_type == *kind))
        && outage.is_none_or(|outage| facts.status.is_some_and(|status| status.outages.is_empty() != outage))
}
