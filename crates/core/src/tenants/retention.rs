//! How long each kind of data is kept: the server's rule, and what a tenant's configuration says instead.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use crate::{ids::TenantId, limits, time::Timestamp};

/// How long something is kept: a number of days, or `"forever"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFor {
    /// So many days, 1 to [`limits::RETENTION_DAYS`].
    Days(u32),
    /// It has no end.
    Forever,
}

impl KeepFor {
    /// The time up to which everything is to go; `None` when nothing is.
    pub fn end(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Days(days) => Some(now.minus(Duration::from_secs(u64::from(days) * 24 * 3600))),
            Self::Forever => None,
        }
    }
}

impl fmt::Display for KeepFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days} days"),
            Self::Forever => f.write_str("forever"),
        }
    }
}

impl Serialize for KeepFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Days(days) => serializer.serialize_u32(*days),
            Self::Forever => serializer.serialize_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for KeepFor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeepForVisitor)
    }
}

struct KeepForVisitor;

impl de::Visitor<'_> for KeepForVisitor {
    type Value = KeepFor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of days from 1 to {}, or \"forever\"", limits::RETENTION_DAYS)
    }

    fn visit_u64<E: de::Error>(self, days: u64) -> Result<KeepFor, E> {
        match u32::try_from(days) {
            Ok(days) if (1..=limits::RETENTION_DAYS).contains(&days) => Ok(KeepFor::Days(days)),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(days), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, days: i64) -> Result<KeepFor, E> {
        match u64::try_from(days) {
            Ok(days) => self.visit_u64(days),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(days), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<KeepFor, E> {
        match text {
            "forever" => Ok(KeepFor::Forever),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

/// How long each kind of data is kept. Counted from the time at which it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Tickets with their decisions, reviews and write-back. One that is not finished is kept however old it is.
    pub tickets_days: KeepFor,
    /// The archive of events. Those of unfinished tickets are kept.
    pub events_days: KeepFor,
    /// What classifiers learn from: imported history and the texts of reviewed tickets.
    pub examples_days: KeepFor,
    /// Customers that were looked up elsewhere. Those that an operator put in have no end.
    pub customers_days: KeepFor,
    /// Dead letters: after this time they are dropped as by `switchboard dlq drop`. Without end they stay until an
    /// operator decides.
    pub dead_letters_days: KeepFor,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |time: Duration| KeepFor::Days(u32::try_from(time.as_secs() / (24 * 3600)).unwrap_or(u32::MAX));
        Self {
            tickets_days: days(limits::TICKET_RETENTION),
            events_days: days(limits::EVENT_RETENTION),
            examples_days: KeepFor::Forever,
            customers_days: days(limits::TICKET_RETENTION),
            dead_letters_days: KeepFor::Forever,
        }
    }
}

impl Retention {
    /// Nothing goes by itself.
    pub const FOREVER: Self = Self {
        tickets_days: KeepFor::Forever,
        events_days: KeepFor::Forever,
        examples_days: KeepFor::Forever,
        customers_days: KeepFor::Forever,
        dead_letters_days: KeepFor::Forever,
    };
}

/// What a tenant keeps for another time than the server says. What is absent is as the server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Tickets with their decisions and reviews.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub tickets_days: Option<KeepFor>,
    /// The archive of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub events_days: Option<KeepFor>,
    /// What the classifier learns from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub examples_days: Option<KeepFor>,
    /// Customers that were looked up elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub customers_days: Option<KeepFor>,
    /// Dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub dead_letters_days: Option<KeepFor>,
}

/// The rule of every tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    server: Retention,
    tenants: BTreeMap<TenantId, Retention>,
}

impl RetentionPolicy {
    /// The server's rule for all tenants.
    pub fn new(server: Retention) -> Self {
        Self { server, tenants: BTreeMap::new() }
    }

    /// Notes what a tenant's configuration says instead.
    pub fn set(&mut self, tenant: TenantId, own: &RetentionConfig) {
        let server = self.server;
        let rule = Retention {
            tickets_days: own.tickets_days.unwrap_or(server.tickets_days),
            events_days: own.events_days.unwrap_or(server.events_days),
            examples_days: own.examples_days.unwrap_or(server.examples_days),
            customers_days: own.customers_days.unwrap_or(server.customers_days),
            dead_letters_days: own.dead_letters_days.unwrap_or(server.dead_letters_days),
        };
        self.tenants.insert(tenant, rule);
    }

    /// Keeps everything of a tenant whose configuration cannot be read: what it says is not known.
    pub fn keep_all(&mut self, tenant: TenantId) {
        self.tenants.insert(tenant, Retention::FOREVER);
    }

    /// The time up to which events of some tenant are to go; later ones are kept by all.
    pub fn events_end(&self, now: Timestamp) -> Option<Timestamp> {
        let rules = std::iter::once(&self.server).chain(self.tenants.values());
        rules.filter_map(|rule| rule.events_days.end(now)).max()
    }

    /// The rule of a tenant; the server's for one that is not configured.
    pub fn of(&self, tenant: &TenantId) -> &Retention {
        self.tenants.get(tenant).unwrap_or(&self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_forever_are_read_and_everything_else_is_refused_with_the_range() {
        let read = |text: &str| serde_json::from_str::<KeepFor>(text).map_err(|error| error.to_string());
        assert_eq!(read("30"), Ok(KeepFor::Days(30)));
        assert_eq!(read("\"forever\""), Ok(KeepFor::Forever));
        for bad in ["0", "-1", "36501", "\"ever\"", "1.5", "null", "18446744073709551615"] {
            let refused = read(bad).unwrap_err();
            assert!(refused.contains("a number of days from 1 to 36500, or \"forever\""), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_tenant_overrides_only_what_it_names() {
        let mut policy = RetentionPolicy::default();
        let (acme, other): (TenantId, TenantId) = ("acme".parse().unwrap(), "other".parse().unwrap());
        policy.set(acme.clone(), &serde_json::from_str(r#"{"tickets_days": 30, "examples_days": 365}"#).unwrap());
        assert_eq!(policy.of(&acme).tickets_days, KeepFor::Days(30));
        assert_eq!(policy.of(&acme).events_days, KeepFor::Days(7));
        assert_eq!(policy.of(&acme).examples_days, KeepFor::Days(365));
        assert_eq!(*policy.of(&other), Retention::default());
    }
}
