use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use switchboard_core::{
    error::Result,
    ids::CustomerId,
    ports::{Clock, CustomerStore, Ids, StoredCustomer, TenantScope},
};

use crate::{
    Clients,
    db::{Db, Item, Read, item, key, millis, s, to_json},
};

const TABLE: &str = "customers";

/// Customers in DynamoDB, one item each. A put of many customers keeps each one whole or not at all; when it fails, some may
/// be kept already, and putting them again mends that.
pub struct DynamoCustomers(Db);

impl DynamoCustomers {
    /// The customers of these tables.
    pub fn new(clients: &Clients, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self(Db::new(clients, clock, ids))
    }
}

/// A tenant's id has no `#`, so the first one ends it.
fn name(scope: &TenantScope, id: &CustomerId) -> String {
    format!("{}#{id}", scope.tenant())
}

fn to_item(scope: &TenantScope, stored: &StoredCustomer) -> Result<Item> {
    let name = s(name(scope, &stored.customer.customer_id));
    let mut item = item([("customer", name), ("record", s(to_json(&stored.customer)?))]);
    item.extend(stored.fetched_at.map(|at| ("fetched_at".to_owned(), millis(at))));
    Ok(item)
}

#[async_trait]
impl CustomerStore for DynamoCustomers {
    async fn stored_customer(&self, scope: &TenantScope, id: &CustomerId) -> Result<Option<StoredCustomer>> {
        let Some(item) = self.0.get(TABLE, key("customer", name(scope, id))).await? else { return Ok(None) };
        Ok(Some(StoredCustomer { customer: item.json("record")?, fetched_at: item.optional_time("fetched_at")? }))
    }

    async fn put_customers(&self, scope: &TenantScope, customers: Vec<StoredCustomer>) -> Result<()> {
        // The last one of an id counts; DynamoDB refuses a batch with two of them.
        let mut items = HashMap::with_capacity(customers.len());
        for stored in &customers {
            items.insert(&stored.customer.customer_id, to_item(scope, stored)?);
        }
        self.0.put_all(TABLE, items.into_values().collect()).await
    }
}
