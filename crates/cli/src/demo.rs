//! The demo tenant `telecorp`, compiled in from `examples/telecorp`.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;
use switchboard_core::{
    ids::{CategoryId, TeamId, TenantId},
    ports::{CustomerStore, Example, ExampleSource, ExampleStore, StoredCustomer, TenantScope},
    time::Timestamp,
    untrusted::Untrusted,
};
use switchboard_local::SqliteStore;

const CONFIG: &[u8] = include_bytes!("../../../examples/telecorp/config.json");
const STATUS: &[u8] = include_bytes!("../../../examples/telecorp/service-status.json");
const HISTORY: &str = include_str!("../../../examples/telecorp/history.jsonl");
const CUSTOMERS: &str = include_str!("../../../examples/telecorp/customers.jsonl");

/// The demo tenant's id.
pub(crate) fn tenant() -> Result<TenantId> {
    "telecorp".parse().context("the demo tenant's id")
}

/// Puts the demo tenant into the tenants' folder, its customers and its history into the store.
pub(crate) async fn install(tenants: &Path, store: &SqliteStore, now: Timestamp) -> Result<()> {
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
    let scope = TenantScope::of_operator(tenant()?);
    store.put_customers(&scope, customers).await?;
    store.add(&scope, history(now)?).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Past {
    id: String,
    subject: String,
    description: String,
    category: CategoryId,
    team: TeamId,
}

/// Tickets of the past that the demo tenant's classifier learns from.
fn history(now: Timestamp) -> Result<Vec<Example>> {
    let example = |line: &str| -> Result<Example> {
        let past: Past = serde_json::from_str(line)?;
        Ok(Example {
            id: format!("import:{}", past.id).parse()?,
            text: Untrusted::new(past.subject).join(&Untrusted::new(past.description)),
            category: Some(past.category),
            team: Some(past.team),
            source: ExampleSource::Import,
            at: now,
        })
    };
    HISTORY.lines().map(example).collect::<Result<_>>().context("the demo tenant's history is not valid")
}
