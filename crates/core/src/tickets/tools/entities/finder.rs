//! How recognisers share a text: each sees only what the earlier ones have left.

use std::ops::Range;

/// A place where a recogniser found something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Bytes of the text that the recogniser was given.
    pub range: Range<usize>,
    /// What it turned out to be.
    pub reading: Reading,
}

/// What a recogniser made of a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// One of its kind, with its one form where that is certain.
    Is(Option<String>),
    /// It only looks like one, and is not to be read as anything else either: a date that does not exist is no phone number.
    OnlyLooks,
}

/// Finds everything of one kind in a piece of text, in order and without overlaps, in time linear in the piece.
pub(super) type Finder = fn(&str, &mut Vec<Hit>);

impl Hit {
    /// Something of the kind, without a form of its own.
    pub(super) fn plain(range: Range<usize>) -> Self {
        Self { range, reading: Reading::Is(None) }
    }
}

/// The ranges of a text that are spoken for, in order, each with what it holds.
pub(super) struct Taken<T> {
    length: usize,
    ranges: Vec<(Range<usize>, T)>,
}

impl<T> Taken<T> {
    pub(super) fn new(text: &str) -> Self {
        Self { length: text.len(), ranges: Vec::new() }
    }

    /// The pieces between the ranges, in order. For a recogniser their edges are the edges of a text.
    pub(super) fn gaps(&self) -> Vec<Range<usize>> {
        let mut gaps = Vec::with_capacity(self.ranges.len() + 1);
        let mut from = 0;
        for (range, _) in &self.ranges {
            if from < range.start {
                gaps.push(from..range.start);
            }
            from = range.end;
        }
        if from < self.length {
            gaps.push(from..self.length);
        }
        gaps
    }

    /// Adds ranges that lie in gaps, given in order.
    pub(super) fn add(&mut self, new: Vec<(Range<usize>, T)>) {
        if !new.is_empty() {
            self.ranges.extend(new);
            // Two sorted runs: the sort merges them in linear time.
            self.ranges.sort_by_key(|(range, _)| range.start);
        }
    }

    pub(super) fn into_ranges(self) -> Vec<(Range<usize>, T)> {
        self.ranges
    }
}

/// Whether neither neighbour of the range belongs to the same word.
pub(super) fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    !text[..range.start].chars().next_back().is_some_and(is_word)
        && !text[range.end..].chars().next().is_some_and(is_word)
}

/// A built-in pattern.
pub(super) fn pattern(pattern: &str) -> regex::Regex {
    // invariant: built-in patterns are constants, and a test runs them all
    regex::Regex::new(pattern).unwrap_or_else(|error| unreachable!("a built-in pattern is wrong: {error}"))
}
