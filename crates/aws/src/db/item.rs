//! Values to attributes and back.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::types::AttributeValue;
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

/// A key of one attribute.
pub(crate) fn key(name: &str, value: impl Into<String>) -> Item {
    HashMap::from([(name.to_owned(), s(value))])
}

/// A key of two attributes.
pub(crate) fn pair(hash: &str, value: impl Into<String>, range: &str, sort: impl Into<String>) -> Item {
    HashMap::from([(hash.to_owned(), s(value)), (range.to_owned(), s(sort))])
}

pub(crate) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "a record cannot be written as JSON").caused_by(error))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(what).caused_by(error))
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

    /// A point in time, when there is one.
    fn time(&self, name: &str) -> Option<Timestamp> {
        self.number(name).map(Timestamp::from_millis)
    }

    /// A point in time that must be there.
    fn needed_time(&self, name: &'static str) -> Result<Timestamp> {
        self.time(name).ok_or_else(|| corrupt(name))
    }
}

impl Read for Item {
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(super::text_of)
    }

    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok())
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
        let item = Item::from([("a".to_owned(), s("x"))]);
        assert_eq!(item.needed("a").unwrap(), "x");
        assert!(item.needed("b").unwrap_err().report().contains("damaged: b"));
        assert!(item.parsed::<u64>("a").is_err());
        assert_eq!(item.optional::<u64>("b").unwrap(), None);
    }
}
