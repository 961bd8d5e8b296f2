//! How well the recognisers do on texts whose entities are known.

use std::{collections::BTreeMap, ops::Range};

/// A piece of a text, by its bytes, with its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The kind.
    pub kind: String,
    /// Its bytes.
    pub range: Range<usize>,
}

/// How many of a kind were found, and how many of those found are of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Known ones that something found of the same kind touches.
    pub found: usize,
    /// Known ones.
    pub known: usize,
    /// Known ones that were found with the same first and last byte.
    pub exact: usize,
    /// Findings that touch a known one of the same kind.
    pub right: usize,
    /// Findings.
    pub given: usize,
}

impl Score {
    /// The share of the known ones that was found; 1 when there are none.
    pub fn recall(&self) -> f64 {
        share(self.found, self.known)
    }

    /// The share of the findings that is right; 1 when there are none.
    pub fn precision(&self) -> f64 {
        share(self.right, self.given)
    }

    /// The harmonic mean of both.
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    }
}

/// Holds what was found in each text against what is known of it. Touching counts, because where a number ends is a matter
/// of taste (brackets, a time after a date); `exact` says how often both agree.
pub fn measure<'a>(rows: impl IntoIterator<Item = (&'a [Marked], &'a [Marked])>) -> BTreeMap<String, Score> {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    for (known, given) in rows {
        for one in known {
            let score = scores.entry(one.kind.clone()).or_default();
            score.known += 1;
            score.found += usize::from(given.iter().any(|other| touch(one, other)));
            score.exact += usize::from(given.contains(one));
        }
        for one in given {
            let score = scores.entry(one.kind.clone()).or_default();
            score.given += 1;
            score.right += usize::from(known.iter().any(|other| touch(one, other)));
        }
    }
    scores
}

fn touch(one: &Marked, other: &Marked) -> bool {
    one.kind == other.kind && one.range.start < other.range.end && other.range.start < one.range.end
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(kind: &str, range: Range<usize>) -> Marked {
        Marked { kind: kind.to_owned(), range }
    }

    #[test]
    fn touching_counts_and_kinds_are_apart() {
        let known = [marked("phones", 0..10), marked("phones", 20..30), marked("emails", 40..50)];
        let given = [marked("phones", 2..10), marked("phones", 40..50), marked("emails", 40..50)];
        let scores = measure([(&known[..], &given[..])]);
        assert_eq!(scores["phones"], Score { found: 1, known: 2, exact: 0, right: 1, given: 2 });
        assert_eq!(scores["emails"], Score { found: 1, known: 1, exact: 1, right: 1, given: 1 });
        assert_eq!(scores["phones"].f1(), 0.5);
        assert_eq!(Score::default().precision(), 1.0);
    }
}
