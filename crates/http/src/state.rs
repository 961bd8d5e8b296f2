use std::sync::Arc;

use switchboard_core::{access::Pepper, app::App, limits};
use tokio::sync::Semaphore;

use crate::auth::{PasswordGuard, SignIn};

/// What the routes need beside the core.
pub struct Service {
    /// The core's ports.
    pub app: App,
    /// The server's secret in key hashes.
    pub pepper: Pepper,
    /// Signing in.
    pub sign_in: SignIn,
    /// Where this runs: `development`, `production`, …
    pub environment: String,
    /// Whether `/metrics` asks for a key with the scope `metrics:read`.
    pub metrics_need_key: bool,
    /// Writes the metrics in Prometheus' text format.
    pub render_metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Shared by all requests.
#[derive(Clone)]
pub struct HttpState {
    pub(crate) service: Arc<Service>,
    pub(crate) batches: Arc<Semaphore>,
    pub(crate) passwords: PasswordGuard,
}

impl HttpState {
    /// The state of one server.
    pub fn new(service: Service) -> Self {
        Self {
            service: Arc::new(service),
            batches: Arc::new(Semaphore::new(limits::BATCHES_AT_ONCE)),
            passwords: PasswordGuard::default(),
        }
    }

    pub(crate) fn app(&self) -> &App {
        &self.service.app
    }
}
