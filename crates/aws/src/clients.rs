use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use url::Url;

/// Tries of one call, the first one included: the standard mode of the SDK, with jitter and its budget of tokens.
const ATTEMPTS: u32 = 3;
/// The longest that a connection may take to be made.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(2);
/// The longest that one try may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(4);
/// The longest that a call with all its tries may take.
const CALL_TIME: Duration = Duration::from_secs(10);

/// Where AWS is, and what our things there are called.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region; by default what the environment or the profile says.
    pub region: Option<String>,
    /// Another address for all services: an emulator, or a VPC endpoint. Without one, the SDK looks into the environment
    /// (`AWS_ENDPOINT_URL`, and `AWS_ENDPOINT_URL_DYNAMODB` and so on, which go before it).
    pub endpoint: Option<Url>,
    /// What the names of all resources begin with.
    pub names: Names,
}

/// The names of the resources. They begin with one prefix, so that several deployments fit in an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// What the names of the tables begin with, such as `switchboard`; it is followed by a hyphen.
    pub prefix: String,
    /// The bucket of tenant configurations, large bodies, documents and models.
    pub bucket: String,
    /// The bus that events are published on.
    pub bus: String,
    /// The URL of the queue of jobs.
    pub jobs_queue: Option<Url>,
}

impl Names {
    /// The name of a table.
    pub fn table(&self, table: &str) -> String {
        format!("{}-{table}", self.prefix)
    }
}

/// The clients of all services, over one pool of connections.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Tables.
    pub dynamo: aws_sdk_dynamodb::Client,
    /// Events.
    pub events: aws_sdk_eventbridge::Client,
    /// Objects.
    pub s3: aws_sdk_s3::Client,
    /// Secrets.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// Messages.
    pub sqs: aws_sdk_sqs::Client,
    /// What things are called.
    pub names: Names,
    /// What the clients of further services are made from.
    pub config: SdkConfig,
}

/// The configuration of all clients. Credentials come from where the SDK looks for them.
pub(crate) async fn load(region: Option<&str>, endpoint: Option<&Url>) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIME)
                .operation_attempt_timeout(ATTEMPT_TIME)
                .operation_timeout(CALL_TIME)
                .build(),
        );
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
    }
    loader.load().await
}

impl Clients {
    /// Connects nothing yet; credentials come from where the SDK looks for them (environment, profile, role).
    pub async fn new(settings: &Settings) -> Self {
        Self::from_config(load(settings.region.as_deref(), settings.endpoint.as_ref()).await, settings)
    }

    fn from_config(config: SdkConfig, settings: &Settings) -> Self {
        // Emulators serve buckets by path, not by host name.
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(config.endpoint_url().is_some()).build();
        Self {
            dynamo: aws_sdk_dynamodb::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            names: settings.names.clone(),
            config,
        }
    }
}
