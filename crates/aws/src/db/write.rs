//! One conditional write, alone or in a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure as Returned,
        TransactWriteItem, Update,
    },
};
use switchboard_core::error::{Error, ErrorKind, Result};

use super::{Item, incomplete};
use crate::{Names, error::explain};

/// One write of one item. Attributes are named in conditions as `#name`; values as `:name`.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    table: &'static str,
    action: Action,
    /// The key, or the whole item of a put.
    item: Item,
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: Item,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Put,
    Update,
    Delete,
    Check,
}

/// The table and the condition of a request: each kind of write has a builder of its own, with the same methods.
macro_rules! conditional {
    ($write:ident, $table:expr, $builder:expr) => {
        $builder
            .table_name($table)
            .set_condition_expression($write.condition.clone())
            .set_expression_attribute_names($write.names())
            .set_expression_attribute_values($write.values())
    };
}

/// The same for a part of a transaction, which tells the item as it is when its condition fails.
macro_rules! transacted {
    ($write:ident, $table:expr, $builder:expr) => {
        conditional!($write, $table, $builder)
            .return_values_on_condition_check_failure(Returned::AllOld)
            .build()
            .map_err(incomplete)?
    };
}

impl Write {
    fn new(table: &'static str, action: Action, item: Item) -> Self {
        Self {
            table,
            action,
            item,
            set: Vec::new(),
            remove: Vec::new(),
            add: Vec::new(),
            condition: None,
            names: HashMap::new(),
            values: Item::new(),
        }
    }

    /// The whole item.
    pub(crate) fn put(table: &'static str, item: Item) -> Self {
        Self::new(table, Action::Put, item)
    }

    /// Some attributes of an item, which is made when it is not there.
    pub(crate) fn update(table: &'static str, key: Item) -> Self {
        Self::new(table, Action::Update, key)
    }

    /// Removes an item.
    pub(crate) fn delete(table: &'static str, key: Item) -> Self {
        Self::new(table, Action::Delete, key)
    }

    /// Writes nothing; its condition must hold.
    pub(crate) fn check(table: &'static str, key: Item) -> Self {
        Self::new(table, Action::Check, key)
    }

    /// Sets an attribute.
    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{name} = :set_{name}"));
        self.values.insert(format!(":set_{name}"), value);
        self.named(name)
    }

    /// Sets an attribute when there is a value.
    pub(crate) fn set_some(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets an attribute, or removes it when there is no value.
    pub(crate) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(&[name]),
        }
    }

    /// Removes attributes.
    pub(crate) fn remove(mut self, names: &[&str]) -> Self {
        for name in names {
            self.remove.push(format!("#{name}"));
            self = self.named(name);
        }
        self
    }

    /// Adds to a number, or members to a set.
    pub(crate) fn add(mut self, name: &str, value: AttributeValue) -> Self {
        self.add.push(format!("#{name} :add_{name}"));
        self.values.insert(format!(":add_{name}"), value);
        self.named(name)
    }

    /// Only under this condition, and all others that were given.
    pub(crate) fn when<const N: usize>(mut self, condition: &str, values: [(&str, AttributeValue); N]) -> Self {
        for part in condition.split('#').skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            self = self.named(&name);
        }
        self.values.extend(values.into_iter().map(|(name, value)| (format!(":{name}"), value)));
        self.condition = Some(match self.condition.take() {
            Some(before) => format!("({before}) AND ({condition})"),
            None => condition.to_owned(),
        });
        self
    }

    /// Only when there is no such item, or its time to live is over although it still lies there.
    pub(crate) fn when_absent(self, hash: &str, now_seconds: i64) -> Self {
        let condition = format!("attribute_not_exists(#{hash}) OR #ttl < :absent_now");
        self.when(&condition, [("absent_now", super::n(now_seconds))])
    }

    fn named(mut self, name: &str) -> Self {
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    fn changes(&self) -> Option<String> {
        let clause = |word: &str, parts: &[String]| (!parts.is_empty()).then(|| format!("{word} {}", parts.join(", ")));
        let all = [clause("SET", &self.set), clause("REMOVE", &self.remove), clause("ADD", &self.add)];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    pub(super) fn in_transaction(&self, names: &Names) -> Result<TransactWriteItem> {
        let (table, item) = (names.table(self.table), Some(self.item.clone()));
        let write = TransactWriteItem::builder();
        Ok(match self.action {
            Action::Put => write.put(transacted!(self, table, Put::builder().set_item(item))),
            Action::Update => {
                let changes = Update::builder().set_key(item).set_update_expression(self.changes());
                write.update(transacted!(self, table, changes))
            }
            Action::Delete => write.delete(transacted!(self, table, Delete::builder().set_key(item))),
            Action::Check => write.condition_check(transacted!(self, table, ConditionCheck::builder().set_key(item))),
        }
        .build())
    }

    /// Updates the item by itself; `false` when the condition failed. Only updates are done so.
    pub(super) async fn alone(
        &self,
        client: &aws_sdk_dynamodb::Client,
        names: &Names,
        what: &'static str,
    ) -> Result<bool> {
        if self.action != Action::Update {
            return Err(Error::new(ErrorKind::Internal, "only an update is written by itself"));
        }
        let request = client.update_item().set_key(Some(self.item.clone())).set_update_expression(self.changes());
        let request = conditional!(self, names.table(self.table), request);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(false),
            Err(error) => Err(explain(what, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{key, n, s};

    #[test]
    fn expressions_name_all_they_use() {
        let write = Write::update("events", key("event", "E"))
            .set("state", s("due"))
            .remove(&["queue", "turn"])
            .add("failed", n(1))
            .when("#state = :leased AND #token = :token", [("leased", s("leased")), ("token", n(3))])
            .when_absent("event", 7);
        assert_eq!(write.changes().unwrap(), "SET #state = :set_state REMOVE #queue, #turn ADD #failed :add_failed");
        let mut names: Vec<_> = write.names().unwrap().into_values().collect();
        names.sort();
        assert_eq!(names, ["event", "failed", "queue", "state", "token", "ttl", "turn"]);
        assert_eq!(write.values().unwrap().len(), 5);
        let condition = write.condition.unwrap();
        assert!(condition.starts_with("(#state = :leased AND #token = :token) AND ("), "{condition}");
    }
}
