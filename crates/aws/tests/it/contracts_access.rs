//! The contracts of the ports of access, and what the adapters on AWS promise beyond.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_secretsmanager::primitives::Blob;
use secrecy::ExposeSecret;
use switchboard_aws::{
    Clients, DynamoAudit, DynamoCustomers, DynamoKeys, ManagedSecrets, S3Models, S3Tenants, SECRET_CACHE_TIME,
};
use switchboard_core::{
    access::{
        Pepper,
        audit::{Action, chain::Verdict},
    },
    error::ErrorKind,
    ids::{SecretName, TenantId},
    ports::{self, Clock, CustomerStore, KeyStore, ModelStore, Secrets, TenantSource},
    tenants::Tenant,
    time::Timestamp,
};
use switchboard_testkit::{
    contracts::{
        self, UnderTest, access::audit_log::Log, key_store::Keys, secrets::Operated, tenant_source::TenantFile,
    },
    sample,
    world::{FixedClock, SeededIds},
};

use crate::emulator;

/// Longer than anything but a secret is believed.
const LATER: Duration = Duration::from_secs(11);

/// A clock that stands still, and on which waiting takes its time all the same: those who wait for each other must.
struct Waiting(Arc<FixedClock>);

impl Clock for Waiting {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    #[expect(clippy::disallowed_methods, reason = "the port itself, for the time of the emulator")]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The log as one more process has it open.
pub(crate) fn audit(clients: &Clients, clock: &Arc<FixedClock>) -> DynamoAudit {
    static PROCESSES: AtomicU64 = AtomicU64::new(0);
    let ids = SeededIds::new(PROCESSES.fetch_add(1, Ordering::Relaxed));
    let key = Pepper::new([7; 32]).audit_key();
    DynamoAudit::new(clients, key, Arc::new(Waiting(clock.clone())), Arc::new(ids))
}

/// The tables that the adapters here have.
const OURS: &[&str] = &["audit", "customers", "keys"];

/// Fresh tables, and adapters on them by `wrap` now and after each restart.
async fn fresh<T: 'static>(wrap: fn(Clients, Arc<FixedClock>) -> T) -> UnderTest<T> {
    let clients = emulator::with(OURS).await;
    let clock = Arc::new(FixedClock::new());
    UnderTest::open(move || {
        let (clients, clock) = (clients.clone(), Arc::clone(&clock));
        async move { wrap(clients, clock) }
    })
    .await
}

fn customers(clients: Clients, clock: Arc<FixedClock>) -> Arc<dyn CustomerStore> {
    Arc::new(DynamoCustomers::new(&clients, clock, Arc::new(SeededIds::new(0))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customer_store() {
    contracts::customer_store(async || fresh(customers).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_by_tenant() {
    contracts::kept_customers(async || fresh(customers).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_customers_of_one_id_the_last_is_kept() {
    let store = fresh(customers).await;
    let (acme, mut twice) = (sample::scope("acme"), vec![sample::stored_customer(1), sample::stored_customer(1)]);
    twice[1].customer.is_vip = !twice[0].customer.is_vip;
    store.put_customers(&acme, twice.clone()).await.unwrap();
    assert_eq!(store.stored_customer(&acme, &twice[1].customer.customer_id).await.unwrap().as_ref(), Some(&twice[1]));
}

fn keys(clients: Clients, clock: Arc<FixedClock>) -> Keys {
    let audit = audit(&clients, &clock);
    let keys = Arc::new(DynamoKeys::new(audit.clone(), clock.clone()));
    Keys { keys, audit: Arc::new(audit), clock }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_store() {
    contracts::key_store(async || fresh(keys).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_log() {
    contracts::audit_log(async || {
        fresh(|clients, clock| {
            let (log, other) = (Arc::new(audit(&clients, &clock)), Arc::new(audit(&clients, &clock)));
            Log { log, other, clock }
        })
        .await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_process_revoked_is_refused_within_five_seconds() {
    let clients = emulator::fresh().await;
    let clock = Arc::new(FixedClock::new());
    let (one, other) = (keys(clients.clone(), clock.clone()).keys, keys(clients, clock.clone()).keys);
    let (acme, key) = (sample::scope("acme"), sample::key("acme", 1));
    one.create_key(&acme, key.clone(), &[], sample::act(Action::KeyCreate, 1)).await.unwrap();
    assert!(one.key(&key.id).await.unwrap().unwrap().is_in_force(clock.now()));
    assert!(other.revoke_key(&acme, &key.id, clock.now(), sample::act(Action::KeyRevoke, 1)).await.unwrap());
    assert!(other.key(&key.id).await.unwrap().unwrap().revoked_at.is_some(), "whoever revokes sees it at once");
    assert!(one.key(&key.id).await.unwrap().unwrap().revoked_at.is_none(), "from the cache");
    // A function that was frozen: its monotonic clock stood still.
    clock.jump(clock.now().plus(Duration::from_secs(5)));
    assert!(one.key(&key.id).await.unwrap().unwrap().revoked_at.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_by_several_processes_at_once_all_come_through() {
    const EACH: u8 = 8;
    let clients = emulator::fresh().await;
    let clock = Arc::new(FixedClock::new());
    let stores: Vec<_> = (0..3).map(|_| keys(clients.clone(), clock.clone())).collect();
    let create = |n: u8, store: Arc<dyn KeyStore>| async move {
        for m in 0..EACH {
            let key = sample::key("acme", n * EACH + m);
            store.create_key(&sample::scope("acme"), key, &[], sample::act(Action::KeyCreate, m)).await.unwrap();
        }
    };
    let tasks: Vec<_> = (0..).zip(&stores).map(|(n, store)| tokio::spawn(create(n, store.keys.clone()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let verdict = stores[0].audit.verify().await.unwrap();
    assert!(matches!(verdict, Verdict::Whole { entries: 24, .. }), "{verdict:?}");
    assert_eq!(stores[0].keys.list_keys(&sample::scope("acme")).await.unwrap().len(), 24);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_no_successor_of_itself() {
    let store = fresh(keys).await;
    let (acme, key) = (sample::scope("acme"), sample::key("acme", 1));
    store.keys.create_key(&acme, key.clone(), &[], sample::act(Action::KeyCreate, 1)).await.unwrap();
    let act = sample::act(Action::KeyRotate, 1);
    let rotated = store.keys.rotate_key(&acme, &key.id, key.created_at, key.clone(), &[], act).await;
    assert_eq!(rotated.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(store.keys.list_keys(&acme).await.unwrap(), [key]);
}

fn models(clients: Clients, _: Arc<FixedClock>) -> Arc<dyn ModelStore> {
    Arc::new(S3Models::new(clients))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_store() {
    contracts::model_store(async || fresh(models).await).await;
}

async fn put(clients: &Clients, key: &str, bytes: impl Into<Vec<u8>>) {
    let body = ByteStream::from(bytes.into());
    clients.s3.put_object().bucket(&clients.names.bucket).key(key).body(body).send().await.unwrap();
}

async fn tenants(files: Vec<TenantFile>, name: fn(&TenantId) -> String) -> UnderTest<Arc<dyn TenantSource>> {
    let clients = emulator::with(&[]).await;
    for (id, bytes) in files {
        put(&clients, &name(&id), bytes).await;
    }
    UnderTest::open(move || {
        let clients = clients.clone();
        async move { Arc::new(S3Tenants::new(clients, Arc::new(FixedClock::new()))) as Arc<dyn TenantSource> }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenant_source() {
    contracts::tenant_source(async |files| tenants(files, |id| format!("tenants/{id}/config.json")).await).await;
    contracts::tenant_source(async |files| tenants(files, |id| format!("{id}-config.json")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_counts_and_a_broken_one_leaves_the_last_good_one() {
    let (clients, clock) = (emulator::with(&[]).await, Arc::new(FixedClock::new()));
    let source = S3Tenants::new(clients.clone(), clock.clone());
    let (id, key): (TenantId, _) = (sample::parsed("acme"), "tenants/acme/config.json");
    let config = |name: &str| {
        let mut config = sample::tenant_json();
        config["tenant_id"] = "acme".into();
        config["name"] = name.into();
        config.to_string()
    };
    let seen = async || source.tenant(&id).await.unwrap();
    assert!(seen().await.is_none());

    put(&clients, key, config("One")).await;
    let one = seen().await.unwrap();
    assert_eq!(one.version, Tenant::from_json(config("One").as_bytes()).unwrap().version, "the same in every shell");
    clock.advance(LATER);
    assert!(Arc::ptr_eq(&one, &seen().await.unwrap()), "an unchanged one is not read again");

    put(&clients, key, config("Two")).await;
    assert_eq!(seen().await.unwrap().config.name, "One", "not looked at again yet");
    clock.advance(LATER);
    assert_eq!(seen().await.unwrap().config.name, "Two");

    for broken in ["{", "{}", &config("").replace("acme", "globex")] {
        put(&clients, key, broken).await;
        clock.advance(LATER);
        for _ in 0..2 {
            let kept = seen().await.unwrap();
            assert_eq!((kept.config.name.as_str(), kept.problem.is_some()), ("Two", true), "{broken}");
            clock.advance(LATER);
        }
    }
    put(&clients, key, " ".repeat(5 * 1024 * 1024)).await;
    clock.advance(LATER);
    assert!(seen().await.unwrap().problem.as_ref().unwrap().contains("bytes"), "not downloaded, and told");

    put(&clients, key, config("Three")).await;
    clock.advance(LATER);
    let three = seen().await.unwrap();
    assert_eq!((three.config.name.as_str(), &three.problem), ("Three", &None));

    clients.s3.delete_object().bucket(&clients.names.bucket).key(key).send().await.unwrap();
    clock.advance(LATER);
    assert!(seen().await.is_none(), "removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_read_leaves_what_is_known() {
    let (clients, clock) = (emulator::with(&[]).await, Arc::new(FixedClock::new()));
    let source = S3Tenants::new(clients.clone(), clock.clone());
    let (key, mut config) = ("tenants/acme/config.json", sample::tenant_json());
    config["tenant_id"] = "acme".into();
    put(&clients, key, config.to_string()).await;
    let id = sample::parsed("acme");
    let known = source.tenant(&id).await.unwrap().unwrap();
    clients.s3.delete_object().bucket(&clients.names.bucket).key(key).send().await.unwrap();
    clients.s3.delete_bucket().bucket(&clients.names.bucket).send().await.unwrap();
    clock.advance(LATER);
    assert!(Arc::ptr_eq(&known, &source.tenant(&id).await.unwrap().unwrap()));
    let other = source.tenant(&sample::parsed("globex")).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::NotFound);
}

struct Kept {
    clients: Clients,
    clock: Arc<FixedClock>,
    secrets: Arc<ManagedSecrets>,
}

impl Kept {
    async fn new() -> Self {
        let (clients, clock) = (emulator::with(&[]).await, Arc::new(FixedClock::new()));
        let secrets = Arc::new(ManagedSecrets::new(clients.clone(), clock.clone()));
        Self { clients, clock, secrets }
    }

    fn id(&self, name: &SecretName) -> String {
        format!("{}/{}/{name}", self.clients.names.prefix, contracts::secrets::TENANT)
    }

    async fn write(&self, name: &SecretName, text: Option<&str>, binary: Option<Blob>) {
        let (id, text) = (self.id(name), text.map(str::to_owned));
        let new = self.clients.secrets.create_secret().name(&id);
        if new.set_secret_string(text.clone()).set_secret_binary(binary.clone()).send().await.is_err() {
            let next = self.clients.secrets.put_secret_value().secret_id(id);
            next.set_secret_string(text).set_secret_binary(binary).send().await.unwrap();
        }
    }
}

/// The operator of the contract waits until a change counts; how long that is, is checked below.
#[async_trait]
impl Operated for Kept {
    fn secrets(&self) -> Arc<dyn ports::Secrets> {
        self.secrets.clone()
    }

    async fn put(&self, name: &SecretName, value: &str) {
        self.write(name, Some(value), None).await;
        self.clock.advance(SECRET_CACHE_TIME);
    }

    async fn remove(&self, name: &SecretName) {
        let removed = self.clients.secrets.delete_secret().secret_id(self.id(name));
        removed.force_delete_without_recovery(true).send().await.unwrap();
        self.clock.advance(SECRET_CACHE_TIME);
    }

    async fn spoil(&self, name: &SecretName, value: &str) -> bool {
        self.write(name, None, Some(Blob::new([value.as_bytes(), b"\xff"].concat()))).await;
        self.clock.advance(SECRET_CACHE_TIME);
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets() {
    contracts::secrets(Kept::new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_looked_up_once_a_minute_and_each_tenant_has_its_own() {
    let kept = Kept::new().await;
    let name: SecretName = sample::parsed("desk-token");
    let seen = async |tenant: &str| {
        let found = kept.secrets.secret(&sample::scope(tenant), &name).await.unwrap();
        found.map(|secret| secret.expose_secret().to_owned())
    };
    kept.put(&name, "first\n").await;
    assert_eq!(seen("acme").await.as_deref(), Some("first"), "without the line's end");
    assert_eq!(seen("globex").await, None);
    kept.write(&name, Some("second"), None).await;
    kept.clock.advance(SECRET_CACHE_TIME - Duration::from_millis(1));
    assert_eq!(seen("acme").await.as_deref(), Some("first"));
    kept.clock.advance(Duration::from_millis(1));
    assert_eq!(seen("acme").await.as_deref(), Some("second"));
    // In the way of being removed, with time to change one's mind.
    kept.clients.secrets.delete_secret().secret_id(kept.id(&name)).send().await.unwrap();
    kept.clock.advance(SECRET_CACHE_TIME);
    assert_eq!(seen("acme").await, None);
}
