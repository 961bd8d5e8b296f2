use serde_json::{Value, json};

use super::*;
use crate::{json::parse, tickets::write_back::reviewed_update};

fn tenant() -> Tenant {
    let config = json!({
        "tenant_id": "acme", "name": "Acme",
        "teams": [{"id": "billing", "name": "Billing"}, {"id": "support", "name": "Support"}],
        "categories": [
            {"id": "invoice", "name": "Invoice", "team": "billing", "examples": ["I was charged twice"]},
            {"id": "outage", "name": "Outage", "team": "support", "examples": ["everything is down"]},
        ],
    });
    Tenant::from_json(config.to_string().as_bytes()).unwrap()
}

/// An outage that a rule has given to billing.
fn decision() -> Decision {
    let decision = json!({
        "decision_id": "01KABCDEFGHJKMNPQRSTVWXYZ0", "ticket_id": "T-1", "timestamp": "2026-11-20T08:00:00Z",
        "customer_id": "C-1", "assigned_team": "billing", "priority_level": "medium", "priority_score": 40.0,
        "priority_terms": [], "confidence_score": 0.4,
        "issue_classification": {
            "primary_category": "outage", "severity": "high", "sentiment": "neutral", "probabilities": [],
        },
        "entities": {}, "reasoning": "Assigned to Billing by a rule.", "requires_manual_review": true,
        "review_reasons": [], "findings": [], "decided_by": "rule", "model": "m", "processing_time_ms": 1.0,
        "tool_calls": [], "tokens": {"input": 0, "output": 0}, "cost_usd": 0.0, "correlation_id": "c",
        "config_version": "0123456789abcdef", "created_at": "2026-11-20T08:00:00Z", "ttl": 0,
    });
    serde_json::from_value(decision).unwrap()
}

fn wish(body: Value) -> Result<Wish, Vec<FieldError>> {
    parse::<ReviewDraft>(body.to_string().as_bytes()).unwrap().check(&tenant())
}

fn check(body: Value, team: &str, priority: &str, category: &str) {
    let assignment = wish(body.clone()).unwrap().assignment(&decision(), &tenant());
    let seen = (assignment.team.as_str(), assignment.priority.word(), assignment.category.as_str());
    assert_eq!(seen, (team, priority, category), "{body}");
}

fn review(category: &str, former: &[&str]) -> Review {
    let record = json!({
        "review_id": "01KABCDEFGHJKMNPQRSTVWXYZ1", "ticket_id": "T-1", "decision_id": "01KABCDEFGHJKMNPQRSTVWXYZ0",
        "reviewer": {"kind": "key", "id": "0123456789abcdef", "name": "console"}, "at": "2026-11-20T09:00:00Z",
        "team": "support", "priority": "medium", "category": category, "note": "one\ntwo",
        "changed": {"team": true, "priority": false, "category": category != "outage"},
        "decided": {"team": "billing", "priority": "medium", "category": "outage"},
        "former_categories": former, "correlation_id": "c",
    });
    let review: Review = serde_json::from_value(record.clone()).unwrap();
    let mut shown = serde_json::to_value(&review).unwrap();
    shown["at"] = record["at"].clone();
    if former.is_empty() {
        shown["former_categories"] = json!([]);
    }
    assert_eq!(shown, record, "a review is written as it was read");
    review
}

#[test]
fn what_is_absent_is_as_decided() {
    check(json!({}), "billing", "medium", "outage");
    check(json!({"priority": "critical"}), "billing", "critical", "outage");
    check(json!({"team": "support"}), "support", "medium", "outage");
}

#[test]
fn another_category_brings_its_team_unless_one_is_given() {
    let decided_elsewhere = json!({"category": "invoice", "team": "support"});
    check(decided_elsewhere, "support", "medium", "invoice");
    check(json!({"category": "invoice"}), "billing", "medium", "invoice");
    check(json!({"category": "outage"}), "billing", "medium", "outage");
}

#[test]
fn unknown_names_are_told_shortly() {
    let long = "x".repeat(10_000);
    let mistakes = wish(json!({"team": long, "category": "\u{1b}[2J"})).err().unwrap();
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            format!("/team: team `{}` does not exist; there are: billing, support", "x".repeat(64)),
            "/category: category `[2J` does not exist; there are: invoice, outage".to_owned(),
        ]
    );
}

#[test]
fn labels_of_every_category_that_was_named_go_and_those_that_hold_stay() {
    let first = review("invoice", &[]);
    let update = reviewed_update(&decision(), &first);
    assert_eq!(update.remove_tags, ["needs_review", "category_outage"]);
    let now = |category: &str| Assignment { category: category.parse().unwrap(), ..first.assignment.clone() };
    let former = |review: &Review, category| {
        former_categories(Some(review), &now(category)).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(former(&first, "contract"), ["invoice"]);
    assert_eq!(former(&first, "invoice"), Vec::<String>::new());
    let second = review("contract", &["invoice"]);
    assert_eq!(former(&second, "outage"), ["contract", "invoice"]);
    assert_eq!(
        reviewed_update(&decision(), &second).remove_tags,
        ["needs_review", "category_invoice", "category_outage"]
    );
}

#[test]
fn the_note_marks_what_the_person_wrote() {
    let note = reviewed_update(&decision(), &review("invoice", &[])).note;
    assert_eq!(
        note,
        "Corrected by console: team support (was billing), priority medium, category invoice (was outage).\n\
         > one\n> two\n\nWhat was decided before: Assigned to Billing by a rule."
    );
}

#[test]
fn a_reviewer_is_told_by_name_or_by_key() {
    let key = |name: &str| Reviewer::Key { id: "0123456789abcdef".parse().unwrap(), name: name.to_owned() };
    assert_eq!(key("console").to_string(), "console");
    assert_eq!(key(" ").to_string(), "key 0123456789abcdef");
    assert_eq!(Reviewer::Operator.to_string(), "the operator");
}
