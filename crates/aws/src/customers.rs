use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use switchboard_core::{
    error::Result,
    ids::CustomerId,
    ports::{Clock, CustomerStore, StoredCustomer, TenantScope},
};

use crate::{
    Clients,
    attributes::{Item, Row, item, json, text, time},
    bulk,
    error::explain,
};

const TABLE: &str = "customers";

/// Customers in DynamoDB, one item each. A put of many customers keeps each one whole or not at all; when it fails, some may
/// be kept already, and putting them again mends that.
pub struct DynamoCustomers {
    clients: Clients,
    clock: Arc<dyn Clock>,
}

impl DynamoCustomers {
    /// The customers of these tables.
    pub fn new(clients: Clients, clock: Arc<dyn Clock>) -> Self {
        Self { clients, clock }
    }
}

/// A tenant's id has no `#`, so the first one ends it.
fn key(scope: &TenantScope, id: &CustomerId) -> String {
    format!("{}#{id}", scope.tenant())
}

fn to_item(scope: &TenantScope, stored: &StoredCustomer) -> Result<Item> {
    let key = text(key(scope, &stored.customer.customer_id));
    let mut item = item([("customer", key), ("record", text(json(&stored.customer)?))]);
    item.extend(stored.fetched_at.map(|at| ("fetched_at".to_owned(), time(at))));
    Ok(item)
}

#[async_trait]
impl CustomerStore for DynamoCustomers {
    async fn stored_customer(&self, scope: &TenantScope, id: &CustomerId) -> Result<Option<StoredCustomer>> {
        let request = self.clients.dynamo.get_item().table_name(self.clients.names.table(TABLE));
        let found = request.key("customer", text(key(scope, id))).consistent_read(true).send().await;
        let Some(item) = found.map_err(|error| explain("reading a customer", error))?.item else { return Ok(None) };
        let row = Row { table: TABLE, item: &item };
        Ok(Some(StoredCustomer { customer: row.json("record")?, fetched_at: row.optional_time("fetched_at")? }))
    }

    async fn put_customers(&self, scope: &TenantScope, customers: Vec<StoredCustomer>) -> Result<()> {
        // The last one of an id counts; DynamoDB refuses a batch with two of them.
        let mut items = HashMap::with_capacity(customers.len());
        for stored in &customers {
            items.insert(&stored.customer.customer_id, to_item(scope, stored)?);
        }
        bulk::put_all(&self.clients, self.clock.as_ref(), TABLE, items.into_values().collect()).await
    }
}
