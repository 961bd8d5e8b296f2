//! A store with tickets in every state, for tests of what concerns all tables.

use std::{path::PathBuf, sync::Arc, time::Duration};

use switchboard_core::{
    access::audit::Action,
    ids::TenantId,
    ports::{
        Clock, CustomerStore, EventQueue, ExampleStore, KeyStore, StoredCustomer, SyncChange, TenantScope, TicketStore,
    },
    untrusted::Untrusted,
};
use switchboard_local::SqliteStore;
use switchboard_testkit::{
    sample,
    world::{FixedClock, SeededIds},
};
use tempfile::TempDir;

use crate::contracts::open;

pub(crate) struct Filled {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) store: Arc<SqliteStore>,
}

/// Tickets of a tenant that [`Filled::fill`] makes.
pub(crate) const TICKETS: u32 = 12;

impl Filled {
    pub(crate) fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(FixedClock::new());
        let store = open(folder.path(), &clock);
        Self { folder, clock, store }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("switchboard.db")
    }

    /// Tickets that wait, are decided, written back, failed, given up, reviewed once and twice; examples, customers, a key.
    /// `word` stands in every text.
    pub(crate) async fn fill(&self, tenant: &str, word: &str, seed: u64) {
        let (scope, ids, store) = (sample::scope(tenant), SeededIds::new(seed), self.store.as_ref());
        for n in 1..=TICKETS {
            let mut ticket = sample::ticket(n);
            ticket.description = Untrusted::new(format!("{word} \u{1f525}\n\"line\" {n} {}", "long ".repeat(2_000)));
            ticket.idempotency_key = (n % 3 == 0).then(|| sample::parsed(&format!("key-{n}")));
            store.accept(&scope, vec![sample::new_ticket(&scope, ticket.clone(), &ids)]).await.unwrap();
            if n % 6 == 0 {
                continue;
            }
            // Jobs are leased in their order, and those of tickets that were left to wait come first.
            let mut leased = store.lease(100, Duration::from_secs(60)).await.unwrap();
            let mine = leased
                .iter()
                .position(|one| one.event.tenant == *scope.tenant() && *one.event.detail.ticket_id() == ticket.id);
            let mine = leased.remove(mine.expect("its job is due"));
            let others: Vec<_> = leased.into_iter().map(|one| one.lease).collect();
            store.release(&others).await.unwrap();
            if n % 6 == 1 {
                store.bury(&mine.lease, "poison").await.unwrap();
                continue;
            }
            let mut decision = sample::decision(&ticket, &ids);
            decision.priority_score = 100.0 / f64::from(n);
            decision.confidence_score = 1.0 / f64::from(n);
            let routed = sample::routed(&scope, &ticket, &decision, &ids);
            store.decide(&scope, &decision, routed, &mine.lease).await.unwrap();
            if n % 6 == 2 {
                continue;
            }
            let change = match n % 6 {
                3 => SyncChange::Failed { error: format!("{word}: refused"), open: n % 2 == 0 },
                _ => SyncChange::Succeeded { receipt: format!("{word} \u{201c}42\u{201d}") },
            };
            self.write_back(&scope, &ticket.id, &decision.decision_id, change).await;
            if n % 6 == 5 {
                store.record_review(&scope, sample::review(&scope, &ticket, &decision, &ids)).await.unwrap();
            }
        }
        let examples = (1..=7).map(sample::example).map(|mut example| {
            example.text = example.text.join(&Untrusted::new(word.to_owned()));
            example
        });
        store.add(&scope, examples.collect()).await.unwrap();
        let customers = (1..=5).map(|n| StoredCustomer {
            customer: sample::customer(n),
            fetched_at: (n % 2 == 0).then(|| self.clock.now()),
        });
        store.put_customers(&scope, customers.collect()).await.unwrap();
        let mut key = sample::key(tenant, u8::try_from(seed).unwrap());
        key.name = word.to_owned();
        store.create_key(&scope, key, &[], sample::act(Action::KeyCreate, 1)).await.unwrap();
    }

    async fn write_back(
        &self,
        scope: &TenantScope,
        ticket: &switchboard_core::ids::TicketId,
        decision: &switchboard_core::ids::DecisionId,
        change: SyncChange,
    ) {
        let mut leased = self.store.lease(100, Duration::from_secs(60)).await.unwrap();
        let mine =
            leased.iter().position(|one| one.event.tenant == *scope.tenant() && one.event.detail.ticket_id() == ticket);
        let mine = leased.remove(mine.expect("its write-back is due"));
        self.store.release(&leased.into_iter().map(|one| one.lease).collect::<Vec<_>>()).await.unwrap();
        self.store.record_sync(scope, ticket, decision, change, None, &mine.lease).await.unwrap();
    }

    pub(crate) fn export(&self, tenant: &str) -> String {
        let tenant: TenantId = sample::parsed(tenant);
        let mut bytes = Vec::new();
        switchboard_local::export(&self.database(), &tenant, &[], &mut bytes, &mut |_| {}).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}
