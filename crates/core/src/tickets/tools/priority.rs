//! `calculate_priority`: a weighted score from 0 to 100, with each term explained.

use crate::{
    ids::ServiceId,
    ports::{Customer, PastDecision, StatusReport},
    tenants::Tenant,
    tickets::{PriorityLevel, PriorityTerm, Sentiment, Severity},
};

/// What the score is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// Why.
    pub severity_reason: &'a str,
    /// How the customer feels.
    pub sentiment: Sentiment,
    /// Who the customer is, when known.
    pub customer: Option<&'a Customer>,
    /// What is known of the services that the ticket names.
    pub status: Option<&'a StatusReport>,
    /// Those services.
    pub services: &'a [ServiceId],
    /// The customer's earlier decisions.
    pub history: &'a [PastDecision],
    /// The largest amount that the ticket names.
    pub amount: Option<f64>,
}

/// How urgent a ticket is.
#[derive(Clone, Debug, PartialEq)]
pub struct Priority {
    /// The level.
    pub level: PriorityLevel,
    /// The score, 0 to 100.
    pub score: f64,
    /// Its terms.
    pub terms: Vec<PriorityTerm>,
}

/// Scores the facts by the tenant's weights: each term counts with its share of all weights.
pub fn calculate(tenant: &Tenant, facts: &Facts<'_>) -> Priority {
    let config = &tenant.config.priority;
    let weights = &config.weights;
    let rated = [
        ("severity", weights.severity, severity(facts)),
        ("vip", weights.vip, vip(facts)),
        ("outage", weights.outage, outage(facts)),
        ("sentiment", weights.sentiment, sentiment(facts)),
        ("history", weights.history, history(facts)),
        ("money", weights.money, money(facts, config.money_ceiling.0)),
        ("service_level", weights.service_level, service_level(tenant, facts)),
    ];
    let total: f64 = rated.iter().map(|(_, weight, _)| weight).sum();
    let terms: Vec<_> = rated
        .into_iter()
        .map(|(term, weight, (value, reason))| {
            let weight = weight / total;
            PriorityTerm {
                term: term.to_owned(),
                value: round(value, 4),
                weight: round(weight, 4),
                points: round(100.0 * weight * value, 2),
                reason,
            }
        })
        .collect();
    let score = round(terms.iter().map(|term| term.points).sum::<f64>().clamp(0.0, 100.0), 2);
    let levels = &config.levels;
    let level = if score >= levels.critical {
        PriorityLevel::Critical
    } else if score >= levels.high {
        PriorityLevel::High
    } else if score >= levels.medium {
        PriorityLevel::Medium
    } else {
        PriorityLevel::Low
    };
    Priority { level, score, terms }
}

fn severity(facts: &Facts<'_>) -> (f64, String) {
    let value = match facts.severity {
        Severity::Low => 0.1,
        Severity::Medium => 0.4,
        Severity::High => 0.75,
        Severity::Critical => 1.0,
    };
    (value, format!("severity is {}: {}", facts.severity, facts.severity_reason))
}

fn vip(facts: &Facts<'_>) -> (f64, String) {
    match facts.customer {
        Some(customer) if customer.is_vip => (1.0, "the customer is a VIP".to_owned()),
        Some(_) => (0.0, "the customer is no VIP".to_owned()),
        None => (0.0, "the customer is not known".to_owned()),
    }
}

fn outage(facts: &Facts<'_>) -> (f64, String) {
    let Some(status) = facts.status else { return (0.0, "the service status is not known".to_owned()) };
    let ids = |list: &[crate::ports::Outage]| list.iter().map(|one| one.id.clone()).collect::<Vec<_>>().join(", ");
    if !status.outages.is_empty() {
        (1.0, format!("an active outage touches the ticket: {}", ids(&status.outages)))
    } else if !status.known_issues.is_empty() {
        (0.5, format!("a known issue touches the ticket: {}", ids(&status.known_issues)))
    } else if facts.services.is_empty() {
        (0.0, "the ticket names no service".to_owned())
    } else {
        (0.0, "the services that the ticket names are not disturbed".to_owned())
    }
}

fn sentiment(facts: &Facts<'_>) -> (f64, String) {
    let value = match facts.sentiment {
        Sentiment::Negative => 1.0,
        Sentiment::Neutral => 0.3,
        Sentiment::Positive => 0.0,
    };
    (value, format!("the tone is {}", facts.sentiment))
}

fn history(facts: &Facts<'_>) -> (f64, String) {
    let earlier = facts.history.len();
    let pressing = facts.history.iter().filter(|past| past.priority >= PriorityLevel::High).count();
    // Three earlier tickets, or two pressing ones, say as much as more of them would.
    let value = (earlier as f64 / 3.0).max(pressing as f64 / 2.0).min(1.0);
    let reason = match (earlier, pressing) {
        (0, _) => "no earlier tickets".to_owned(),
        (_, 0) => format!("{earlier} earlier tickets"),
        _ => format!("{earlier} earlier tickets, {pressing} of them pressing"),
    };
    (value, reason)
}

fn money(facts: &Facts<'_>, ceiling: f64) -> (f64, String) {
    match facts.amount {
        Some(amount) => ((amount / ceiling).clamp(0.0, 1.0), format!("the largest amount named is {amount:.2}")),
        None => (0.0, "no amount is named".to_owned()),
    }
}

fn service_level(tenant: &Tenant, facts: &Facts<'_>) -> (f64, String) {
    let Some(customer) = facts.customer else { return (0.0, "the kind of account is not known".to_owned()) };
    let level = tenant.config.service_levels.iter().find(|level| level.account_type == customer.account_type);
    let urgency = level.map_or(0.0, |level| level.urgency);
    (urgency, format!("the account is {}", customer.account_type))
}

/// Rounds to `digits` after the point, so that stored figures are short and the same everywhere.
pub fn round(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant() -> Tenant {
        Tenant::from_json(
            br#"{"tenant_id":"t","name":"T","teams":[{"id":"a","name":"A"}],
                "categories":[{"id":"c","name":"C","description":"c","team":"a"}],
                "service_levels":[{"account_type":"business","urgency":0.6}]}"#,
        )
        .unwrap()
    }

    fn customer(is_vip: bool) -> Customer {
        let account_type = "business".parse().unwrap();
        Customer { customer_id: "c".parse().unwrap(), is_vip, account_type, language: None }
    }

    fn outage() -> StatusReport {
        let outage = crate::ports::Outage {
            id: "OUT-1".into(),
            service_ids: vec!["SVC1".parse().unwrap()],
            title: String::new(),
        };
        StatusReport { outages: vec![outage], ..StatusReport::default() }
    }

    #[test]
    fn a_vip_in_an_outage_is_critical_and_each_term_is_explained() {
        let (customer, status) = (customer(true), outage());
        let facts = Facts {
            severity: Severity::Critical,
            severity_reason: "usual for the category",
            sentiment: Sentiment::Negative,
            customer: Some(&customer),
            status: Some(&status),
            services: &["SVC1".parse().unwrap()],
            history: &[],
            amount: Some(250.0),
        };
        let priority = calculate(&tenant(), &facts);
        assert_eq!((priority.level, priority.score), (PriorityLevel::Critical, 88.5));
        let lines: Vec<_> =
            priority.terms.iter().map(|term| format!("{} {} {}", term.term, term.points, term.reason)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn knowing_nothing_is_still_a_priority() {
        let facts = Facts {
            severity: Severity::Low,
            severity_reason: "usual for the category",
            sentiment: Sentiment::Neutral,
            customer: None,
            status: None,
            services: &[],
            history: &[],
            amount: None,
        };
        let priority = calculate(&tenant(), &facts);
        assert_eq!((priority.level, priority.score), (PriorityLevel::Low, 6.5));
    }

    proptest! {
        #[test]
        fn the_score_stays_in_range_and_worse_facts_never_lower_it(
            severity in 0usize..4, vip: bool, with_outage: bool, amount in 0.0..1e9f64,
        ) {
            let (tenant, customer, status) = (tenant(), customer(vip), outage());
            let facts = |severity, with_outage: bool, amount| Facts {
                severity,
                severity_reason: "",
                sentiment: Sentiment::Neutral,
                customer: Some(&customer),
                status: with_outage.then_some(&status),
                services: &[],
                history: &[],
                amount,
            };
            let score = calculate(&tenant, &facts(Severity::ALL[severity], with_outage, Some(amount))).score;
            prop_assert!((0.0..=100.0).contains(&score));
            prop_assert!(calculate(&tenant, &facts(Severity::Critical, true, Some(1e12))).score >= score);
            prop_assert!(calculate(&tenant, &facts(Severity::Low, false, None)).score <= score);
        }
    }
}
