use super::*;
use crate::guard::Pseudonyms;

fn check(text: &str, expected: &str) {
    let redacted = redact(&Untrusted::new(text.to_owned()), &Redaction::built_in());
    assert_eq!(redacted.as_str(), expected);
}

fn tenant() -> Tenant {
    Tenant::from_json(
        br#"{"tenant_id":"t","name":"T","teams":[{"id":"a","name":"A"}],
            "categories":[{"id":"c","name":"C","description":"c","team":"a"}],
            "entities":[{"name":"patient","pattern":"\\bPAT[0-9]+\\b","sensitive":true}]}"#,
    )
    .unwrap()
}

#[test]
fn people_and_secrets_are_covered_and_the_rest_stays() {
    check("Ana (ana@example.org, +49 30 5550 1234)", "Ana ([email], [phone])");
    check(
        "card 4111 1111 1111 1111 for ORD-88213, $49.90 on 2026-11-02",
        "card [card_number] for ORD-88213, $49.90 on 2026-11-02",
    );
    check("from 10.0.0.1: password: hunter2", "from [ip_address]: password: [secret]");
    check("é🙂a@b.co\u{301}\u{202e}", "é🙂[email]\u{301}\u{202e}");
    check("", "");
}

#[test]
fn a_tenant_s_own_kind_can_be_covered() {
    let tenant = tenant();
    let text = Untrusted::new("PAT123 and PAT9".to_owned());
    let redacted = redact(&text, &Redaction::of(&tenant));
    assert_eq!(redacted.to_string(), "[patient] and [patient]");
    assert_eq!(redacted.covered()[1].range, 11..15);
    assert_eq!(serde_json::to_string(&redacted).unwrap(), "\"[patient] and [patient]\"");
    let entities = entities::extract(&tenant, &text);
    assert_eq!(entities.of("patient").iter().map(|entity| entity.value.as_str()).collect::<Vec<_>>(), ["****", "****"]);
}

#[test]
fn more_of_a_tenant_s_own_than_are_looked_at_are_covered_as_one() {
    let text = Untrusted::new("PAT1 ".repeat(1_000));
    let redacted = redact(&text, &Redaction::of(&tenant()));
    assert!(!redacted.as_str().contains("PAT1"));
}

#[test]
fn a_model_sees_the_same_stand_in_for_the_same_words() {
    let mut pseudonyms = Pseudonyms::default();
    let redaction = Redaction::built_in();
    let first = pseudonyms.cover(&Untrusted::new("a@b.co, c@d.org, a@b.co, [email_2]".to_owned()), &redaction);
    assert_eq!(first.for_storage(), "[email_1], [email_3], [email_1], [email_2]");
    let later = pseudonyms.cover(&Untrusted::new("again c@d.org".to_owned()), &redaction);
    assert_eq!(later.for_storage(), "again [email_3]");
    let answer = Untrusted::new("I wrote to [email_3] and [[email_9]".to_owned());
    assert_eq!(pseudonyms.restore(&answer).for_storage(), "I wrote to c@d.org and [[email_9]");
    assert_eq!(format!("{pseudonyms:?}"), "Pseudonyms(2)");
}
