//! Everything that the core needs from outside, in one struct that is passed down.

use std::{sync::Arc, time::Duration};

use crate::{
    effects::OnTheirWay,
    ids::{CorrelationId, DecisionId, EventId},
    limits,
    models::Gateway,
    ports::{
        AuditLog, Classifier, Clock, CustomerDirectory, Desk, EffectLedger, EventQueue, ExampleStore, Ids, KeyStore,
        Learner, ModelStore, ServiceStatus, TenantSource, TicketStore,
    },
};

/// All ports, as plain fields. A shell fills it once at start.
#[derive(Clone)]
pub struct App {
    /// Configurations of the tenants.
    pub tenants: Arc<dyn TenantSource>,
    /// Tickets and decisions.
    pub tickets: Arc<dyn TicketStore>,
    /// Events on their way to their work.
    pub queue: Arc<dyn EventQueue>,
    /// What left the system, and what is known of it.
    pub effects: Arc<dyn EffectLedger>,
    /// Who a customer is.
    pub customers: Arc<dyn CustomerDirectory>,
    /// Outages and known issues.
    pub status: Arc<dyn ServiceStatus>,
    /// What a ticket is about.
    pub classifier: Arc<dyn Classifier>,
    /// Trains the classifier's models.
    pub learner: Arc<dyn Learner>,
    /// Language models.
    pub gateway: Arc<Gateway>,
    /// Trained models.
    pub models: Arc<dyn ModelStore>,
    /// Ticketing systems.
    pub desk: Arc<dyn Desk>,
    /// What classifiers learn from.
    pub examples: Arc<dyn ExampleStore>,
    /// API keys.
    pub keys: Arc<dyn KeyStore>,
    /// The record of administrative acts.
    pub audit: Arc<dyn AuditLog>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub ids: Arc<dyn Ids>,
    /// The delays before the retries of a job; after the last one it goes to the dead letters.
    pub retry_delays: Arc<[Duration]>,
    /// How much may wait before the front door refuses more.
    pub backlog: BacklogLimits,
    /// What this process has let out and nobody has answered for.
    pub on_their_way: OnTheirWay,
}

/// How many events may be in the queue before new tickets are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Of one tenant.
    pub tenant: u64,
    /// Of all tenants.
    pub all: u64,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        Self { tenant: limits::TENANT_BACKLOG, all: limits::BACKLOG }
    }
}

/// 1, 2, 4, 8 and 16 seconds, from the write-back rule of the specification.
pub const RETRY_DELAYS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

impl App {
    /// A new event id.
    pub fn event_id(&self) -> EventId {
        EventId::from_ulid(self.ids.ulid(self.clock.now()))
    }

    /// A new decision id.
    pub fn decision_id(&self) -> DecisionId {
        DecisionId::from_ulid(self.ids.ulid(self.clock.now()))
    }

    /// A new correlation id, for a request that brought none.
    pub fn correlation_id(&self) -> CorrelationId {
        CorrelationId::from_ulid(self.ids.ulid(self.clock.now()))
    }
}
