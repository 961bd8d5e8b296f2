use aws_config::SdkConfig;
use aws_sdk_bedrockruntime::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, ProvideCredentials, Region, RuntimeComponents, StalledStreamProtectionConfig,
        interceptors::BeforeDeserializationInterceptorContextMut, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::BoxError,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use moka::sync::Cache;
use tokio::sync::OnceCell;
use url::Url;

use crate::clients::{self, CONNECT_TIME};

/// Regions whose clients are kept.
const REGIONS: u64 = 32;

/// The clients of Bedrock, one for each region. The first call looks for credentials and region, so a program that never calls
/// never looks.
pub struct BedrockClients {
    config: OnceCell<SdkConfig>,
    region: Option<String>,
    endpoint: Option<Url>,
    clients: Cache<String, Client>,
}

/// What is known of the credentials without a call of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// There are some; whether they are good is not known.
    Found,
    /// There are none.
    Missing,
}

impl BedrockClients {
    /// Clients by what the environment or the profile says, and by these settings: the region of providers that name none, and
    /// another address of the service (an emulator, or a VPC endpoint).
    pub fn new(region: Option<String>, endpoint: Option<Url>) -> Self {
        Self { config: OnceCell::new(), region, endpoint, clients: Cache::new(REGIONS) }
    }

    /// Clients by a configuration that is there already.
    pub fn over(config: SdkConfig) -> Self {
        Self { config: OnceCell::new_with(Some(config)), ..Self::new(None, None) }
    }

    /// The same credentials, connections and address as for the other services.
    pub fn beside(clients: &crate::Clients) -> Self {
        Self::over(clients.config.clone())
    }

    /// The region of providers that name none.
    pub async fn default_region(&self) -> Option<String> {
        default_region(self.config().await).map(str::to_owned)
    }

    /// Looks for credentials, as the first call would.
    pub async fn credentials(&self) -> Credentials {
        match self.config().await.credentials_provider() {
            Some(provider) if provider.provide_credentials().await.is_ok() => Credentials::Found,
            _ => Credentials::Missing,
        }
    }

    /// The client of `region`, or of the default region; none when there is neither.
    pub(crate) async fn of(&self, region: Option<&str>) -> Option<Client> {
        let config = self.config().await;
        let region = region.or(default_region(config))?.to_owned();
        Some(self.clients.get_with_by_ref(&region, || client(config, &region)))
    }

    async fn config(&self) -> &SdkConfig {
        self.config.get_or_init(|| clients::load(self.region.as_deref(), self.endpoint.as_ref())).await
    }
}

fn default_region(config: &SdkConfig) -> Option<&str> {
    // The SDK takes an empty variable for a region.
    config.region().map(AsRef::as_ref).filter(|region: &&str| !region.is_empty())
}

fn client(config: &SdkConfig, region: &str) -> Client {
    let config = Builder::from(config)
        .region(Region::new(region.to_owned()))
        // Each try costs: whoever asks decides about them, and how long one may take.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIME).build())
        // A model that thinks is silent for longer than the SDK would wait.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}

/// Ends an answer that is longer than so many bytes with [`http_body_util::LengthLimitError`].
#[derive(Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

impl Intercept for BodyLimit {
    fn name(&self) -> &'static str {
        "BodyLimit"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, self.0));
        Ok(())
    }
}
