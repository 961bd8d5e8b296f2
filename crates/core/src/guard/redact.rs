//! Covers personal data and secrets, on the same spans that [`entities::find`] gives to decisions.

use std::{collections::HashSet, fmt, ops::Range};

use serde::{Serialize, Serializer};

use crate::{
    ids::EntityKind,
    tenants::{Recogniser, Tenant},
    tickets::tools::entities::{self, Privacy},
    untrusted::Untrusted,
};

#[cfg(test)]
mod tests;

/// Covering a piece can make its neighbour readable as something more; so often the rest is looked at again. Each look needs
/// something found in the look before, and one is nearly always enough.
const LOOKS: usize = 4;

/// What is covered: all personal and sensitive kinds, and the tenant's own that are marked sensitive. Dates, money, orders,
/// accounts, services and error codes stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redaction<'t> {
    recognisers: &'t [Recogniser],
}

impl<'t> Redaction<'t> {
    /// The built-in kinds alone, where no tenant is known.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// The built-in kinds and the tenant's.
    pub fn of(tenant: &'t Tenant) -> Self {
        Self { recognisers: &tenant.recognisers }
    }
}

/// A text that may be logged: what the recognisers know is covered, the rest is as it was, byte for byte. It is still the
/// words of somebody outside, and no instruction: where a model reads, use [`super::Pseudonyms`].
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted {
    text: String,
    covered: Vec<Covered>,
}

/// A covered piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// What it was.
    pub kind: EntityKind,
    /// Its bytes in the text before.
    pub range: Range<usize>,
}

/// Replaces each piece of personal data by the word for it, such as `[email]`. Redacting twice changes nothing more, and the
/// time grows with the text and no faster.
pub fn redact(text: &Untrusted<String>, redaction: &Redaction<'_>) -> Redacted {
    let text = text.for_redaction();
    let pieces = pieces(text, redaction);
    let covered = pieces.iter().map(|piece| Covered { kind: piece.kind.clone(), range: piece.range.clone() }).collect();
    Redacted { text: replace(text, &pieces, |piece| format!("[{}]", piece.stand_in)), covered }
}

impl Redacted {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What was covered, in order.
    pub fn covered(&self) -> &[Covered] {
        &self.covered
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for Redacted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A piece to cover.
pub(super) struct Piece<'t> {
    pub kind: &'t EntityKind,
    pub stand_in: &'t str,
    pub range: Range<usize>,
}

/// The pieces of `text` to cover, in order and without overlaps, such that the text without them has no more of them.
pub(super) fn pieces<'t>(text: &str, redaction: &Redaction<'t>) -> Vec<Piece<'t>> {
    let mut pieces = look(text, redaction);
    for _ in 1..LOOKS {
        if pieces.is_empty() {
            break;
        }
        let again = look(&replace(text, &pieces, |piece| format!("[{}]", piece.stand_in)), redaction);
        if again.is_empty() {
            break;
        }
        let mut places = Places::new(&pieces);
        let more: Vec<_> =
            again.into_iter().map(|piece| Piece { range: places.before_covering(piece.range), ..piece }).collect();
        pieces.extend(more);
        pieces.sort_by_key(|piece| piece.range.start);
    }
    pieces
}

fn look<'t>(text: &str, redaction: &Redaction<'t>) -> Vec<Piece<'t>> {
    let found = entities::find(redaction.recognisers, text).into_iter();
    found
        .filter(|found| found.privacy != Privacy::Open)
        .map(|found| Piece { kind: found.kind, stand_in: found.stand_in, range: found.range })
        .collect()
}

/// `text` with each piece replaced.
pub(super) fn replace(text: &str, pieces: &[Piece<'_>], mut by: impl FnMut(&Piece<'_>) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut from = 0;
    for piece in pieces {
        replaced.push_str(&text[from..piece.range.start]);
        replaced.push_str(&by(piece));
        from = piece.range.end;
    }
    replaced.push_str(&text[from..]);
    replaced
}

/// The stand-ins that `text` has already, so that new ones are told apart from them.
pub(super) fn stand_ins<'a>(text: &'a str, redaction: &Redaction<'a>) -> HashSet<&'a str> {
    entities::stand_ins(redaction.recognisers, text).map(|range| &text[range]).collect()
}

/// Finds the way back from a place in the covered text to the text before; forwards only. A finding in the covered text lies
/// between two stand-ins, never across one.
struct Places<'p, 't> {
    pieces: std::slice::Iter<'p, Piece<'t>>,
    next: Option<&'p Piece<'t>>,
    covered_end: usize,
    plain_end: usize,
}

impl<'p, 't> Places<'p, 't> {
    fn new(pieces: &'p [Piece<'t>]) -> Self {
        let mut pieces = pieces.iter();
        let next = pieces.next();
        Self { pieces, next, covered_end: 0, plain_end: 0 }
    }

    fn before_covering(&mut self, range: Range<usize>) -> Range<usize> {
        while let Some(piece) = self.next {
            let covered_start = self.covered_end + (piece.range.start - self.plain_end);
            if range.start < covered_start {
                break;
            }
            self.covered_end = covered_start + piece.stand_in.len() + 2;
            self.plain_end = piece.range.end;
            self.next = self.pieces.next();
        }
        let start = self.plain_end + (range.start - self.covered_end);
        start..start + range.len()
    }
}
