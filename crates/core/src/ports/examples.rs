use async_trait::async_trait;

use crate::{
    error::Result,
    ids::{CategoryId, ExampleId, TeamId},
    ports::{Page, TenantScope},
    time::Timestamp,
    untrusted::Untrusted,
    words::words,
};

words! {
    /// Where an example comes from.
    ExampleSource {
        /// A person looked at a ticket.
        Review = "review",
        /// An operator brought it.
        Import = "import",
    }
}

/// A text with what it is known to be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The example; that of a review has its ticket's id.
    pub id: ExampleId,
    /// Subject, a blank line, description: no more of them than classifiers read ([`crate::limits::READ_CHARS`]).
    pub text: Untrusted<String>,
    /// What it is about.
    pub category: Option<CategoryId>,
    /// The team that handles it.
    pub team: Option<TeamId>,
    /// Where it comes from.
    pub source: ExampleSource,
    /// When it came.
    pub at: Timestamp,
}

/// What became of examples that were added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Those that were not there before.
    pub new: u64,
    /// Those that took the place of one with the same id.
    pub replaced: u64,
    /// Those that were dropped, because a review of the same id was there and stays.
    pub kept: u64,
}

/// How many examples a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExampleCounts {
    /// Brought by operators.
    pub imported: u64,
    /// From reviews.
    pub reviewed: u64,
    /// From reviews at or after the time that was asked for; all of them when none was.
    pub reviewed_since: u64,
}

/// What a tenant's classifier learns from, beside its configuration. Examples have no time to live: a text that somebody
/// has looked at teaches as long as its category exists, so they outlive the tickets on purpose.
#[async_trait]
pub trait ExampleStore: Send + Sync {
    /// Adds examples, in one write; the caller bounds how many. One of an id that is there already takes its place, but an
    /// import never takes that of a review: what a person said of the very ticket counts more.
    async fn add(&self, scope: &TenantScope, examples: Vec<Example>) -> Result<Added>;

    /// Examples, oldest first; `cursor` is the `next_cursor` of the page before. One that is replaced between two pages
    /// moves to its new time. A cursor that this store did not make is [`crate::error::ErrorKind::Invalid`].
    async fn examples(&self, scope: &TenantScope, cursor: Option<&str>, limit: u32) -> Result<Page<Example>>;

    /// How many there are, and how many came from reviews since then.
    async fn counts(&self, scope: &TenantScope, since: Option<Timestamp>) -> Result<ExampleCounts>;

    /// Removes all examples of that source, and says how many they were.
    async fn clear(&self, scope: &TenantScope, source: ExampleSource) -> Result<u64>;
}
