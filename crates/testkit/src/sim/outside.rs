//! Other people's systems: a desk that lies, sources that fail, a classifier that breaks on poison.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use switchboard_core::{
    error::{Error, ErrorKind, Result, Retry},
    ids::{CustomerId, ServiceId, TenantId, TicketId},
    limits,
    ports::{
        Classifier, Clock, Customer, CustomerDirectory, Desk, DeskReceipt, DeskUpdate, Repeats, ServiceStatus,
        StatusReport,
    },
    tenants::Tenant,
    tickets::{CategoryProbability, Classification, DecidedBy, Sentiment, Severity, TeamProbability, Ticket},
};

use super::{
    Plant,
    exec::{Owner, Spawner},
    world::World,
};
use crate::sample;

/// The tenant whose desk takes our idempotency key, the one whose desk can be asked, and the one whose desk does neither.
pub(super) const TENANTS: [(&str, Repeats); 3] =
    [("acme", Repeats::Safe), ("globex", Repeats::LookFirst), ("initech", Repeats::Never)];

fn repeats(tenant: &TenantId) -> Repeats {
    TENANTS.iter().find(|(name, _)| *name == tenant.as_str()).map_or(Repeats::Safe, |(_, repeats)| *repeats)
}

/// How often each update was applied, by tenant, ticket and key.
pub(super) type Applied = BTreeMap<(TenantId, TicketId, String), u32>;

/// Ticketing systems of all tenants, as they are on the other side.
#[derive(Clone)]
pub(super) struct SimDesk {
    pub(super) world: World,
    pub(super) spawner: Spawner,
    pub(super) applied: Arc<Mutex<Applied>>,
    pub(super) plant: Plant,
}

impl SimDesk {
    pub(super) fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, tenant: &TenantId, update: &DeskUpdate) {
        let key = if self.plant == Plant::NoKey {
            format!("{}", self.world.below(usize::MAX))
        } else {
            update.decision_id.to_string()
        };
        let known = self.applied().contains_key(&(tenant.clone(), update.ticket_id.clone(), key.clone()));
        if known {
            self.world.count("repeated update");
        }
        if !known || repeats(tenant) != Repeats::Safe {
            *self.applied().entry((tenant.clone(), update.ticket_id.clone(), key)).or_default() += 1;
        }
    }
}

#[async_trait]
impl Desk for SimDesk {
    async fn update(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        let began = self.world.clock.monotonic();
        self.world.step("desk asked").await;
        if self.world.fault("desk refuses", 80) {
            return Err(Error::new(ErrorKind::Unavailable, "503").not_applied());
        }
        if self.world.fault("desk throttles", 30) {
            let wait = Duration::from_secs([1, 20, 900][self.world.below(3)]);
            return Err(Error::new(ErrorKind::Throttled, "429").with_retry(Retry::After(wait)));
        }
        if self.world.fault("desk deferred", 20) {
            return Err(Error::new(ErrorKind::Unavailable, "the breaker is open").deferred(Duration::from_secs(30)));
        }
        if self.world.fault("desk hangs", 20) {
            return pending().await;
        }
        if self.world.fault("desk applies late", 20) {
            let late = Duration::from_millis(self.world.below(limits::EFFECT_ON_ITS_WAY.as_millis() as usize) as u64);
            let late = (began + late).saturating_sub(self.world.clock.monotonic());
            let (desk, tenant, update) = (self.clone(), tenant.id.clone(), update.clone());
            self.spawner.spawn(Owner::World, async move {
                desk.world.clock.sleep(late).await;
                desk.apply(&tenant, &update);
            });
            return pending().await;
        }
        self.apply(&tenant.id, update);
        self.world.step("desk has applied").await;
        if self.world.fault("desk applies and says 500", 50) {
            return Err(Error::new(ErrorKind::Unavailable, "500"));
        }
        if self.world.fault("desk applies and drops", 30) {
            return Err(Error::new(ErrorKind::BadAnswer, "the connection was reset"));
        }
        if self.world.fault("desk applies and hangs", 10) {
            return pending().await;
        }
        Ok(DeskReceipt { text: format!("ticket {} updated", update.ticket_id) })
    }

    fn repeats(&self, tenant: &Tenant) -> Repeats {
        repeats(&tenant.id)
    }

    fn rests(&self, _tenant: &Tenant) -> Option<Duration> {
        self.world.fault("desk rests", 20).then_some(Duration::from_secs(30))
    }

    async fn look_up(&self, tenant: &Tenant, update: &DeskUpdate) -> Result<Option<DeskReceipt>> {
        self.world.step("desk looked up").await;
        if self.world.fault("desk does not tell", 100) {
            return Err(Error::new(ErrorKind::Timeout, "no answer").not_applied());
        }
        let key = (tenant.id.clone(), update.ticket_id.clone(), update.decision_id.to_string());
        Ok(self.applied().contains_key(&key).then(|| DeskReceipt { text: "found".to_owned() }))
    }
}

/// Customers and service status: away now and then.
pub(super) struct SimSources(pub(super) World);

/// Customers whose tickets break the process that works on them, and the work.
pub(super) const DEADLY: &str = "DEADLY";
/// Customers whose tickets break the work on them.
pub(super) const PANICS: &str = "PANICS";

impl SimSources {
    async fn fails(&self) -> Result<()> {
        self.0.step("source asked").await;
        if self.0.fault("source hangs", 20) {
            return pending().await;
        }
        if self.0.fault("source fails", 50) {
            return Err(Error::new(ErrorKind::Unavailable, "the source is away"));
        }
        Ok(())
    }
}

#[async_trait]
impl CustomerDirectory for SimSources {
    async fn customer(&self, _tenant: &Tenant, id: &CustomerId) -> Result<Option<Customer>> {
        if id.as_str() == DEADLY {
            self.0.die("poison").await;
        }
        if id.as_str() == PANICS {
            // Without the hook: a panic that is part of the play fills no log.
            std::panic::resume_unwind(Box::new("poison"));
        }
        self.fails().await.map(|()| Some(sample::customer(1)))
    }
}

#[async_trait]
impl ServiceStatus for SimSources {
    async fn status(&self, _tenant: &Tenant, _services: &[ServiceId]) -> Result<StatusReport> {
        self.fails().await.map(|()| StatusReport::default())
    }
}

/// A classifier that answers by the ticket's number, and breaks on poison.
pub(super) struct SimClassifier(pub(super) World);

impl Classifier for SimClassifier {
    fn prepare(&self, _tenant: &Tenant) {}

    fn looks_critical(&self, _ticket: &Ticket) -> bool {
        false
    }

    fn classify(&self, _tenant: &Tenant, ticket: &Ticket) -> Result<Classification> {
        if self.0.fault("classifier fails", 20) {
            return Err(Error::new(ErrorKind::Internal, "the classifier is confused"));
        }
        let (category, team) =
            if ticket.id.as_str().len().is_multiple_of(2) { ("invoice", "billing") } else { ("outage", "support") };
        Ok(Classification {
            categories: vec![CategoryProbability { category: sample::parsed(category), probability: 0.9 }],
            teams: vec![TeamProbability { team: sample::parsed(team), probability: 0.9 }],
            confidence_needed: 0.5,
            is_out_of_scope: false,
            is_spam: false,
            severity: Severity::Medium,
            severity_reason: "simulated".to_owned(),
            sentiment: Sentiment::Neutral,
            language: None,
            certainty: None,
            decided_by: DecidedBy::Local,
            model: "simulated".to_owned(),
        })
    }
}
