//! Who may do what: API keys, their scopes, and the caller that they prove.
//!
//! A key is `sb_live_<id>_<secret><checksum>`: 16 hexadecimal digits that find the record, 256 random bits in base64url,
//! and a CRC-32 that tells a mistyped key before any look-up. Kept is HMAC-SHA-256(pepper, secret): the secret is random,
//! so a slow hash would only give attackers work to waste (`docs/security.md`).

mod key;

pub use key::{ApiKey, KeyHash, NotAKey, Pepper};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::App,
    error::{Error, ErrorKind, Result},
    ids::{KeyId, TenantId},
    ports::{KeyRecord, TenantScope},
    time::Timestamp,
};

/// Something that a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Send tickets in.
    #[serde(rename = "tickets:write")]
    TicketsWrite,
    /// Read tickets and decisions.
    #[serde(rename = "tickets:read")]
    TicketsRead,
    /// Confirm and correct decisions.
    #[serde(rename = "tickets:review")]
    TicketsReview,
    /// Read the metrics, which span all tenants.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

impl Scope {
    /// All scopes.
    pub const ALL: &[Self] = &[Self::TicketsWrite, Self::TicketsRead, Self::TicketsReview, Self::MetricsRead];
    /// Everything about tickets: what a key may do when nobody says otherwise.
    pub const TICKETS: &[Self] = &[Self::TicketsWrite, Self::TicketsRead, Self::TicketsReview];

    /// The name, as in `--scope`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TicketsWrite => "tickets:write",
            Self::TicketsRead => "tickets:read",
            Self::TicketsReview => "tickets:review",
            Self::MetricsRead => "metrics:read",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|scope| scope.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|scope| scope.name()).collect();
            format!("no such scope; there are: {}", names.join(", "))
        })
    }
}

/// A caller whose key was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The key.
    pub key: KeyId,
    /// What people call the key.
    pub name: String,
    /// Whose data it reaches.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// The scope of the caller's tenant, when its key has `scope`; else [`ErrorKind::Forbidden`].
    pub fn allow(&self, scope: Scope) -> Result<TenantScope> {
        if self.scopes.contains(&scope) {
            return Ok(TenantScope::of_principal(self));
        }
        Err(Error::new(ErrorKind::Forbidden, format!("the key needs the scope {}", scope.name())))
    }
}

/// Checks a key as it came with a request. Every way of being wrong gives the same answer: [`ErrorKind::Unauthorized`].
pub async fn authenticate(app: &App, pepper: &Pepper, presented: &str) -> Result<Principal> {
    let wrong = || Error::new(ErrorKind::Unauthorized, "the API key is not valid, has expired or was revoked");
    let key: ApiKey = presented.parse().map_err(|NotAKey| wrong())?;
    let record = app.keys.key(key.id()).await?.ok_or_else(wrong)?;
    if !key.matches(pepper, &record.hash) || !is_in_force(&record, app.clock.now()) {
        return Err(wrong());
    }
    Ok(Principal { key: record.id, name: record.name, tenant: record.tenant, scopes: record.scopes })
}

/// A new key for `tenant`; the record is still to be stored. The key's text is shown once and kept nowhere.
pub fn new_key(
    app: &App,
    pepper: &Pepper,
    tenant: TenantId,
    name: String,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
) -> (ApiKey, KeyRecord) {
    let key = ApiKey::generate(app.ids.as_ref());
    let record = KeyRecord {
        id: key.id().clone(),
        tenant,
        name,
        scopes,
        hash: key.hash(pepper),
        created_at: app.clock.now(),
        expires_at,
        revoked_at: None,
    };
    (key, record)
}

fn is_in_force(record: &KeyRecord, now: Timestamp) -> bool {
    record.revoked_at.is_none() && record.expires_at.is_none_or(|end| now < end)
}
