//! Who may do what, and the record of it: API keys, people of an OIDC issuer, the operator's password and sessions, the
//! caller that they prove, and the audit log.
//!
//! A key is `sb_live_<id>_<secret><checksum>`: 16 hexadecimal digits that find the record, 256 random bits in base64url,
//! and a CRC-32 that tells a mistyped key before any look-up. Kept is HMAC-SHA-256(pepper, secret): the secret is random,
//! so a slow hash would only give attackers work to waste (`docs/security.md`). The operator's password is a person's, so
//! its hash is slow ([`password`]).

pub mod audit;
pub mod hook;
mod key;
pub mod keys;
pub mod lockout;
pub mod oidc;
pub mod password;
mod role;
pub mod session;
pub mod uses;

pub use key::{ApiKey, KeyHash, NotAKey, Pepper};
pub use keys::authenticate;
pub use role::Role;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    error::{Error, ErrorKind, Result},
    ids::{KeyId, SessionId, SubjectId, TenantId},
    ports::TenantScope,
};

/// Something that a caller may do.
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
    /// Make, rotate and revoke the tenant's keys.
    #[serde(rename = "keys:manage")]
    KeysManage,
    /// Read the tenant's entries of the audit log.
    #[serde(rename = "audit:read")]
    AuditRead,
}

impl Scope {
    /// All scopes.
    pub const ALL: &[Self] = &[
        Self::TicketsWrite,
        Self::TicketsRead,
        Self::TicketsReview,
        Self::MetricsRead,
        Self::KeysManage,
        Self::AuditRead,
    ];
    /// Everything about tickets: what a key may do when nobody says otherwise.
    pub const TICKETS: &[Self] = &[Self::TicketsWrite, Self::TicketsRead, Self::TicketsReview];

    /// The name, as in `--scope`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TicketsWrite => "tickets:write",
            Self::TicketsRead => "tickets:read",
            Self::TicketsReview => "tickets:review",
            Self::MetricsRead => "metrics:read",
            Self::KeysManage => "keys:manage",
            Self::AuditRead => "audit:read",
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

/// How a caller proved who he is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// By this API key.
    Key(KeyId),
    /// By a session of the operator.
    Session(SessionId),
    /// By a token of the OIDC issuer.
    Subject(SubjectId),
}

/// A caller who was checked, within one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// How he proved who he is.
    pub who: Who,
    /// What people call the key; empty for a person.
    pub name: String,
    /// Whose data he reaches.
    pub tenant: TenantId,
    /// The role; a key has scopes alone.
    pub role: Option<Role>,
    /// What he may do.
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// The scope of the caller's tenant, when he has `scope`; else [`ErrorKind::Forbidden`].
    pub fn allow(&self, scope: Scope) -> Result<TenantScope> {
        if self.scopes.contains(&scope) {
            return Ok(TenantScope::of_principal(self));
        }
        let who = if matches!(self.who, Who::Key(_)) { "the key needs" } else { "you need" };
        Err(Error::new(ErrorKind::Forbidden, format!("{who} the scope {}", scope.name())))
    }
}
