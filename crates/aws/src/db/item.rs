//! Values to attributes and back.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use serde::{Serialize, de::DeserializeOwned};
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    time::Timestamp,
};

/// An item, or a key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A text.
pub(crate) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A whole number.
pub(crate) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A number with a point. What is nearer to zero than the service can hold is zero.
pub(crate) fn decimal(number: f64) -> AttributeValue {
    let held = if number.is_finite() && number.abs() > 1e-30 { number } else { 0.0 };
    AttributeValue::N(held.to_string())
}

/// A point in time, as milliseconds since 1970.
pub(crate) fn millis(time: Timestamp) -> AttributeValue {
    n(time.as_millis())
}

/// Yes or no.
pub(crate) fn flag(yes: bool) -> AttributeValue {
    AttributeValue::Bool(yes)
}

/// Bytes.
pub(crate) fn b(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// An item of these attributes.
pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A key of one attribute.
pub(crate) fn key(name: &str, value: impl Into<String>) -> Item {
    item([(name, s(value))])
}

/// A key of two attributes.
pub(crate) fn pair(hash: &str, value: impl Into<String>, range: &str, sort: impl Into<String>) -> Item {
    item([(hash, s(value)), (range, s(sort))])
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "a record cannot be written as JSON").caused_by(error))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    // Without its cause, which may quote the record, and so a customer.
    serde_json::from_str(text).map_err(|_| corrupt(what))
}

/// An item does not have what was once written into it.
pub(crate) fn corrupt(what: &'static str) -> Error {
    Error::new(ErrorKind::Internal, format!("an item of the tables is damaged: {what}"))
}

/// Reads attributes.
pub(crate) trait Read {
    /// The text, when there is one.
    fn text(&self, name: &str) -> Option<&str>;

    /// The number, when there is one.
    fn number<T: FromStr>(&self, name: &str) -> Option<T>;

    /// The bytes, when there are some.
    fn bytes(&self, name: &str) -> Option<&[u8]>;

    /// Whether there is anything of that name.
    fn has(&self, name: &str) -> bool;

    /// Whether it says yes.
    fn is(&self, name: &str) -> bool;

    /// A text that must be there.
    fn needed(&self, name: &'static str) -> Result<&str> {
        self.text(name).ok_or_else(|| corrupt(name))
    }

    /// An id or a word that must be there.
    fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T> {
        self.needed(name)?.parse().map_err(|_| corrupt(name))
    }

    /// An id or a word, when there is one.
    fn optional<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        self.text(name).map(|text| text.parse().map_err(|_| corrupt(name))).transpose()
    }

    /// A record that must be there.
    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T> {
        from_json(name, self.needed(name)?)
    }

    /// A point in time, when there is one.
    fn time(&self, name: &str) -> Option<Timestamp> {
        self.number(name).map(Timestamp::from_millis)
    }

    /// A point in time that must be there.
    fn needed_time(&self, name: &'static str) -> Result<Timestamp> {
        self.time(name).ok_or_else(|| corrupt(name))
    }

    /// A point in time, when there is one; what is there and is none is damaged.
    fn optional_time(&self, name: &'static str) -> Result<Option<Timestamp>> {
        if self.has(name) { self.needed_time(name).map(Some) } else { Ok(None) }
    }
}

impl Read for Item {
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(super::text_of)
    }

    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok())
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.get(name).and_then(|value| value.as_b().ok()).map(AsRef::as_ref)
    }

    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }

    fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.as_bool() == Ok(&true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_held_to_the_last_bit_or_is_zero() {
        for number in [0.1 + 0.2, 99.999_999_9, 1.0e-7, 62.5, 0.0] {
            let item = Item::from([("a".to_owned(), decimal(number))]);
            assert_eq!(item.number::<f64>("a"), Some(number));
        }
        for nothing in [f64::NAN, f64::MIN_POSITIVE, f64::INFINITY] {
            let item = Item::from([("a".to_owned(), decimal(nothing))]);
            assert_eq!(item.number::<f64>("a"), Some(0.0), "{nothing}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let item = item([("a", s("x"))]);
        assert_eq!(item.needed("a").unwrap(), "x");
        assert!(item.needed("b").unwrap_err().report().contains("damaged: b"));
        assert!(item.parsed::<u64>("a").is_err());
        assert_eq!(item.optional::<u64>("b").unwrap(), None);
        assert_eq!(item.optional_time("b").unwrap(), None);
        assert!(item.optional_time("a").is_err(), "an end that cannot be read is not no end");
    }
}
