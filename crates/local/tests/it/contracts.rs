use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use switchboard_core::{
    access::Pepper,
    ids::{DecisionId, SecretName, TicketId},
    ports::{self, Clock, CustomerStore, Desk, ExampleStore, ModelStore, TenantSource, UsageLedger},
    tenants::Tenant,
};
use switchboard_local::{
    FolderDesk, FolderModels, FolderSecrets, FolderTenants, Role, SqliteStore, SystemClock, SystemIds,
};
use switchboard_testkit::{
    contracts::{
        self, Stores, UnderTest,
        access::{audit_log::Log, operator_store::Operator},
        desk::Observed,
        key_store::Keys,
        secrets::Operated,
        tenant_source::TenantFile,
    },
    sample,
    world::FixedClock,
};
use tempfile::TempDir;

pub(crate) fn open(folder: &Path, clock: &Arc<FixedClock>) -> Arc<SqliteStore> {
    let clock: Arc<dyn Clock> = clock.clone();
    let store = SqliteStore::open(&folder.join("switchboard.db"), clock, Role::Server).unwrap();
    Arc::new(store.seal_audit(Pepper::new([7; 32]).audit_key()))
}

/// A fresh data folder, opened by `wrap` now and after each restart.
async fn fresh<T: 'static>(wrap: fn(Arc<SqliteStore>, Arc<FixedClock>) -> T) -> UnderTest<T> {
    let folder = Arc::new(TempDir::new().unwrap());
    let clock = Arc::new(FixedClock::new());
    UnderTest::open(move || {
        let (folder, clock) = (Arc::clone(&folder), Arc::clone(&clock));
        async move { wrap(open(folder.path(), &clock), clock) }
    })
    .await
}

fn stores(store: Arc<SqliteStore>, clock: Arc<FixedClock>) -> Stores {
    Stores {
        store: store.clone(),
        queue: store.clone(),
        effects: store.clone(),
        examples: store,
        clock,
        world: contracts::World::Sole,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticket_store() {
    contracts::ticket_store(async || fresh(stores).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effect_ledger() {
    contracts::effect_ledger(async || fresh(stores).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_queue() {
    contracts::event_queue(async || fresh(stores).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_store() {
    contracts::key_store(async || fresh(|store, clock| Keys { keys: store.clone(), audit: store, clock }).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_store() {
    contracts::operator_store(async || {
        fresh(|store, clock| Operator { store: store.clone(), audit: store, clock }).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_log() {
    contracts::audit_log(async || {
        let folder = Arc::new(TempDir::new().unwrap());
        let clock = Arc::new(FixedClock::new());
        UnderTest::open(move || {
            let (folder, clock) = (Arc::clone(&folder), Arc::clone(&clock));
            // A second store on the same file is what a command beside the server has.
            async move { Log { log: open(folder.path(), &clock), other: open(folder.path(), &clock), clock } }
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customer_store() {
    contracts::customer_store(async || fresh(|store, _| store as Arc<dyn CustomerStore>).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_ledger() {
    contracts::usage_ledger(async || fresh(|store, _| store as Arc<dyn UsageLedger>).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_store() {
    contracts::model_store(async || {
        let folder = Arc::new(TempDir::new().expect("a temporary folder"));
        UnderTest::open(move || {
            let folder = Arc::clone(&folder);
            async move { Arc::new(FolderModels::new(folder.path().to_owned())) as Arc<dyn ModelStore> }
        })
        .await
    })
    .await;
}

#[tokio::test]
async fn example_store() {
    contracts::example_store(async || fresh(|store, _| store as Arc<dyn ExampleStore>).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenant_source() {
    contracts::tenant_source(async |files: Vec<TenantFile>| {
        let folder = Arc::new(TempDir::new().unwrap());
        for (id, bytes) in files {
            let tenant = folder.path().join(id.as_str());
            std::fs::create_dir_all(&tenant).unwrap();
            std::fs::write(tenant.join("config.json"), bytes).unwrap();
        }
        UnderTest::open(move || {
            let folder = Arc::clone(&folder);
            async move {
                let clock: Arc<dyn Clock> = Arc::new(FixedClock::new());
                // Keeps the folder as long as the source: it is dropped with the closure that opens it again.
                Arc::new(FolderTenants::new(folder.path().to_owned(), clock)) as Arc<dyn TenantSource>
            }
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_and_ids() {
    contracts::clock(async || SystemClock::new()).await;
    contracts::ids(async || SystemIds::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_by_tenant() {
    contracts::kept_customers(async || fresh(|store, _| store as Arc<dyn CustomerStore>).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_secrets() {
    contracts::secrets(async || Secrets { folder: TempDir::new().unwrap() }).await;
}

struct Secrets {
    folder: TempDir,
}

impl Secrets {
    fn file(&self, name: &SecretName) -> std::path::PathBuf {
        self.folder.path().join(contracts::secrets::TENANT).join(name.as_str())
    }
}

#[async_trait]
impl Operated for Secrets {
    fn secrets(&self) -> Arc<dyn ports::Secrets> {
        Arc::new(FolderSecrets::new(self.folder.path().to_owned()))
    }

    async fn put(&self, name: &SecretName, value: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), value).unwrap();
    }

    async fn remove(&self, name: &SecretName) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    async fn spoil(&self, name: &SecretName, value: &str) -> bool {
        let no_text = [value.as_bytes(), b"\xff"].concat();
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), no_text).unwrap();
        true
    }
}

struct FolderUnderTest {
    folder: TempDir,
    desk: Arc<FolderDesk>,
    tenant: Tenant,
}

#[async_trait]
impl Observed for FolderUnderTest {
    fn desk(&self) -> Arc<dyn Desk> {
        self.desk.clone()
    }

    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn ticket(&self, n: u32) -> TicketId {
        format!("T-{n}").parse().unwrap()
    }

    async fn effects(&self, ticket: &TicketId, decision: &DecisionId) -> usize {
        let folder = self.folder.path().join(self.tenant.id.as_str()).join("desk");
        let files = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let updates =
            texts.map(|path| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap());
        updates
            .filter(|update| update["ticket_id"] == ticket.as_str() && update["decision_id"] == decision.as_str())
            .count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder_desk() {
    contracts::desk::desk(async || {
        let folder = TempDir::new().unwrap();
        let desk = Arc::new(FolderDesk::new(folder.path().to_owned()));
        let tenant = sample::tenant_with(|config| {
            config["desk"] = serde_json::json!({"kind": "folder", "path": "desk"});
        });
        FolderUnderTest { folder, desk, tenant }
    })
    .await;
}
