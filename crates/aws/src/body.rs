//! Values that may be too large for an item lie in the bucket; the item keeps where.

use aws_sdk_s3::primitives::ByteStream;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    ids::TenantId,
};

use crate::{
    Clients,
    db::{Item, Read, corrupt, s},
    error::explain,
};

/// Bytes from which on a value lies in the bucket: an item holds 400 KB with everything in it.
const INLINE_BYTES: usize = 300_000;

/// A value on its way into an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// It is in the item.
    Inline(String),
    /// It is in the bucket, under this key.
    Object(String),
}

impl Body {
    /// Bytes that it takes in the item.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Inline(text) | Self::Object(text) => text.len(),
        }
    }

    /// Puts it into `item`: under `name`, or its key under `name` with `_s3`.
    pub(crate) fn put(self, item: &mut Item, name: &str) {
        match self {
            Self::Inline(text) => item.insert(name.to_owned(), s(text)),
            Self::Object(key) => item.insert(format!("{name}_s3"), s(key)),
        };
    }
}

/// The bucket of large values. What a write leaves behind that came to nothing is removed by the bucket's own rule for
/// `bodies/`, together with what has grown old.
pub(crate) struct Bodies {
    client: aws_sdk_s3::Client,
    bucket: String,
}

impl Bodies {
    pub(crate) fn new(clients: &Clients) -> Self {
        Self { client: clients.s3.clone(), bucket: clients.names.bucket.clone() }
    }

    /// Stores the value when it is large. `name` is an id that nobody else uses, with what it is of.
    pub(crate) async fn keep(&self, tenant: &TenantId, name: &str, text: String) -> Result<Body> {
        if text.len() <= INLINE_BYTES {
            return Ok(Body::Inline(text));
        }
        let key = format!("bodies/{tenant}/{name}");
        let body = ByteStream::from(text.into_bytes());
        let request = self.client.put_object().bucket(&self.bucket).key(&key).content_type("application/json");
        Box::pin(request.body(body).send()).await.map_err(|error| explain("storing a large value", error))?;
        Ok(Body::Object(key))
    }

    /// The value under `name`, wherever it lies; `None` when the item has none.
    pub(crate) async fn text(&self, item: &Item, name: &'static str) -> Result<Option<String>> {
        if let Some(text) = item.text(name) {
            return Ok(Some(text.to_owned()));
        }
        let Some(key) = item.text(&format!("{name}_s3")) else { return Ok(None) };
        let answer = Box::pin(self.client.get_object().bucket(&self.bucket).key(key).send()).await;
        let answer = answer.map_err(|error| explain("reading a large value", error))?;
        let bytes = answer.body.collect().await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "a large value was not read to its end").caused_by(error)
        })?;
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|error| corrupt(name).caused_by(error))
    }

    /// The value under `name`, which must be there.
    pub(crate) async fn needed(&self, item: &Item, name: &'static str) -> Result<String> {
        self.text(item, name).await?.ok_or_else(|| corrupt(name))
    }
}
