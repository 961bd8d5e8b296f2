//! `extract_entities`: numbers, names and amounts in a ticket, by the built-in recognisers and the tenant's own.

use std::{collections::BTreeMap, ops::Range, sync::LazyLock};

use crate::{
    ids::{EntityKind, ServiceId},
    limits,
    tenants::{Recogniser, Tenant},
    tickets::Entity,
    untrusted::{Closed, Untrusted},
};

mod normalize;

pub use normalize::amount;

/// The kinds that every tenant has.
pub const BUILT_IN_KINDS: [&str; 9] = [
    "account_numbers",
    "service_ids",
    "order_numbers",
    "emails",
    "dates",
    "money",
    "phones",
    "addresses",
    "error_codes",
];

/// What was found, by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entities(pub BTreeMap<EntityKind, Vec<Entity>>);

impl Closed for Entities {}

// Earlier kinds take their text away from later ones: an account number is no error code, a date is no phone number.
// Word boundaries are ASCII ones: Unicode's would take the engine off its fast path in every text with an umlaut.
static BUILT_IN: LazyLock<Vec<Recogniser>> = LazyLock::new(|| {
    const PATTERNS: [(&str, &str); 9] = [
        ("account_numbers", r"(?-u:\b)ACC-[0-9]{1,20}(?-u:\b)"),
        ("service_ids", r"(?-u:\b)SVC[0-9]{1,20}(?-u:\b)"),
        ("order_numbers", r"(?i)(?-u:\b)((?:ORD|ORDER|PO)[-#][0-9]{3,20})(?-u:\b)"),
        ("emails", r"(?-u:\b)[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}(?-u:\b)"),
        (
            "dates",
            r"(?x)(?-u:\b)(?:[0-9]{4}-[0-9]{2}-[0-9]{2} | [0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4} | [0-9]{1,2}/[0-9]{1,2}/[0-9]{4}
              | (?i:[0-9]{1,2}\.?(?-u:\s)(?:de(?-u:\s))?(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez
                  |ene|abr|ago|dic)[a-zà-ž]{0,8}(?:(?-u:\s)(?:de(?-u:\s))?[0-9]{4})?))(?-u:\b)",
        ),
        (
            "money",
            r"(?x)(?:(?:US\$|[$€£])(?-u:\s)?[0-9]{1,3}(?:[.,'\ ]?[0-9]{3}){0,3}(?:[.,][0-9]{1,2})?(?-u:\b)
              | (?-u:\b)[0-9]{1,3}(?:[.,']?[0-9]{3}){0,3}(?:[.,][0-9]{1,2})?(?-u:\s)?(?:[$€£] | (?i:usd|eur|gbp|euros?|dollars?|dólares)(?-u:\b)))",
        ),
        ("phones", r"(?:\+|(?-u:\b)00|\B\(|(?-u:\b))[0-9][0-9 \t()./-]{6,20}[0-9](?-u:\b)"),
        (
            "addresses",
            r"(?x)(?-u:\b)[0-9]{1,5}(?-u:\s)(?:[A-Z][A-Za-zÀ-ž]{1,30}(?-u:\s)){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Way|Court|Square)(?-u:\b)
              | (?-u:\b)[A-ZÄÖÜ][A-Za-zÀ-ž-]{1,40}(?:straße|strasse|str\.|weg|platz|allee|gasse)(?-u:\s)[0-9]{1,4}[a-z]?(?-u:\b)
              | (?-u:\b)(?:Calle|Avenida|Av\.|Plaza|Paseo)(?-u:\s)(?:[A-Za-zÀ-ž]{1,30}(?-u:\s)?){1,4},?(?-u:\s)?[0-9]{1,4}(?-u:\b)",
        ),
        ("error_codes", r"(?-u:\b)[A-Z]{2,12}-[0-9]{1,8}(?-u:\b)"),
    ];
    // invariant: the patterns and names above are valid; a test compiles them all
    let compile = |(kind, pattern): &(&str, &str)| Recogniser::new(kind.parse().ok()?, pattern).ok();
    PATTERNS.iter().filter_map(compile).collect()
});

/// Whether every tenant has this kind.
pub fn is_built_in(kind: &EntityKind) -> bool {
    BUILT_IN_KINDS.contains(&kind.as_str())
}

/// Finds entities in `text`, each once, at most [`limits::ENTITIES_PER_KIND`] of a kind. The tenant's own patterns come
/// first, then the built-in ones; what one has taken, the next one does not see.
pub fn extract(tenant: &Tenant, text: &Untrusted<String>) -> Entities {
    text.read_as(|text| {
        let mut taken = Vec::new();
        let mut found = Entities::default();
        for recogniser in tenant.recognisers.iter().chain(BUILT_IN.iter()) {
            find(recogniser, text, &mut taken, &mut found);
        }
        found
    })
}

impl Entities {
    /// The values of a kind.
    pub fn of(&self, kind: &str) -> &[Entity] {
        self.0.iter().find(|(name, _)| name.as_str() == kind).map_or(&[], |(_, values)| values)
    }

    /// The services that the ticket names.
    pub fn services(&self) -> Vec<ServiceId> {
        let ids = self.of("service_ids").iter().filter_map(|entity| entity.value.parse().ok());
        ids.take(limits::STATUS_SERVICES).collect()
    }

    /// The largest amount of money that the ticket names.
    pub fn largest_amount(&self) -> Option<f64> {
        self.of("money")
            .iter()
            .filter_map(|entity| amount(&entity.value))
            .map(|(value, _)| value)
            .max_by(f64::total_cmp)
    }
}

fn find(recogniser: &Recogniser, text: &str, taken: &mut Vec<Range<usize>>, found: &mut Entities) {
    let before = taken.len();
    for captures in recogniser.pattern.captures_iter(text).take(limits::MATCHES_PER_KIND) {
        let Some(place) = captures.get(1).or_else(|| captures.get(0)) else { continue };
        let range = place.range();
        if range.is_empty() || taken[..before].iter().any(|other| other.start < range.end && range.start < other.end) {
            continue;
        }
        let value = place.as_str().trim();
        if value.chars().count() > limits::ENTITY_CHARS || value.chars().any(char::is_control) {
            continue;
        }
        // What only looks like one is not given to a later kind either: a date that does not exist is no phone number.
        taken.push(range);
        let normalized = match normalize::normalize(recogniser.kind.as_str(), value) {
            normalize::Verdict::Form(form) => Some(form),
            normalize::Verdict::AsWritten => None,
            normalize::Verdict::NotOne => continue,
        };
        let values = found.0.entry(recogniser.kind.clone()).or_default();
        let entity = Entity { value: value.to_owned(), normalized };
        if values.len() < limits::ENTITIES_PER_KIND && !values.contains(&entity) {
            values.push(entity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        Tenant::from_json(
            br#"{"tenant_id":"t","name":"T","teams":[{"id":"a","name":"A"}],
                "categories":[{"id":"c","name":"C","description":"c","team":"a"}],
                "entities":[{"name":"modem_serial","pattern":"\\bMDM-[0-9A-F]{8}\\b"}]}"#,
        )
        .unwrap()
    }

    fn check(text: &str, expected: &str) {
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
        check(
            "ACC-12345 on SVC204 shows ERR-504",
            "account_numbers=ACC-12345; error_codes=ERR-504; service_ids=SVC204",
        );
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
}
