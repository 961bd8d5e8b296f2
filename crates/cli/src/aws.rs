//! AWS as the command line and the server see it.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use switchboard_aws::{Clients, DynamoCustomers, DynamoKeys, DynamoStore, Names, S3Models, S3Tenants, SecretsManager};
use switchboard_core::{app::App, ports::Clock};
use url::Url;

use crate::{
    settings::{AwsAdapter, AwsSettings, Settings},
    wire::{Core, Elsewhere},
};

/// The clients that the settings ask for.
pub(crate) async fn clients(settings: &AwsSettings) -> Result<Clients> {
    let url = |name: &str, text: &str| match text {
        "" => Ok(None),
        text => text.parse::<Url>().map(Some).with_context(|| format!("aws.{name}: `{text}` is no URL")),
    };
    if settings.bucket.is_empty() {
        bail!("aws.bucket is not set: it is an output of the deployment");
    }
    Ok(Clients::new(&switchboard_aws::Settings {
        region: Some(settings.region.clone()).filter(|region| !region.is_empty()),
        endpoint: url("endpoint", &settings.endpoint)?,
        names: Names {
            prefix: settings.prefix.clone(),
            bucket: settings.bucket.clone(),
            bus: settings.bus.clone(),
            jobs_queue: url("jobs_queue", &settings.jobs_queue)?,
        },
    })
    .await)
}

/// What `serve` keeps on AWS.
pub(crate) async fn elsewhere(settings: &AwsSettings, clock: &Arc<dyn Clock>) -> Result<Elsewhere> {
    if settings.adapters.is_empty() {
        return Ok(Elsewhere::default());
    }
    let clients = clients(settings).await?;
    let is_chosen = |adapter| settings.adapters.contains(&adapter);
    Ok(Elsewhere {
        tenants: is_chosen(AwsAdapter::Tenants)
            .then(|| Arc::new(S3Tenants::new(clients.clone(), clock.clone())) as _),
        models: is_chosen(AwsAdapter::Models).then(|| Arc::new(S3Models::new(clients.clone())) as _),
        secrets: is_chosen(AwsAdapter::Secrets)
            .then(|| Arc::new(SecretsManager::new(clients.clone(), clock.clone())) as _),
    })
}
