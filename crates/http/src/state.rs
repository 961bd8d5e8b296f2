use std::sync::Arc;

use switchboard_core::{access::Pepper, app::App, limits, ports::Secrets};
use tokio::sync::Semaphore;

use crate::{
    auth::{PasswordGuard, SignIn},
    door::{Admission, Backlog, Limits, Rates, TrustedProxies},
    shares::Shares,
};

/// Bytes of unfinished and unread bodies of known callers together, batches aside: connections alone would allow a mebibyte each.
const BODIES_BYTES: usize = 64 * 1024 * 1024;

/// What the routes need beside the core.
pub struct Service {
    /// The core's ports.
    pub app: App,
    /// The server's secret in key hashes.
    pub pepper: Pepper,
    /// The tenants' secrets, to check web hooks by.
    pub secrets: Arc<dyn Secrets>,
    /// Signing in.
    pub sign_in: SignIn,
    /// Where this runs: `development`, `production`, …
    pub environment: String,
    /// Whether `/metrics` asks for a key with the scope `metrics:read`.
    pub metrics_need_key: bool,
    /// How much is let in.
    pub limits: Limits,
    /// Whose word on a client's address is taken.
    pub client_address: TrustedProxies,
    /// Writes the metrics in Prometheus' text format.
    pub render_metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Shared by all requests.
#[derive(Clone)]
pub struct HttpState {
    pub(crate) service: Arc<Service>,
    pub(crate) batches: Arc<Semaphore>,
    pub(crate) batch_bodies: Arc<Shares>,
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) strangers: Arc<Shares>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) passwords: PasswordGuard,
}

impl HttpState {
    /// The state of one server.
    pub fn new(service: Service) -> Self {
        Self {
            batches: Arc::new(Semaphore::new(limits::BATCHES_AT_ONCE)),
            batch_bodies: Shares::of_batches(),
            bodies: Arc::new(Semaphore::new(BODIES_BYTES)),
            strangers: Shares::of_strangers(),
            admission: Arc::new(Admission::new(&service.limits)),
            rates: Arc::new(Rates::new(&service.limits, &service.app.clock)),
            backlog: Arc::default(),
            passwords: PasswordGuard::default(),
            service: Arc::new(service),
        }
    }

    pub(crate) fn app(&self) -> &App {
        &self.service.app
    }
}
