//! The record of administrative acts: who did what to what, when, and what came of it.
//!
//! Entries are numbered from 1 without gaps. Each one's hash covers its canonical text and the hash before it, and the
//! newest number and hash are kept beside the log, signed with a key that comes from the pepper ([`chain`]). So any change
//! that somebody makes without the pepper is found; `docs/security.md` says what is not.
//!
//! Nothing free gets in: acts and outcomes are closed enums, details are numbers, ids and [`Label`]s of the operator's own
//! words. No secret and no customer's word has a place here.

pub mod chain;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Principal, Scope, Who};
use crate::{
    ids::{CorrelationId, KeyId, SessionId, SubjectId, TenantId},
    time::Timestamp,
};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What was done: the closed list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        pub enum Action { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Action {
            /// All acts, in the order of the list.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

actions! {
    /// A data folder was used for the first time.
    FirstStart = "server.first_start";
    /// The log begins in a data folder that is older than it.
    LogBegin = "audit_log.begin";
    /// An API key was made.
    KeyCreate = "key.create";
    /// An API key was replaced by a new one; both work for a while.
    KeyRotate = "key.rotate";
    /// An API key was revoked.
    KeyRevoke = "key.revoke";
    /// The operator's password was set or changed.
    PasswordSet = "password.set";
    /// The operator signed in.
    Login = "session.login";
    /// The operator signed out.
    Logout = "session.logout";
    /// Too many wrong passwords: sign-in was locked for a while.
    Lockout = "session.lockout";
    /// A dead letter was put back into the queue.
    DeadLetterReplay = "dead_letter.replay";
    /// A dead letter was removed for good.
    DeadLetterDrop = "dead_letter.drop";
    /// Archived events were queued again.
    EventReplay = "event.replay";
    /// A tenant's classifier was trained.
    ModelTrain = "model.train";
    /// An older model was put in force.
    ModelRollback = "model.rollback";
    /// The embedding model was installed.
    ModelInstall = "model.install";
    /// Labelled tickets of the past were brought in.
    HistoryImport = "history.import";
    /// A tenant's configuration in force changed, appeared or went.
    TenantConfigure = "tenant.configure";
    /// A backup was written.
    BackupCreate = "backup.create";
    /// The data folder was restored from a backup.
    BackupRestore = "backup.restore";
    /// A tenant's data were exported.
    TenantExport = "tenant.export";
    /// A tenant's data were imported.
    TenantImport = "tenant.import";
    /// A tenant's data were removed for good.
    TenantWipe = "tenant.wipe";
    /// A tenant that was wiped may come back.
    TenantReadmit = "tenant.readmit";
    /// Examples that a classifier learns from were removed.
    ExamplesClear = "examples.clear";
    /// The wall clock was confirmed, so that retention goes on.
    RetentionConfirm = "retention.confirm";
    /// An effect of unknown outcome was settled by a person.
    EffectSettle = "effect.settle";
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What came of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused by a rule.
    Refused,
    /// It was tried and failed.
    Failed,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// The holder of an API key.
    Key {
        /// The key.
        id: KeyId,
    },
    /// The operator, signed in with the local password.
    Session {
        /// The session.
        id: SessionId,
    },
    /// A person whom the OIDC issuer vouches for.
    Subject {
        /// The beginning of a hash of issuer and subject: the same person has the same one, and it is no name.
        id: SubjectId,
    },
    /// Somebody at the command line, with the data folder in hand.
    CommandLine {
        /// The user's name as the environment has it, which the user may change.
        user: Label,
        /// The user's number as the operating system has it, where it tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
    },
    /// The server by itself.
    System,
    /// Somebody who could not say who he is.
    Unknown {
        /// The network address that the requests came from.
        address: Label,
    },
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        match &principal.who {
            Who::Key(id) => Self::Key { id: id.clone() },
            Who::Session(id) => Self::Session { id: id.clone() },
            Who::Subject(id) => Self::Subject { id: id.clone() },
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id } => write!(f, "key {id}"),
            Self::Session { id } => write!(f, "session {id}"),
            Self::Subject { id } => write!(f, "person {id}"),
            Self::CommandLine { user, uid: Some(uid) } => write!(f, "cli {user} ({uid})"),
            Self::CommandLine { user, uid: None } => write!(f, "cli {user}"),
            Self::System => f.write_str("the server"),
            Self::Unknown { address } => write!(f, "somebody at {address}"),
        }
    }
}

/// A short piece of the operator's own words, such as a key's name or a file's: at most [`Label::CHARS`] characters, none
/// of which steers a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(from = "String", into = "String")]
#[schema(value_type = String)]
pub struct Label(String);

impl Label {
    /// The longest label, in characters.
    pub const CHARS: usize = 200;

    /// The text, cut and cleaned.
    pub fn new(text: &str) -> Self {
        let clean = |char: char| if char.is_control() { '\u{fffd}' } else { char };
        Self(text.chars().take(Self::CHARS).map(clean).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Label {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// More about an act. All fields are optional; which are there follows from the act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Details {
    /// What people call the thing, such as a key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// The scopes of a key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
    /// From when on the thing is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The key that takes the place of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<KeyId>,
    /// What was in force before: a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Label>,
    /// What is in force now: a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Label>,
    /// How many things the act was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How many bytes the act was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long something holds, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Where something came from or went to: a file, a format, an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Label>,
}

/// An act on its way into the log, which gives it its number and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// Who did it.
    pub actor: Actor,
    /// Whose data it touched; none when it was about the whole server.
    pub tenant: Option<TenantId>,
    /// What was done.
    pub action: Action,
    /// To what: an id.
    pub target: Option<Label>,
    /// What came of it.
    pub outcome: Outcome,
    /// More.
    pub details: Details,
    /// The request that it was part of.
    pub correlation_id: Option<CorrelationId>,
}

/// An act in the log. Its canonical text is the JSON of these fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its place, from 1 without gaps.
    pub sequence: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// Whose data it touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// What was done.
    pub action: Action,
    /// To what: an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub target: Option<Label>,
    /// What came of it.
    pub outcome: Outcome,
    /// More.
    #[serde(default)]
    pub details: Details,
    /// The request that it was part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub correlation_id: Option<CorrelationId>,
}

/// Who acts, and in which request: what every administrative function takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// In which request.
    pub correlation_id: Option<CorrelationId>,
}

impl By {
    /// Outside any request.
    pub fn new(actor: Actor) -> Self {
        Self { actor, correlation_id: None }
    }

    /// An act of this actor that was done.
    pub fn did(&self, action: Action, tenant: Option<&TenantId>) -> NewAuditEntry {
        NewAuditEntry {
            actor: self.actor.clone(),
            tenant: tenant.cloned(),
            action,
            target: None,
            outcome: Outcome::Done,
            details: Details::default(),
            correlation_id: self.correlation_id.clone(),
        }
    }
}

impl NewAuditEntry {
    /// The same act, done to this.
    pub fn to(mut self, target: impl fmt::Display) -> Self {
        self.target = Some(Label::new(&target.to_string()));
        self
    }

    /// The same act with more about it.
    pub fn with(mut self, details: Details) -> Self {
        self.details = details;
        self
    }

    /// The same act with another outcome.
    pub fn came_to(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The entry at its place.
    pub fn at(self, sequence: u64, at: Timestamp) -> AuditEntry {
        let Self { actor, tenant, action, target, outcome, details, correlation_id } = self;
        AuditEntry { sequence, at, actor, tenant, action, target, outcome, details, correlation_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_acts_are_stable_and_distinct() {
        let names: Vec<_> = Action::ALL.iter().map(|action| serde_json::to_value(action).unwrap()).collect();
        for (action, name) in Action::ALL.iter().zip(&names) {
            assert_eq!(action.name(), name);
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn labels_are_short_and_do_not_steer_a_terminal() {
        assert_eq!(Label::new("a\u{1b}[2J\nb").as_str(), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(Label::new(&"é".repeat(1_000)).as_str().chars().count(), Label::CHARS);
    }
}
