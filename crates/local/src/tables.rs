//! Every table that holds data of tenants: the one list that export, import and wipe go by. A table that is not here fails
//! a test, which asks for a decision.

use std::collections::BTreeMap;

use rusqlite::types::{Value, ValueRef};
use serde_json::value::RawValue;
use switchboard_core::{
    event::EventDetail,
    ids::{
        CategoryId, CorrelationId, CustomerId, DecisionId, EffectId, EventId, ExampleId, IdempotencyKey, TeamId,
        TicketId,
    },
    ports::{Customer, EffectKind, EffectState, ExampleSource},
    tickets::{Decision, PriorityLevel, Severity, SyncStatus, TicketRecord, review::Review},
    time::Timestamp,
};

/// The fields of one line, as they stand in the file: numbers keep every digit, records every byte.
pub(crate) type Fields = BTreeMap<String, Box<RawValue>>;

/// A table whose rows belong to tenants by their column `tenant`.
pub(crate) struct Table {
    /// Its name in SQL.
    pub(crate) name: &'static str,
    /// What a row is called in exports and reports.
    pub(crate) kind: &'static str,
    /// Unique within the tenant, and the order of exports: how an import finds what is there.
    pub(crate) order: &'static str,
    /// The column by which an import knows a row again.
    pub(crate) identity: &'static str,
    /// What an export has of it; `None` for what is no history: jobs are made anew, keys are hashes under one server's pepper.
    pub(crate) exported: Option<Exported>,
    /// Whether a row belongs to a ticket, by its column `ticket_id`, and goes when that is deleted.
    pub(crate) goes_with_ticket: bool,
    /// Tables whose rows hang on a row of this one by its number, in their column `ticket`.
    pub(crate) children: &'static [Child],
}

/// What an export has of a table.
pub(crate) struct Exported {
    /// Columns of the table itself, `tenant` left out.
    pub(crate) columns: &'static [Column],
    /// What must hold between the fields of a row.
    pub(crate) check: fn(&Fields) -> Result<(), String>,
    /// Whether the order follows an index that begins with the tenant; else the table is read as a whole, without a sort.
    pub(crate) by_index: bool,
}

/// A table with at most one row for each row of its parent.
pub(crate) struct Child {
    /// Its name in SQL.
    pub(crate) name: &'static str,
    /// Its columns, `ticket` left out. The row is there when the first of them is.
    pub(crate) columns: &'static [Column],
}

/// A column as an export shows it.
pub(crate) struct Column {
    /// Its name in SQL.
    pub(crate) name: &'static str,
    /// Its name in the export.
    pub(crate) field: &'static str,
    /// Its form.
    pub(crate) form: Form,
    /// Whether it may be absent.
    pub(crate) optional: bool,
}

/// How a stored value looks in an export, and what an import lets in.
pub(crate) enum Form {
    /// Text of a known form.
    Text(fn(&str) -> Result<(), String>),
    /// An event's id, which is unique over all tenants.
    Event,
    /// A whole number.
    Integer,
    /// A number; every bit is kept.
    Real,
    /// 0 or 1.
    Flag,
    /// Milliseconds since 1970, as RFC 3339.
    Time,
    /// The position of a word in its enum.
    Word(fn() -> Vec<&'static str>),
    /// A record in JSON, kept byte by byte.
    Json(fn(&str) -> Result<(), String>),
}

fn id<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ()).map_err(|error| error.to_string())
}

fn record<'de, T: serde::Deserialize<'de>>(text: &'de str) -> Result<(), String> {
    serde_json::from_str::<T>(text).map(|_| ()).map_err(|error| error.to_string())
}

fn ticket_record(text: &str) -> Result<(), String> {
    record::<TicketRecord>(text)
}

fn decision_record(text: &str) -> Result<(), String> {
    record::<Decision>(text)
}

fn review_record(text: &str) -> Result<(), String> {
    record::<Review>(text)
}

fn customer_record(text: &str) -> Result<(), String> {
    record::<Customer>(text)
}

fn any_json(text: &str) -> Result<(), String> {
    record::<serde::de::IgnoredAny>(text)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a check")]
fn any_text(_: &str) -> Result<(), String> {
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a check")]
fn nothing_more(_: &Fields) -> Result<(), String> {
    Ok(())
}

macro_rules! words_of {
    ($name:ty) => {
        || <$name>::ALL.iter().map(|word| word.word()).collect()
    };
}

const fn needed(name: &'static str, form: Form) -> Column {
    Column { name, field: name, form, optional: false }
}

const fn maybe(name: &'static str, form: Form) -> Column {
    Column { name, field: name, form, optional: true }
}

const fn called(field: &'static str, column: Column) -> Column {
    Column { name: column.name, field, form: column.form, optional: column.optional }
}

/// All of them, in the order in which an import needs them and a wipe removes them: what makes work goes first.
pub(crate) const TABLES: &[Table] =
    &[JOBS, DEAD_LETTERS, TICKETS, EVENTS, EFFECTS, EXAMPLES, CUSTOMERS, QUOTA_COUNTS, MODEL_USAGE, API_KEYS];

/// Tables without data of tenants.
#[cfg(test)]
const OTHERS: &[&str] =
    &["process", "backlog", "audit_log", "audit_head", "operator", "sessions", "retention_clock", "wiped_tenants"];

const JOBS: Table = Table {
    name: "jobs",
    kind: "job",
    order: "id",
    identity: "event",
    goes_with_ticket: true,
    exported: None,
    children: &[],
};

const QUOTA_COUNTS: Table = Table {
    name: "quota_counts",
    kind: "quota_count",
    order: "customer",
    identity: "customer",
    goes_with_ticket: false,
    exported: None,
    children: &[],
};

/// Not exported: it says what this server has spent of its tenant's budget.
const MODEL_USAGE: Table = Table {
    name: "model_usage",
    kind: "model_usage",
    order: "customer",
    identity: "customer",
    goes_with_ticket: false,
    exported: None,
    children: &[],
};

const API_KEYS: Table = Table {
    name: "api_keys",
    kind: "api_key",
    order: "id",
    identity: "id",
    goes_with_ticket: false,
    exported: None,
    children: &[],
};

const TICKETS: Table = Table {
    name: "tickets",
    kind: "ticket",
    order: "id",
    identity: "ticket_id",
    goes_with_ticket: false,
    exported: Some(Exported {
        columns: &[
            needed("ticket_id", Form::Text(id::<TicketId>)),
            needed("customer_id", Form::Text(id::<CustomerId>)),
            needed("accepted_at", Form::Time),
            needed("expires_at", Form::Time),
            maybe("idempotency_key", Form::Text(id::<IdempotencyKey>)),
            needed("routed", Form::Flag),
            maybe("decision_id", Form::Text(id::<DecisionId>)),
            maybe("decided_at", Form::Time),
            maybe("team", Form::Text(id::<TeamId>)),
            maybe("category", Form::Text(id::<CategoryId>)),
            maybe("severity", Form::Word(words_of!(Severity))),
            maybe("priority", Form::Word(words_of!(PriorityLevel))),
            maybe("score", Form::Real),
            maybe("confidence", Form::Real),
            called("review_needed", needed("review", Form::Flag)),
            needed("reviewed", Form::Flag),
            needed("sync", Form::Word(words_of!(SyncStatus))),
            maybe("sync_of", Form::Text(id::<DecisionId>)),
            needed("sync_failures", Form::Integer),
            maybe("sync_receipt", Form::Text(any_text)),
            maybe("sync_error", Form::Text(any_text)),
            maybe("sync_changed_at", Form::Time),
            needed("dropped", Form::Flag),
        ],
        check: check_ticket,
        by_index: false,
    }),
    children: &[
        Child { name: "ticket_records", columns: &[called("ticket", needed("record", Form::Json(ticket_record)))] },
        Child { name: "decisions", columns: &[called("decision", maybe("record", Form::Json(decision_record)))] },
        Child {
            name: "reviews",
            columns: &[
                maybe("review_id", Form::Text(id::<DecisionId>)),
                called("review", maybe("record", Form::Json(review_record))),
            ],
        },
    ],
};

const EVENTS: Table = Table {
    name: "events",
    kind: "event",
    order: "id",
    identity: "id",
    goes_with_ticket: true,
    exported: Some(Exported {
        columns: &[
            needed("id", Form::Event),
            needed("detail_type", Form::Text(any_text)),
            needed("ticket_id", Form::Text(id::<TicketId>)),
            needed("correlation_id", Form::Text(id::<CorrelationId>)),
            needed("at", Form::Time),
            needed("detail", Form::Json(any_json)),
        ],
        check: check_event,
        by_index: false,
    }),
    children: &[],
};

const DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    kind: "dead_letter",
    order: "event",
    identity: "event",
    goes_with_ticket: true,
    exported: Some(Exported {
        columns: &[
            needed("event", Form::Event),
            needed("ticket_id", Form::Text(id::<TicketId>)),
            needed("reason", Form::Text(any_text)),
            needed("failed", Form::Integer),
            needed("interrupted", Form::Integer),
            needed("at", Form::Time),
        ],
        check: nothing_more,
        by_index: false,
    }),
    children: &[],
};

const EFFECTS: Table = Table {
    name: "effects",
    kind: "effect",
    order: "id",
    identity: "id",
    goes_with_ticket: true,
    exported: Some(Exported {
        columns: &[
            needed("id", Form::Text(id::<EffectId>)),
            called("effect_kind", needed("kind", Form::Word(words_of!(EffectKind)))),
            needed("ticket_id", Form::Text(id::<TicketId>)),
            needed("event", Form::Event),
            needed("state", Form::Word(words_of!(EffectState))),
            needed("attempts", Form::Integer),
            needed("intended_at", Form::Time),
            needed("changed_at", Form::Time),
            maybe("receipt", Form::Text(any_text)),
            maybe("error", Form::Text(any_text)),
        ],
        check: nothing_more,
        by_index: true,
    }),
    children: &[],
};

const EXAMPLES: Table = Table {
    name: "examples",
    kind: "example",
    order: "id",
    identity: "example_id",
    goes_with_ticket: false,
    exported: Some(Exported {
        columns: &[
            needed("example_id", Form::Text(id::<ExampleId>)),
            needed("text", Form::Text(any_text)),
            maybe("category", Form::Text(id::<CategoryId>)),
            maybe("team", Form::Text(id::<TeamId>)),
            needed("source", Form::Word(words_of!(ExampleSource))),
            needed("at", Form::Time),
        ],
        check: nothing_more,
        by_index: false,
    }),
    children: &[],
};

const CUSTOMERS: Table = Table {
    name: "customers",
    kind: "customer",
    order: "customer_id",
    identity: "customer_id",
    goes_with_ticket: false,
    exported: Some(Exported {
        columns: &[
            needed("customer_id", Form::Text(id::<CustomerId>)),
            needed("record", Form::Json(customer_record)),
            maybe("fetched_at", Form::Time),
        ],
        check: check_customer,
        by_index: true,
    }),
    children: &[],
};

/// A ticket's line must be one ticket, and its parts there when its state says so.
fn check_ticket(fields: &Fields) -> Result<(), String> {
    let ticket: TicketRecord = inner(fields, "ticket")?.ok_or("`ticket` is missing")?;
    same("ticket_id", fields, ticket.ticket_id.as_str())?;
    same("customer_id", fields, ticket.customer_id.as_str())?;
    let decision: Option<Decision> = inner(fields, "decision")?;
    let routed: bool = inner(fields, "routed")?.unwrap_or_default();
    if routed != decision.is_some() {
        return Err("`routed` and `decision` contradict each other".to_owned());
    }
    if let Some(decision) = &decision {
        same("ticket_id", fields, decision.ticket_id.as_str())?;
        same("decision_id", fields, decision.decision_id.as_str())?;
    }
    let review: Option<Review> = inner(fields, "review")?;
    if fields.contains_key("review_id") != review.is_some() || (review.is_some() && decision.is_none()) {
        return Err("`review` stands without its `review_id` or its `decision`".to_owned());
    }
    if let Some(review) = &review {
        same("ticket_id", fields, review.ticket_id.as_str())?;
        same("review_id", fields, review.review_id.as_str())?;
    }
    Ok(())
}

fn check_event(fields: &Fields) -> Result<(), String> {
    let detail_type: String = inner(fields, "detail_type")?.unwrap_or_default();
    let detail = fields.get("detail").map_or("", |raw| raw.get());
    let detail = EventDetail::from_record(&detail_type, detail).map_err(|error| format!("`detail`: {error}"))?;
    same("ticket_id", fields, detail.ticket_id().as_str())
}

fn check_customer(fields: &Fields) -> Result<(), String> {
    let customer: Option<Customer> = inner(fields, "record")?;
    customer.map_or(Ok(()), |customer| same("customer_id", fields, customer.customer_id.as_str()))
}

fn inner<T: serde::de::DeserializeOwned>(fields: &Fields, name: &str) -> Result<Option<T>, String> {
    let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|error| format!("`{name}`: {error}"));
    fields.get(name).map(|raw| read(raw)).transpose()
}

fn same(name: &str, fields: &Fields, inside: &str) -> Result<(), String> {
    match inner::<String>(fields, name)? {
        Some(outside) if outside == inside => Ok(()),
        _ => Err(format!("`{name}` is not that of the record beside it")),
    }
}

impl Form {
    /// A stored value as JSON.
    pub(crate) fn to_json(&self, value: ValueRef<'_>) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match self {
            Self::Text(_) | Self::Event => serde_json::to_string(value.as_str()?)?,
            Self::Integer => value.as_i64()?.to_string(),
            Self::Real => serde_json::to_string(&value.as_f64()?)?,
            Self::Flag => (value.as_i64()? != 0).to_string(),
            Self::Time => serde_json::to_string(&Timestamp::from_millis(value.as_i64()?))?,
            Self::Word(words) => {
                let at = usize::try_from(value.as_i64()?)?;
                serde_json::to_string(words().get(at).ok_or("an unknown word is stored")?)?
            }
            // Line breaks in JSON stand between its parts only: within texts they are escaped.
            Self::Json(_) => value.as_str()?.replace(['\n', '\r'], " "),
        })
    }

    /// A value of an export, checked, as it is stored.
    pub(crate) fn to_sql(&self, raw: &RawValue) -> Result<Value, String> {
        let json = raw.get();
        let text = || serde_json::from_str::<String>(json).map_err(|_| "must be a text".to_owned());
        Ok(match self {
            Self::Text(check) => {
                let text = text()?;
                check(&text)?;
                text.into()
            }
            Self::Event => {
                let text = text()?;
                id::<EventId>(&text)?;
                text.into()
            }
            Self::Integer => json.parse::<i64>().map_err(|_| "must be a whole number".to_owned())?.into(),
            // Not by serde_json, which may round the last bit.
            Self::Real => match json.parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => return Err("must be a number".to_owned()),
            },
            Self::Flag => match json {
                "true" => 1_i64.into(),
                "false" => 0_i64.into(),
                _ => return Err("must be true or false".to_owned()),
            },
            Self::Time => {
                let time: Timestamp = text()?.parse().map_err(|error| format!("{error}"))?;
                time.as_millis().into()
            }
            Self::Word(words) => {
                let (text, words) = (text()?, words());
                let at = words.iter().position(|word| *word == text);
                let at = at.ok_or_else(|| format!("must be one of: {}", words.join(", ")))?;
                i64::try_from(at).unwrap_or(i64::MAX).into()
            }
            Self::Json(check) => {
                check(json)?;
                json.to_owned().into()
            }
        })
    }
}

#[cfg(test)]
mod tests;
