use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};
use switchboard_core::{
    error::Result,
    ids::CustomerId,
    ports::{CustomerStore, StoredCustomer, TenantScope},
    time::Timestamp,
};

use crate::{
    db::explain,
    store::{SqliteStore, rows},
};

#[async_trait]
impl CustomerStore for SqliteStore {
    async fn stored_customer(&self, scope: &TenantScope, id: &CustomerId) -> Result<Option<StoredCustomer>> {
        let (tenant, id) = (scope.tenant().clone(), id.clone());
        let read = |row: &Row<'_>| {
            Ok(StoredCustomer {
                customer: rows::from_json("customer", row.get_ref("record")?.as_str()?)?,
                fetched_at: row.get::<_, Option<i64>>("fetched_at")?.map(Timestamp::from_millis),
            })
        };
        self.db
            .look_up(move |connection| {
                connection
                    .prepare_cached("SELECT record, fetched_at FROM customers WHERE tenant = ?1 AND customer_id = ?2")?
                    .query_row(params![tenant.as_str(), id.as_str()], read)
                    .optional()
            })
            .await
    }

    async fn put_customers(&self, scope: &TenantScope, customers: Vec<StoredCustomer>) -> Result<()> {
        let tenant = scope.tenant().clone();
        self.db
            .writer
            .write(move |connection| {
                for stored in customers {
                    let record = rows::to_json(&stored.customer)?;
                    connection
                        .prepare_cached(
                            "INSERT INTO customers (tenant, customer_id, record, fetched_at) VALUES (?1, ?2, ?3, ?4)
                             ON CONFLICT (tenant, customer_id)
                             DO UPDATE SET record = excluded.record, fetched_at = excluded.fetched_at",
                        )
                        .and_then(|mut statement| {
                            statement.execute(params![
                                tenant.as_str(),
                                stored.customer.customer_id.as_str(),
                                record,
                                stored.fetched_at.map(Timestamp::as_millis),
                            ])
                        })
                        .map_err(explain)?;
                }
                Ok(())
            })
            .await
    }
}
