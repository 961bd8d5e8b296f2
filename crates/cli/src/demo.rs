//! The demo tenant `telecorp`, compiled in from `examples/telecorp`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use switchboard_core::{
    ids::TenantId,
    ports::{CustomerStore, StoredCustomer, TenantScope},
};

const CONFIG: &[u8] = include_bytes!("../../../examples/telecorp/config.json");
const STATUS: &[u8] = include_bytes!("../../../examples/telecorp/service-status.json");
const CUSTOMERS: &str = include_str!("../../../examples/telecorp/customers.jsonl");

/// The demo tenant's id.
pub(crate) fn tenant() -> Result<TenantId> {
    "telecorp".parse().context("the demo tenant's id")
}

/// Puts the demo tenant into the tenants' folder and its customers into the store.
pub(crate) async fn install(tenants: &Path, store: &dyn CustomerStore) -> Result<()> {
    let folder = tenants.join(tenant()?.as_str());
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (name, bytes) in [("service-status.json", STATUS), ("config.json", CONFIG)] {
        fs::write(folder.join(name), bytes).with_context(|| format!("{name} of the demo tenant cannot be written"))?;
    }
    let customers = CUSTOMERS
        .lines()
        .map(|line| Ok(StoredCustomer { customer: serde_json::from_str(line)?, fetched_at: None }))
        .collect::<Result<Vec<_>>>()
        .context("the demo customers are not valid")?;
    store.put_customers(&TenantScope::of_operator(tenant()?), customers).await?;
    Ok(())
}
