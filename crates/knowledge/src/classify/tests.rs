use std::path::Path;

use switchboard_core::{tenants::Tenant, tickets::TicketRecord};

use super::*;

fn telecorp() -> Tenant {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/telecorp/config.json");
    Tenant::from_json(&std::fs::read(path).unwrap()).unwrap()
}

fn classify(classifier: &NearestExample, tenant: &Tenant, text: &str) -> Classification {
    let record: TicketRecord = serde_json::from_value(serde_json::json!({
        "ticket_id": "T-1", "customer_id": "C-1", "subject": text, "description": text,
        "timestamp": "2026-11-20T00:00:00Z", "accepted_at": "2026-11-20T00:00:00Z", "correlation_id": "c",
    }))
    .unwrap();
    classifier.classify(tenant, &record.into()).unwrap()
}

#[test]
fn plain_tickets_find_their_category_in_three_languages() {
    let (classifier, tenant) = (NearestExample::new(), telecorp());
    let check = |text: &str, category: &str, language: &str| {
        let answer = classify(&classifier, &tenant, text);
        assert_eq!(answer.categories[0].category.as_str(), category, "{text}: {answer:?}");
        assert_eq!(answer.language.unwrap().as_str(), language, "{text}");
    };
    check("I want to cancel my contract at the end of the month", "cancellation", "en");
    check("He olvidado mi contraseña y no puedo entrar en mi cuenta", "login_password", "es");
    check("Der Techniker ist heute nicht zum Termin gekommen", "technician_visit", "de");
}

#[test]
fn what_fits_nothing_is_not_claimed() {
    let (classifier, tenant) = (NearestExample::new(), telecorp());
    let sure = classify(&classifier, &tenant, "the internet is very slow in the evening").categories[0].probability;
    for text in ["xqzt vrrp", "a recipe for apple cake with cinnamon, please", "1234 5678"] {
        let answer = classify(&classifier, &tenant, text);
        assert!(answer.categories[0].probability < sure, "{text}: {:?}", answer.categories[0]);
        assert!(answer.categories[0].probability < 0.5, "{text}: {:?}", answer.categories[0]);
    }
}

#[test]
fn probabilities_are_a_distribution_whatever_the_text() {
    let (classifier, tenant) = (NearestExample::new(), telecorp());
    for text in ["", " ", "\u{202e}\u{0}🎉🎉", &"slow ".repeat(20_000)] {
        let answer = classify(&classifier, &tenant, text);
        let sum: f64 = answer.categories.iter().map(|one| one.probability).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{text:.20}: {sum}");
        assert_eq!(answer.categories.len(), tenant.config.categories.len());
    }
}

#[tokio::test]
async fn nearest_example_keeps_the_contract() {
    switchboard_testkit::contracts::classifier(async || NearestExample::new()).await;
}
