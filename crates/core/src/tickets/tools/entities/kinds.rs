//! The kinds that every tenant has, in the order in which they read a text.

use std::sync::LazyLock;

use super::{cards, dates, emails, finder::Finder, ibans, money, network, patterns, phones, secrets, tax_ids};
use crate::ids::EntityKind;

/// Who may see what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Tells nothing of a person by itself; stays in logs.
    Open,
    /// Tells of a person: kept in a decision, covered in logs.
    Personal,
    /// Does harm in wrong hands: masked in a decision, covered in logs.
    Sensitive,
}

/// A kind that every tenant has.
pub(super) struct BuiltIn {
    pub kind: EntityKind,
    pub stand_in: &'static str,
    pub privacy: Privacy,
    pub find: Finder,
}

/// The kinds that every tenant has.
pub const BUILT_IN_KINDS: [&str; 15] = [
    "secrets",
    "ibans",
    "card_numbers",
    "account_numbers",
    "service_ids",
    "order_numbers",
    "emails",
    "urls",
    "ip_addresses",
    "tax_ids",
    "dates",
    "money",
    "phones",
    "addresses",
    "error_codes",
];

/// So many of them come before the tenant's own.
pub(super) const FIRST: usize = 3;

pub(super) static BUILT_IN: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    use Privacy::{Open, Personal, Sensitive};
    let rows: [(&'static str, Privacy, Finder); 15] = [
        ("secret", Sensitive, secrets::FIND),
        ("iban", Sensitive, ibans::FIND),
        ("card_number", Sensitive, cards::FIND),
        ("account_number", Open, patterns::FIND_ACCOUNTS),
        ("service_id", Open, patterns::FIND_SERVICES),
        ("order_number", Open, patterns::FIND_ORDERS),
        ("email", Personal, emails::FIND),
        ("url", Personal, network::FIND_URLS),
        ("ip_address", Personal, network::FIND_IPS),
        ("tax_id", Sensitive, tax_ids::FIND),
        ("date", Open, dates::FIND),
        ("money", Open, money::FIND),
        ("phone", Personal, phones::FIND),
        ("address", Personal, patterns::FIND_ADDRESSES),
        ("error_code", Open, patterns::FIND_ERROR_CODES),
    ];
    let named = BUILT_IN_KINDS.iter().zip(rows);
    named
        .map(|(name, (stand_in, privacy, find))| {
            // invariant: the names above are slugs; every use of the table checks them
            let kind = name.parse().unwrap_or_else(|_| unreachable!("`{name}` is a slug"));
            BuiltIn { kind, stand_in, privacy, find }
        })
        .collect()
});

/// Whether every tenant has this kind.
pub fn is_built_in(kind: &EntityKind) -> bool {
    BUILT_IN_KINDS.contains(&kind.as_str())
}
