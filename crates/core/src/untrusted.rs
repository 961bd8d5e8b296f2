//! Text from outside, and the few ways out of it.
//!
//! [`Untrusted`] wraps everything that somebody outside wrote: a customer's words, a web hook's fields, an answer of
//! another system. It has no `Display`, `Deref`, `AsRef`, `PartialEq<str>` or `Serialize`, and its `Debug` prints only
//! the length, so that it cannot slip into a prompt, a command or a log line.
//!
//! The ways out, all of them:
//! - [`Untrusted::read_as`] turns it into a [`Closed`] value: an enum, a validated id, a bounded number;
//! - [`Untrusted::for_person`] shows it to somebody who may see it; the medium escapes it; [`shown`] is the same for a
//!   field of a record that is shown and stored;
//! - [`Untrusted::for_storage`] hands it to a store, which gives it back as `Untrusted`;
//! - [`crate::models::Part::Quoted`] puts it into a prompt, in quotes that it cannot end, for a model that can at worst choose
//!   among what the program offers it, and whose answer is untrusted again;
//! - [`crate::guard::redact()`] covers personal data and secrets and gives a [`crate::guard::Redacted`], which may be logged and
//!   is nothing to obey.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that came from outside and may not steer anything.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Untrusted<T>(T);

impl<T> Untrusted<T> {
    /// Marks `value` as coming from outside. Anybody may do this: it only takes rights away.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Reads the value into a closed type. `read` must be total: whatever the text, it returns.
    pub fn read_as<C: Closed>(&self, read: impl FnOnce(&T) -> C) -> C {
        read(&self.0)
    }

    /// The value for the eyes of a person who may see it. The medium (JSON, HTML, a terminal) escapes it.
    pub fn for_person(&self) -> ForPerson<'_, T> {
        ForPerson(&self.0)
    }

    /// The bare value for a store to keep. What comes back from the store is `Untrusted` again.
    pub fn for_storage(&self) -> &T {
        &self.0
    }
}

impl Untrusted<String> {
    /// The bare text for `guard` alone, which gives out only what it has covered.
    pub(crate) fn for_redaction(&self) -> &str {
        &self.0
    }

    /// The bare text for `models` alone, which quotes it for a prompt.
    pub(crate) fn for_model(&self) -> &str {
        &self.0
    }

    /// The first `chars` characters; as untrusted as the whole.
    pub fn begin(&self, chars: usize) -> Self {
        Self(self.0.chars().take(chars).collect())
    }

    /// Appends what comes next of the same text; the result is as untrusted as its parts.
    pub fn push(&mut self, more: &Self) {
        self.0.push_str(&more.0);
    }

    /// Joins two texts with a blank line; the result is as untrusted as its parts.
    pub fn join(&self, other: &Self) -> Self {
        let mut joined = String::with_capacity(self.0.len() + other.0.len() + 2);
        joined.push_str(&self.0);
        joined.push_str("\n\n");
        joined.push_str(&other.0);
        Self(joined)
    }
}

impl<T: Measured> fmt::Debug for Untrusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untrusted({} bytes)", self.0.measure())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Untrusted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// Untrusted text on its way to a person: it can be serialised, and nothing else is offered.
#[derive(Clone, Copy)]
pub struct ForPerson<'a, T>(&'a T);

impl<T: Serialize> Serialize for ForPerson<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Clone> ForPerson<'_, T> {
    /// An owned copy, for a medium that does its own escaping (a terminal table, a ticketing system's note).
    pub fn to_owned_text(self) -> T {
        self.0.clone()
    }
}

/// For `serialize_with`: a record that is shown to people or stored names each untrusted field that goes along.
pub(crate) fn shown<T: Serialize, S: Serializer>(value: &Untrusted<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.for_person().serialize(serializer)
}

/// As [`shown`], for a field that may be absent.
pub(crate) fn shown_if_any<T: Serialize, S: Serializer>(
    value: &Option<Untrusted<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Untrusted::for_person).serialize(serializer)
}

/// A type whose values cannot carry free text: enums, validated ids, bounded numbers and dates, short pieces that a pattern
/// has let through, and collections of them. Implementing it is a promise that a reviewer checks.
pub trait Closed {}

impl Closed for bool {}
impl Closed for u32 {}
impl Closed for u64 {}
impl Closed for usize {}
impl Closed for () {}
impl<C: Closed> Closed for Option<C> {}
impl<C: Closed> Closed for Vec<C> {}
impl<C: Closed, E: Closed> Closed for Result<C, E> {}
impl<A: Closed, B: Closed> Closed for (A, B) {}

/// Size in bytes, all that `Debug` may tell of an untrusted value.
pub trait Measured {
    /// Bytes of the value.
    fn measure(&self) -> usize;
}

impl Measured for String {
    fn measure(&self) -> usize {
        self.len()
    }
}

impl Measured for std::collections::BTreeMap<String, String> {
    fn measure(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_only_the_length() {
        let text = Untrusted::new("my password is hunter2".to_owned());
        assert_eq!(format!("{text:?}"), "Untrusted(22 bytes)");
    }

    #[test]
    fn the_compiler_refuses_every_other_way_out() {
        trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
    }
}
