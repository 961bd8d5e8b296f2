//! `extract_entities`: numbers, names and amounts in a ticket, by the built-in recognisers and the tenant's own.
//!
//! [`find`] gives the places of everything it recognises, and both uses stand on it: [`extract`] keeps what a decision
//! needs, [`crate::guard::redact`] covers what a log must not have. Names of persons are not recognised: without a model
//! that would be guessing. Digits are ASCII digits; other scripts' are left alone.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use crate::{
    ids::{EntityKind, ServiceId},
    limits,
    tenants::{Recogniser, Tenant},
    tickets::{Entity, Span},
    untrusted::{Closed, Untrusted},
};

mod cards;
mod dates;
mod emails;
mod finder;
mod ibans;
mod kinds;
mod label;
mod mask;
pub mod measure;
mod money;
mod network;
mod numbers;
mod patterns;
mod phones;
mod secrets;
mod tax_ids;
#[cfg(test)]
mod tests;

pub use kinds::{BUILT_IN_KINDS, Privacy, is_built_in};
pub use money::amount;

use finder::{Hit, Reading, Taken};
use kinds::{BUILT_IN, BuiltIn, FIRST};

/// What was found, by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entities(pub BTreeMap<EntityKind, Vec<Entity>>);

impl Closed for Entities {}

/// Something recognised, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'t> {
    /// What it is.
    pub kind: &'t EntityKind,
    /// The word that stands for it in a redacted text.
    pub stand_in: &'t str,
    /// Who may see it.
    pub privacy: Privacy,
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// Its one form, where that is certain.
    pub normalized: Option<String>,
}

/// Finds everything in `text` that the tenant's recognisers and the built-in ones know, in order and without overlaps.
///
/// Earlier kinds take their text away from later ones: secrets, cards and bank accounts first, so that no other kind can
/// keep one in clear; then the tenant's own; then the rest, from the most certain form to the least. Stand-ins of a text
/// that has been redacted already (`[email]`) are left alone and part the text as any other finding does.
pub fn find<'t>(tenant: &'t [Recogniser], text: &str) -> Vec<Found<'t>> {
    let mut taken = Taken::new(text);
    taken.add(stand_ins(tenant, text).map(|range| (range, None)).collect());
    let (first, rest) = BUILT_IN.split_at(FIRST);
    for built_in in first {
        take(built_in, text, &mut taken);
    }
    for recogniser in tenant {
        let mut new = Vec::new();
        for gap in taken.gaps() {
            for range in matches(recogniser, &text[gap.clone()]) {
                let range = gap.start + range.start..gap.start + range.end;
                new.push((range.clone(), Some(found_by(recogniser, range))));
            }
        }
        taken.add(new);
    }
    for built_in in rest {
        take(built_in, text, &mut taken);
    }
    taken.into_ranges().into_iter().filter_map(|(_, found)| found).collect()
}

/// Finds entities in `text`, each once, at most [`limits::ENTITIES_PER_KIND`] of a kind. What must not be kept in clear is
/// masked.
pub fn extract(tenant: &Tenant, text: &Untrusted<String>) -> Entities {
    text.read_as(|text| {
        let mut entities = Entities::default();
        let mut seen = HashSet::new();
        let mut chars = Chars { text, byte: 0, count: 0 };
        for found in find(&tenant.recognisers, text) {
            let span = Span { start: chars.up_to(found.range.start), end: chars.up_to(found.range.end) };
            let written = &text[found.range.clone()];
            let Some(entity) = entity(&found, written, span) else { continue };
            let values = entities.0.entry(found.kind.clone()).or_default();
            if values.len() < limits::ENTITIES_PER_KIND && seen.insert((found.kind, written)) {
                values.push(entity);
            }
        }
        entities
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

/// What is kept of a finding; nothing of one too long to be looked at.
fn entity(found: &Found<'_>, written: &str, span: Span) -> Option<Entity> {
    if found.privacy == Privacy::Sensitive {
        return Some(Entity { value: mask::mask(written, found.stand_in), normalized: None, span: Some(span) });
    }
    let fits = written.chars().count() <= limits::ENTITY_CHARS && !written.chars().any(char::is_control);
    fits.then(|| Entity { value: written.to_owned(), normalized: found.normalized.clone(), span: Some(span) })
}

fn take<'t>(built_in: &'static BuiltIn, text: &str, taken: &mut Taken<Option<Found<'t>>>) {
    let mut new = Vec::new();
    let mut hits = Vec::new();
    for gap in taken.gaps() {
        (built_in.find)(&text[gap.clone()], &mut hits);
        for Hit { range, reading } in hits.drain(..) {
            let range = gap.start + range.start..gap.start + range.end;
            let found = match reading {
                Reading::Is(normalized) => Some(Found {
                    kind: &built_in.kind,
                    stand_in: built_in.stand_in,
                    privacy: built_in.privacy,
                    range: range.clone(),
                    normalized,
                }),
                Reading::OnlyLooks => None,
            };
            new.push((range, found));
        }
    }
    taken.add(new);
}

/// The places of a tenant's pattern, at most [`limits::MATCHES_PER_KIND`] of them: a pattern may need time square in the text
/// to find all. When there are more and they are sensitive, all the rest counts as one.
fn matches(recogniser: &Recogniser, text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for captures in recogniser.pattern.captures_iter(text).take(limits::MATCHES_PER_KIND) {
        let Some(place) = captures.get(1).or_else(|| captures.get(0)) else { continue };
        let trimmed = place.as_str().trim();
        let start = place.start() + (place.len() - place.as_str().trim_start().len());
        if !trimmed.is_empty() {
            ranges.push(start..start + trimmed.len());
        }
    }
    if let (true, Some(last)) = (recogniser.sensitive && ranges.len() >= limits::MATCHES_PER_KIND, ranges.last_mut()) {
        last.end = text.len();
    }
    ranges
}

fn found_by(recogniser: &Recogniser, range: Range<usize>) -> Found<'_> {
    let privacy = if recogniser.sensitive { Privacy::Sensitive } else { Privacy::Open };
    Found { kind: &recogniser.kind, stand_in: recogniser.kind.as_str(), privacy, range, normalized: None }
}

/// The stand-ins that a redaction has left in `text`: `[email]`, or `[email_3]`.
pub(crate) fn stand_ins<'a>(tenant: &'a [Recogniser], text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    text.match_indices('[').filter_map(move |(start, _)| {
        let inside = &text[start + 1..];
        let length = inside.bytes().take(STAND_IN_BYTES).position(|byte| byte == b']')?;
        let name = &inside[..length];
        let unnumbered = name.trim_end_matches(|char: char| char.is_ascii_digit()).trim_end_matches('_');
        let is_known = |name: &str| {
            BUILT_IN.iter().any(|known| known.privacy != Privacy::Open && known.stand_in == name)
                || tenant.iter().any(|own| own.sensitive && own.kind.as_str() == name)
        };
        (is_known(name) || is_known(unnumbered)).then_some(start..start + length + 2)
    })
}

/// The longest name of a kind, with a number.
const STAND_IN_BYTES: usize = 64 + 8;

/// Counts characters along a text, forwards only, so that all spans together cost one walk.
struct Chars<'a> {
    text: &'a str,
    byte: usize,
    count: u32,
}

impl Chars<'_> {
    fn up_to(&mut self, byte: usize) -> u32 {
        let more = self.text[self.byte..byte].chars().count();
        self.count = self.count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.byte = byte;
        self.count
    }
}
