use super::*;

pub(super) fn tenant() -> Tenant {
    Tenant::from_json(
        br#"{"tenant_id":"t","name":"T","teams":[{"id":"a","name":"A"}],
            "categories":[{"id":"c","name":"C","description":"c","team":"a"}],
            "entities":[{"name":"modem_serial","pattern":"\\bMDM-[0-9A-F]{8}\\b"}]}"#,
    )
    .unwrap()
}

pub(super) fn check(text: &str, expected: &str) {
    let found = extract(&tenant(), &Untrusted::new(text.to_owned()));
    let lines: Vec<String> = found
        .0
        .iter()
        .flat_map(|(kind, values)| values.iter().map(move |value| (kind, value)))
        .map(|(kind, value)| match &value.normalized {
            Some(form) => format!("{kind}={}→{form}", value.value),
            None => format!("{kind}={}", value.value),
        })
        .collect();
    assert_eq!(lines.join("; "), expected, "{text}");
}

#[test]
fn all_built_in_patterns_compile_and_are_named() {
    let mut kinds: Vec<_> = BUILT_IN.iter().map(|recogniser| recogniser.kind.as_str()).collect();
    kinds.sort_unstable();
    let mut named = BUILT_IN_KINDS;
    named.sort_unstable();
    assert_eq!(kinds, named);
}

#[test]
fn numbers_are_told_apart() {
    check("ACC-12345 on SVC204 shows ERR-504", "account_numbers=ACC-12345; error_codes=ERR-504; service_ids=SVC204");
    check("order ORD-88213, modem MDM-00FF12AB", "modem_serial=MDM-00FF12AB; order_numbers=ORD-88213");
    check("ACC- and SVC and A-1 and xACC-12", "");
}

#[test]
fn money_has_one_form() {
    check("charged $1,200.50 twice", "money=$1,200.50→1200.50 USD");
    check("49,90 € statt 39,90 EUR", "money=49,90 €→49.90 EUR; money=39,90 EUR→39.90 EUR");
    check("1.299,00 euros", "money=1.299,00 euros→1299.00 EUR");
    check("it cost £5", "money=£5→5.00 GBP");
    check("$1,200 credit", "money=$1,200→1200.00 USD");
}

#[test]
fn dates_phones_and_mails() {
    check("since 2026-11-02 and 3.11.2026", "dates=2026-11-02→2026-11-02; dates=3.11.2026→2026-11-03");
    check("on 05/06/2026", "dates=05/06/2026");
    check("on 25/06/2026", "dates=25/06/2026→2026-06-25");
    check("am 31.02.2026", "");
    check("call +1 (555) 010-4477 now", "phones=+1 (555) 010-4477→+15550104477");
    check("Tel. 030 5550 1234", "phones=030 5550 1234");
    check("I have 12 phones and 1234567 points", "");
    check("mail ana.lopez@example.org please", "emails=ana.lopez@example.org→ana.lopez@example.org");
}

#[test]
fn addresses_in_three_languages() {
    check("I live at 12 Harbour View Road", "addresses=12 Harbour View Road");
    check("Lindenstraße 14 bitte", "addresses=Lindenstraße 14");
    check("vivo en Calle Mayor 23", "addresses=Calle Mayor 23");
}

#[test]
fn findings_are_bounded() {
    let text = (0..500).map(|n| format!("ERR-{n} ")).collect::<String>();
    let found = extract(&tenant(), &Untrusted::new(text));
    assert_eq!(found.of("error_codes").len(), limits::ENTITIES_PER_KIND);
}

mod corpus;
mod properties;
mod public_set;
mod validation;
