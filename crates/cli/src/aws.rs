//! AWS as the command line and the server see it.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use switchboard_aws::{BedrockClients, Clients, Deployment, ManagedSecrets, Names, S3Models, S3Tenants};
use switchboard_connect::connectors;
use switchboard_core::ports::{Clock, Ids};
use switchboard_knowledge::LocalClassifier;
use switchboard_local::{SystemClock, SystemIds};
use url::Url;

use crate::{
    settings::{AwsAdapter, AwsSettings, Settings},
    wire::{Core, Elsewhere, outbound},
};

/// The clients that the settings ask for.
pub(crate) async fn clients(settings: &AwsSettings) -> Result<Clients> {
    if settings.bucket.is_empty() {
        bail!("aws.bucket is not set: it is an output of the deployment");
    }
    Ok(Clients::new(&switchboard_aws::Settings {
        region: region(settings),
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

/// The clients of Bedrock, which need no setting: what is not said here, the SDK looks for when a model is asked.
pub(crate) fn bedrock(settings: &AwsSettings) -> Result<BedrockClients> {
    Ok(BedrockClients::new(region(settings), url("endpoint", &settings.endpoint)?))
}

fn region(settings: &AwsSettings) -> Option<String> {
    Some(settings.region.clone()).filter(|region| !region.is_empty())
}

fn url(name: &str, text: &str) -> Result<Option<Url>> {
    match text {
        "" => Ok(None),
        text => text.parse::<Url>().map(Some).with_context(|| format!("aws.{name}: `{text}` is no URL")),
    }
}

/// The data of a deployment, for `--aws`.
pub(crate) async fn core(settings: &Settings) -> Result<Core> {
    let clients = clients(&settings.aws).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ids: Arc<dyn Ids> = Arc::new(SystemIds::default());
    let deployment = Deployment::open(clients, &settings.aws.pepper_secret, clock.clone(), ids, |store| store).await;
    let deployment = deployment.context("aws.pepper_secret cannot be used")?;
    let connectors = connectors(&outbound(settings)?, &deployment.secrets, &clock);
    let app = deployment.app(connectors, Arc::new(LocalClassifier::new(1)));
    Ok(Core::on_aws(app, deployment.pepper, deployment.bell))
}

/// What `serve` keeps on AWS.
pub(crate) async fn elsewhere(settings: &AwsSettings, clock: &Arc<dyn Clock>) -> Result<Elsewhere> {
    if settings.adapters.is_empty() {
        return Ok(Elsewhere::default());
    }
    let clients = clients(settings).await?;
    let is_chosen = |adapter| settings.adapters.contains(&adapter);
    Ok(Elsewhere {
        tenants: is_chosen(AwsAdapter::Tenants).then(|| Arc::new(S3Tenants::new(clients.clone(), clock.clone())) as _),
        models: is_chosen(AwsAdapter::Models).then(|| Arc::new(S3Models::new(clients.clone())) as _),
        secrets: is_chosen(AwsAdapter::Secrets)
            .then(|| Arc::new(ManagedSecrets::new(clients.clone(), clock.clone())) as _),
    })
}
