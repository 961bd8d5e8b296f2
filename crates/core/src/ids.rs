//! Names of things as types, so that one cannot be taken for another. Parsing is the only way in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::untrusted::Closed;

/// The text does not have the form that the id asks for; the message tells the form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub &'static str);

impl Closed for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $valid:path, $form:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String)]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $valid(text) { Ok(Self(text.into())) } else { Err(InvalidId($form)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Closed for $name {}
    };
}

id!(
    /// A tenant: also its folder's name.
    TenantId, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A team of a tenant.
    TeamId, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A category of a tenant.
    CategoryId, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A kind of entity: a built-in one or one that the tenant defines.
    EntityKind, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// The way a ticket came in, such as `email` or `web`.
    Channel, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A kind of customer account, such as `business`.
    AccountType, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// The name under which a secret is kept.
    SecretName, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A provider of language models, as the tenant's configuration names it.
    ProviderName, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A second configuration of a tenant that is tried.
    TrialName, is_slug, "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
);
id!(
    /// A ticket, as its ticketing system names it; unique within the tenant.
    TicketId, is_token, "must be 1 to 128 letters, digits or any of . _ : @ # / + = -"
);
id!(
    /// A customer, as the tenant's systems name it.
    CustomerId, is_token, "must be 1 to 128 letters, digits or any of . _ : @ # / + = -"
);
id!(
    /// A service of the tenant, such as `SVC204`.
    ServiceId, is_token, "must be 1 to 128 letters, digits or any of . _ : @ # / + = -"
);
id!(
    /// Follows one request through everything that it causes.
    CorrelationId, is_token, "must be 1 to 128 letters, digits or any of . _ : @ # / + = -"
);
id!(
    /// An example that a classifier learns from; the example of a review has its ticket's id.
    ExampleId, is_token, "must be 1 to 128 letters, digits or any of . _ : @ # / + = -"
);
id!(
    /// What makes a repeated request harmless: a caller's own key, or that of a web hook.
    IdempotencyKey, is_idempotency_key, "must be 1 to 128 letters, digits or any of . _ : @ # / + = -"
);
id!(
    /// A decision, of the tools or of a person; also the idempotency key of the effects that it causes.
    DecisionId, is_ulid, "must be a ULID"
);
id!(
    /// Something that is to happen outside; also its idempotency key there.
    EffectId, is_ulid, "must be a ULID"
);
id!(
    /// Money that is put aside for a call of a model.
    ReservationId, is_ulid, "must be a ULID"
);
id!(
    /// An event.
    EventId, is_ulid, "must be a ULID"
);
id!(
    /// A trained model; versions sort by time.
    ModelVersion, is_ulid, "must be a ULID"
);
id!(
    /// The public part of an API key.
    KeyId, is_key_id, "must be 16 of 0-9 and a-f"
);
id!(
    /// A signed-in session of the operator; not what its cookie holds.
    SessionId, is_key_id, "must be 16 of 0-9 and a-f"
);
id!(
    /// A person of an OIDC issuer: the beginning of a hash of issuer and subject.
    SubjectId, is_key_id, "must be 16 of 0-9 and a-f"
);
id!(
    /// A language, as in ISO 639-1 with an optional region: `en`, `de-AT`.
    Language, is_language, "must be a language such as en or de-AT"
);
id!(
    /// The first 16 hexadecimal digits of a configuration's SHA-256.
    ConfigVersion, is_key_id, "must be 16 of 0-9 and a-f"
);

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

fn is_token(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:@#/+=-".contains(&byte))
}

fn is_idempotency_key(text: &str) -> bool {
    is_token(text.strip_prefix(WEBHOOK_KEY_PREFIX).unwrap_or(text))
}

fn is_ulid(text: &str) -> bool {
    ulid::Ulid::from_string(text).is_ok()
}

fn is_key_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('-').unwrap_or((text, "XX"));
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && region.len() == 2
        && region.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A token has no `~`, so no caller's own key is ever one of a web hook.
const WEBHOOK_KEY_PREFIX: &str = "webhook~";

impl IdempotencyKey {
    /// A key as a caller sends it.
    pub fn of_caller(text: &str) -> Result<Self, InvalidId> {
        text.parse().and_then(|key: Self| {
            let form = "must be 1 to 128 letters, digits or any of . _ : @ # / + = -";
            if is_token(key.as_str()) { Ok(key) } else { Err(InvalidId(form)) }
        })
    }

    /// The key of the web hook with that `webhook-id`.
    pub fn of_webhook(id: &str) -> Result<Self, InvalidId> {
        // The signature covers `id.timestamp.body`: a full stop in the id would let one be read as another.
        if !is_token(id) || id.contains('.') {
            return Err(InvalidId("must be 1 to 128 letters, digits or any of _ : @ # / + = -"));
        }
        format!("{WEBHOOK_KEY_PREFIX}{id}").parse()
    }
}

macro_rules! from_ulid {
    ($($name:ident),*) => {
        $(impl $name {
            /// From a new ULID.
            pub fn from_ulid(ulid: ulid::Ulid) -> Self {
                let mut text = [0; ulid::ULID_LEN];
                Self((&*ulid.array_to_str(&mut text)).into())
            }
        })*
    };
}

from_ulid!(DecisionId, EventId, CorrelationId, ModelVersion, ReservationId);

impl From<&DecisionId> for EffectId {
    /// The effect of a decision or a review: telling the ticketing system.
    fn from(id: &DecisionId) -> Self {
        Self(id.0.clone())
    }
}

macro_rules! from_bytes {
    ($($name:ident),*) => {
        $(impl $name {
            /// From eight bytes, random or of a hash.
            pub fn from_bytes(bytes: [u8; 8]) -> Self {
                Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
        })*
    };
}

from_bytes!(KeyId, SessionId, SubjectId);

impl From<TicketId> for ExampleId {
    fn from(id: TicketId) -> Self {
        Self(id.0)
    }
}

impl Language {
    /// The language without its region: `de` of `de-AT`.
    pub fn base(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_held() {
        assert!("telecorp".parse::<TenantId>().is_ok());
        for bad in ["", "../etc", "Tele", "-a", "a b", &"a".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("ZD/4711#2".parse::<TicketId>().is_ok());
        for bad in ["", "a b", "a\0b", "é", "<x>", &"a".repeat(129)] {
            assert!(bad.parse::<TicketId>().is_err(), "{bad}");
        }
        assert!(IdempotencyKey::of_caller("a.b").is_ok() && IdempotencyKey::of_webhook("a.b").is_err());
        let of_webhook = IdempotencyKey::of_webhook(&"a".repeat(128)).unwrap();
        assert_eq!(of_webhook.as_str().parse(), Ok(of_webhook.clone()), "it is read from storage");
        for bad in [of_webhook.as_str(), "webhook~", "webhook~a", "", "a b"] {
            assert!(IdempotencyKey::of_caller(bad).is_err() && IdempotencyKey::of_webhook(bad).is_err(), "{bad}");
        }
        assert_eq!("de-AT".parse::<Language>().unwrap().base(), "de");
        assert!("german".parse::<Language>().is_err());
    }
}
