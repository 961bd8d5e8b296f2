//! Items of tables, attribute by attribute.

use std::{collections::HashMap, str::FromStr};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use serde::de::DeserializeOwned;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    time::Timestamp,
};

/// An item, or the key of one.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn bytes(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// A point in time: milliseconds since 1970.
pub(crate) fn time(at: Timestamp) -> AttributeValue {
    AttributeValue::N(at.as_millis().to_string())
}

/// An item of these attributes.
pub(crate) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The JSON of a value that always has one.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "a record is no JSON").caused_by(error))
}

/// An item of `table` as it is read. What is not as it was written is an error that names the attribute, never its content.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) table: &'static str,
    pub(crate) item: &'a Item,
}

impl<'a> Row<'a> {
    fn broken(&self, name: &str) -> Error {
        Error::new(ErrorKind::Internal, format!("attribute `{name}` of an item of table `{}` is broken", self.table))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str> {
        self.item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str).ok_or_else(|| self.broken(name))
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&'a [u8]> {
        self.item.get(name).and_then(|value| value.as_b().ok()).map(AsRef::as_ref).ok_or_else(|| self.broken(name))
    }

    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<T> {
        self.text(name)?.parse().map_err(|_| self.broken(name))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        // Without its cause, which would quote the record.
        serde_json::from_str(self.text(name)?).map_err(|_| self.broken(name))
    }

    pub(crate) fn time(&self, name: &str) -> Result<Timestamp> {
        self.optional_time(name)?.ok_or_else(|| self.broken(name))
    }

    pub(crate) fn optional_time(&self, name: &str) -> Result<Option<Timestamp>> {
        let Some(value) = self.item.get(name) else { return Ok(None) };
        let millis = value.as_n().ok().and_then(|number| number.parse().ok());
        millis.map(|millis| Some(Timestamp::from_millis(millis))).ok_or_else(|| self.broken(name))
    }
}
