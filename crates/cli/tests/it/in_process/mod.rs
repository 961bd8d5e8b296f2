//! Attacks on the HTTP door without a socket: the router over the embedded adapters, on a clock that stands still and with
//! randomness that is the same in every run. A request costs microseconds, so that there can be very many.

mod hooks;
mod inputs;
mod isolation;
mod openapi;
mod sessions;
mod two_worlds;

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use switchboard_core::{
    access::{
        Pepper, Scope,
        audit::{Action, Actor, By, Label},
        keys::{self, Wish},
        lockout::Lockout,
        session::{self, Signed},
        uses::Uses,
    },
    app::{App, BacklogLimits, RETRY_DELAYS},
    by_tenant::{CustomersByTenant, StatusByTenant},
    effects::OnTheirWay,
    error::{Error, ErrorKind, Result},
    ids::{CustomerId, TenantId},
    jobs,
    ports::{
        Clock, Customer, CustomerDirectory, Desk, DeskReceipt, DeskUpdate, Ids, KeyStore, TenantScope, TenantSource,
    },
    tenants::Tenant,
    time::Timestamp,
};
use switchboard_http::{HttpState, Limits, Service, SignIn, TrustedProxies, router};
use switchboard_knowledge::LocalClassifier;
use switchboard_local::{FileStatus, FolderModels, Role, SqliteStore};
use switchboard_testkit::{
    gateways::no_models,
    sample,
    world::{FixedClock, MapSecrets, SeededIds},
};
use tempfile::TempDir;
use tower::ServiceExt;

const PEPPER: [u8; 32] = [7; 32];

/// One installation with the tenants [`HERE`] and [`ELSEWHERE`].
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: FixedClock,
    ids: Arc<ReseededIds>,
    store: Arc<SqliteStore>,
    secrets: Arc<MapSecrets>,
    uses: Arc<Uses>,
    router: Router,
    _folder: TempDir,
}

/// Of the web hook of [`HERE`].
const HOOK_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// The tenant that asks.
pub(crate) const HERE: &str = "acme";
/// The tenant whose data it must not see. All of its names are rare words.
pub(crate) const ELSEWHERE: &str = "quokka";

/// An answer in full.
#[derive(Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}\n{}", self.status, self.headers, self.text())
    }
}

/// Randomness that a test begins anew at any time.
struct ReseededIds(Mutex<SeededIds>);

impl Ids for ReseededIds {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill(bytes);
    }

    fn ulid(&self, now: Timestamp) -> ulid::Ulid {
        self.0.lock().unwrap().ulid(now)
    }
}

struct Tenants(BTreeMap<TenantId, Arc<Tenant>>);

#[async_trait::async_trait]
impl TenantSource for Tenants {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>> {
        Ok(self.0.get(id).cloned())
    }

    async fn list(&self) -> Result<Vec<TenantId>> {
        Ok(self.0.keys().cloned().collect())
    }
}

/// Takes everything.
struct PlainDesk;

#[async_trait::async_trait]
impl Desk for PlainDesk {
    async fn update(&self, _tenant: &Tenant, update: &DeskUpdate) -> Result<DeskReceipt> {
        Ok(DeskReceipt { text: format!("ticket {} updated", update.ticket_id) })
    }
}

struct NoDirectory;

#[async_trait::async_trait]
impl CustomerDirectory for NoDirectory {
    async fn customer(&self, _tenant: &Tenant, _id: &CustomerId) -> Result<Option<Customer>> {
        Err(Error::new(ErrorKind::Unavailable, "there is no directory"))
    }
}

/// The configuration of the other tenant: nothing in it has a name that this one uses.
fn elsewhere() -> Value {
    let mut config = sample::tenant_json();
    config["tenant_id"] = ELSEWHERE.into();
    config["name"] = "Quokka Networks".into();
    config["teams"] = json!([
        {"id": "quokka_money", "name": "Quokka money", "description": "invoices and payments"},
        {"id": "quokka_cables", "name": "Quokka cables", "description": "everything technical"},
    ]);
    config["categories"][0]["id"] = "quokka_bill".into();
    config["categories"][0]["team"] = "quokka_money".into();
    config["categories"][1]["id"] = "quokka_dark".into();
    config["categories"][1]["team"] = "quokka_cables".into();
    config["routing_rules"][0]["team"] = "quokka_money".into();
    // Both tenants have tickets that wait for a person.
    config["review"] = json!({"precision": 0.99});
    config["hooks"] = json!({"generic": {"secrets": ["quokka_hook"]}});
    config
}

impl World {
    pub(crate) fn new() -> Self {
        // Nothing here is about durability: memory spares the disk a million commits.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let clock = FixedClock::new();
        let ids = Arc::new(ReseededIds(Mutex::new(SeededIds::new(1))));
        let shared_clock = Arc::new(clock.clone());
        let path = folder.path().join("switchboard.db");
        let store = SqliteStore::open(&path, shared_clock.clone(), Role::Server).unwrap();
        let store = Arc::new(store.seal_audit(Pepper::new(PEPPER).audit_key()));
        let here = sample::tenant_with(|config| {
            config["review"] = json!({"precision": 0.99});
            config["hooks"] = json!({"generic": {"secrets": ["hook", "hook_next"]}});
        });
        let secrets = Arc::new(MapSecrets::new().with("hook", HOOK_SECRET));
        let elsewhere = Tenant::from_json(elsewhere().to_string().as_bytes()).unwrap();
        let tenants = [here, elsewhere].map(|tenant| (tenant.id.clone(), Arc::new(tenant)));
        let classifier = Arc::new(LocalClassifier::new(1));
        let file = Arc::new(FileStatus::new(folder.path().to_owned()));
        let app = App {
            tenants: Arc::new(Tenants(tenants.into())),
            tickets: store.clone(),
            queue: store.clone(),
            effects: store.clone(),
            customers: Arc::new(CustomersByTenant {
                store: store.clone(),
                http: Arc::new(NoDirectory),
                clock: shared_clock.clone(),
            }),
            status: Arc::new(StatusByTenant { file: file.clone(), http: file }),
            classifier: classifier.clone(),
            learner: classifier,
            gateway: no_models(&(shared_clock.clone() as Arc<dyn Clock>), &(ids.clone() as Arc<dyn Ids>)),
            models: Arc::new(FolderModels::new(folder.path().join("models"))),
            desk: Arc::new(PlainDesk),
            examples: store.clone(),
            keys: store.clone(),
            audit: store.clone(),
            on_their_way: OnTheirWay::new(shared_clock.as_ref()),
            clock: shared_clock,
            ids: ids.clone(),
            retry_delays: RETRY_DELAYS.into(),
            backlog: BacklogLimits::default(),
        };
        let uses = Arc::<Uses>::default();
        let state = HttpState::new(Service {
            app: app.clone(),
            pepper: Pepper::new(PEPPER),
            secrets: secrets.clone(),
            environment: "test".to_owned(),
            metrics_need_key: true,
            sign_in: SignIn { operator: store.clone(), oidc: None, uses: uses.clone(), is_https: false },
            // 0 is no limit: what is looked for here is behind the door.
            limits: Limits::default(),
            client_address: TrustedProxies::default(),
            render_metrics: Box::new(|| "switchboard_up 1\n".to_owned()),
        });
        Self { app, clock, ids, store, secrets, uses, router: router(state), _folder: folder }
    }

    /// Begins randomness anew.
    pub(crate) fn reseed(&self, seed: u64) {
        *self.ids.0.lock().unwrap() = SeededIds::new(seed);
    }

    /// A stored key.
    pub(crate) async fn key(&self, tenant: &str, scopes: &[Scope], expires: Option<Timestamp>) -> String {
        let tenant: TenantId = tenant.parse().unwrap();
        let scope = TenantScope::of_operator(tenant.clone());
        let wish = Wish { name: format!("a key of {tenant}"), scopes: scopes.to_vec(), expires_at: expires };
        let by = By { actor: Actor::CommandLine { user: Label::new("test"), uid: None }, correlation_id: None };
        let (key, _) = keys::create(&self.app, &Pepper::new(PEPPER), &scope, &by, wish).await.unwrap();
        key.reveal().expose_secret().to_owned()
    }

    /// The cookie of a session of the operator, who did not have to give a password.
    pub(crate) async fn session(&self) -> String {
        let (app, lockout) = (&self.app, Arc::new(Lockout::default()));
        let login = session::begin(&lockout, app.clock.as_ref(), None).unwrap();
        let (store, correlation) = (self.store.as_ref(), "test".parse().unwrap());
        match session::finish(app, store, &Pepper::new(PEPPER), &lockout, login, true, correlation).await.unwrap() {
            Signed::In { token, .. } => format!("switchboard={}", token.reveal().expose_secret()),
            Signed::Wrong => panic!("the password was right"),
        }
    }

    /// Takes a key back.
    pub(crate) async fn revoke(&self, tenant: &str, key: &str) {
        let scope = sample::scope(tenant);
        let id = key["sb_live_".len()..][..16].parse().unwrap();
        assert!(
            self.store.revoke_key(&scope, &id, self.app.clock.now(), sample::act(Action::KeyRevoke, 1)).await.unwrap()
        );
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Reply {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The door, for tests that bring it bytes.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Writes down when keys and sessions were used.
    pub(crate) async fn note_uses(&self) {
        let now = self.app.clock.monotonic();
        self.uses.write(self.store.as_ref(), self.store.as_ref(), now, true).await.unwrap();
    }

    /// Does all work that is due.
    pub(crate) async fn work(&self) {
        jobs::drain(&self.app).await.unwrap();
    }
}
