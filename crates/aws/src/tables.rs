//! The tables, as data: tests make them from it, `switchboard aws doctor` compares with it, and the infrastructure's code
//! reads it as JSON (`infra/tables.json`, which a test keeps true).
//!
//! Every key begins with the tenant or is an id that nobody can choose, so that IAM's leading keys and a forgotten filter
//! both end at the tenant.

use serde::Serialize;

/// A table. Billing is on demand, keys are strings, and the attribute `ttl` (seconds since 1970) is its time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name behind the prefix.
    pub name: &'static str,
    /// The partition key.
    pub hash: &'static str,
    /// The sort key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<&'static str>,
    /// Whether its changes are streamed, with the new image.
    pub stream: bool,
    /// Its global secondary indexes.
    pub indexes: &'static [Index],
}

/// A global secondary index. It has only the items that have both its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// The partition key.
    pub hash: &'static str,
    /// The sort key.
    pub range: &'static str,
    /// Whether it carries whole items, or only the keys.
    pub whole: bool,
}

const fn keys(name: &'static str, hash: &'static str, range: &'static str) -> Index {
    Index { name, hash, range, whole: false }
}

/// All tables.
pub const TABLES: &[Table] = &[
    // The collection of a ticket: its head (sort key `0`, what lists show), its record, which event of it is in hand, its
    // decision and its reviews, each under the time it was made. What the indexes lead by is the tenant and the value.
    Table {
        name: "tickets",
        hash: "ticket_id",
        range: Some("timestamp"),
        stream: true,
        indexes: &[
            Index { name: "by_time", hash: "tenant", range: "listed", whole: true },
            keys("by_customer", "customer_key", "listed"),
            keys("by_team", "team_key", "listed"),
            keys("by_sync", "sync_key", "listed"),
            // Whole: the review queue is sorted by what no index can hold, so it reads all that waits.
            Index { name: "by_review", hash: "review_key", range: "listed", whole: true },
        ],
    },
    // An event with its job: archive and queue in one item, so that a change of either is one conditional write.
    Table {
        name: "events",
        hash: "event",
        range: None,
        stream: false,
        indexes: &[
            keys("by_tenant", "tenant", "event"),
            keys("by_ticket", "ticket_key", "event"),
            // Only what waits or is in hand, and, under another key, the dead letters. Keys only, so that counting is cheap.
            keys("queue", "queue", "turn"),
        ],
    },
    Table {
        name: "effects",
        hash: "effect",
        range: None,
        stream: false,
        indexes: &[keys("by_ticket", "ticket_key", "id"), keys("held", "held", "id")],
    },
    Table {
        name: "examples",
        hash: "tenant",
        range: Some("example"),
        stream: false,
        indexes: &[
            Index { name: "by_time", hash: "tenant", range: "listed", whole: true },
            keys("by_source", "source_key", "listed"),
        ],
    },
    Table { name: "customers", hash: "customer", range: None, stream: false, indexes: &[] },
    Table { name: "keys", hash: "id", range: None, stream: false, indexes: &[keys("by_tenant", "tenant", "id")] },
    Table { name: "audit", hash: "log", range: Some("sequence"), stream: false, indexes: &[] },
    // Counters and registers: quotas, spend on models, the tenants that have work.
    Table { name: "meta", hash: "name", range: None, stream: false, indexes: &[] },
];
