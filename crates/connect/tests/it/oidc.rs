//! Tokens of a real issuer over HTTP: who comes in, who does not, and what a storm or an outage does.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use switchboard_connect::HttpIssuer;
use switchboard_core::{
    access::{
        Principal, Role, Scope, Who,
        oidc::{Oidc, OidcConfig},
    },
    error::{Error, ErrorKind, Result},
    ids::TenantId,
    limits,
    ports::{Clock, IssuerDocuments, TenantSource},
    tenants::Tenant,
};
use switchboard_testkit::{
    contracts::{self, access::issuer_documents::Published},
    doubles::{Fault, IssuerDouble, Server, SigningKey},
    sample,
    world::FixedClock,
};
use url::Url;

use crate::common::outbound;

/// The tenants `acme` and `globex`.
struct Two;

#[async_trait]
impl TenantSource for Two {
    async fn tenant(&self, id: &TenantId) -> Result<Option<Arc<Tenant>>> {
        let is_known = self.list().await?.contains(id);
        let tenant = || sample::tenant_with(|config| config["tenant_id"] = json!(id));
        Ok(is_known.then(|| Arc::new(tenant())))
    }

    async fn list(&self) -> Result<Vec<TenantId>> {
        Ok(["acme", "globex"].into_iter().map(|id| id.parse().unwrap()).collect())
    }
}

struct Bench {
    issuer: IssuerDouble,
    oidc: Oidc,
    clock: Arc<FixedClock>,
}

impl Bench {
    async fn new(keys: &[&SigningKey]) -> Self {
        Self::with(keys, |_, _| ()).await
    }

    async fn with(keys: &[&SigningKey], change: impl FnOnce(&mut OidcConfig, &IssuerDouble)) -> Self {
        let issuer = IssuerDouble::start(keys).await;
        let mut config = OidcConfig {
            issuer: issuer.url(),
            audience: "switchboard".to_owned(),
            jwks: None,
            tenant_claim: "tenant".to_owned(),
            role_claim: "groups".to_owned(),
            roles: [("agents", Role::Agent), ("admins", Role::Admin)]
                .map(|(name, role)| (name.to_owned(), role))
                .into(),
            leeway: Duration::from_secs(60),
        };
        change(&mut config, &issuer);
        let clock = Arc::new(FixedClock::new());
        let oidc = Oidc::new(config, Arc::new(HttpIssuer::new(outbound(&[&issuer]))), clock.clone()).unwrap();
        Self { issuer, oidc, clock }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millis() / 1_000
    }

    fn claims(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = self.issuer.claims("acme", "agents", self.now());
        change(&mut claims);
        claims
    }

    fn good(&self) -> Value {
        self.claims(|_| ())
    }

    async fn check(&self, token: &str) -> Result<Principal> {
        self.oidc.authenticate(&Two, token).await
    }

    async fn kind(&self, token: &str) -> Option<ErrorKind> {
        self.check(token).await.err().map(|error| error.kind())
    }
}

const REFUSED: Option<ErrorKind> = Some(ErrorKind::Unauthorized);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_each_algorithm_gives_its_tenant_and_role() {
    let keys =
        [SigningKey::p256("p256"), SigningKey::p384("p384"), SigningKey::ed25519("ed25519"), SigningKey::rsa("rsa")];
    let bench = Bench::new(&keys.each_ref()).await;
    for key in &keys {
        let principal = bench.check(&key.token(&bench.good())).await.unwrap();
        assert_eq!(principal.tenant.as_str(), "acme", "{}", key.algorithm());
        assert_eq!(principal.scopes, [Scope::TicketsRead, Scope::TicketsReview]);
        assert!(matches!(principal.who, Who::Subject(_)), "{principal:?}");
    }
    let pss = keys[3].token_with(&json!({"alg": "PS256", "kid": "rsa"}), &bench.good());
    assert!(bench.check(&pss).await.is_ok());
    let globex = bench.issuer.claims("globex", "admins", bench.now());
    let principal = bench.check(&keys[0].token(&globex)).await.unwrap();
    assert_eq!((principal.tenant.as_str(), principal.role), ("globex", Some(Role::Admin)));
    assert!(principal.allow(Scope::MetricsRead).is_err(), "the metrics span all tenants");
    assert_eq!(bench.issuer.key_fetches(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_says_of_itself_is_checked() {
    let key = SigningKey::p256("1");
    let bench = Bench::new(&[&key]).await;
    let now = bench.now();
    let kind =
        async |name: &str, value: Value| bench.kind(&key.token(&bench.claims(|claims| claims[name] = value))).await;
    assert_eq!(kind("exp", json!(now - 59)).await, None, "within the leeway");
    assert_eq!(kind("exp", json!(now - 60)).await, REFUSED, "expired");
    assert_eq!(kind("exp", Value::Null).await, REFUSED, "without an end");
    assert_eq!(kind("nbf", json!(now + 61)).await, REFUSED, "of the future");
    assert_eq!(kind("iat", json!(now + 61)).await, REFUSED, "issued in the future");
    assert_eq!(kind("aud", json!("another-program")).await, REFUSED);
    assert_eq!(kind("aud", json!(["another-program", "switchboard"])).await, None);
    assert_eq!(kind("iss", json!("https://evil.example")).await, REFUSED);
    assert_eq!(kind("sub", json!("")).await, REFUSED);
    let forbidden = Some(ErrorKind::Forbidden);
    assert_eq!(kind("tenant", json!("nobody")).await, forbidden);
    assert_eq!(kind("tenant", json!(["acme", "globex"])).await, forbidden, "which one?");
    assert_eq!(kind("tenant", json!("../acme")).await, forbidden);
    assert_eq!(kind("groups", json!(["everybody"])).await, forbidden);
    assert_eq!(kind("groups", json!("agents")).await, None, "one text is as good as a list");
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.kind(&key.token(&bench.claims(|claims| claims["exp"] = json!(now + 300)))).await, REFUSED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_key_is_no_secret_and_a_key_is_for_its_own_algorithm() {
    let (p256, rsa) = (SigningKey::p256("p256"), SigningKey::rsa("rsa"));
    let bench = Bench::new(&[&p256, &rsa]).await;
    let claims = bench.good();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for (alg, kid, secret) in [
        ("HS256", "rsa", rsa.public()),
        ("HS256", "p256", p256.public()),
        ("HS256", "rsa", rsa.jwk()["n"].to_string().into_bytes()),
        ("HS256", "rsa", Vec::new()),
    ] {
        let message = format!("{}.{}", part(&json!({"alg": alg, "kid": kid})), part(&claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
        mac.update(message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        assert_eq!(bench.kind(&token).await, REFUSED, "{alg} with {kid}");
    }
    for alg in ["none", "None", "nOnE", ""] {
        let message = format!("{}.{}", part(&json!({"alg": alg, "kid": "rsa"})), part(&claims));
        assert_eq!(bench.kind(&format!("{message}.")).await, REFUSED, "{alg}");
        assert_eq!(bench.kind(&format!("{message}.AAAA")).await, REFUSED, "{alg}");
    }
    for (key, alg, kid) in [
        (&p256, "ES256", "rsa"),
        (&rsa, "RS256", "p256"),
        (&p256, "ES384", "p256"),
        (&p256, "RS256", "p256"),
        (&rsa, "RS384", "rsa"),
        (&rsa, "RS512", "rsa"),
        (&rsa, "ES256", "rsa"),
        (&p256, "EdDSA", "p256"),
    ] {
        let token = key.token_with(&json!({"alg": alg, "kid": kid}), &claims);
        assert_eq!(bench.kind(&token).await, REFUSED, "{alg} by the key {kid}");
    }
    let stranger = SigningKey::p256("p256");
    assert_eq!(bench.kind(&stranger.token(&claims)).await, REFUSED, "the same id, another key");
    let brought = json!({"alg": "ES256", "kid": "p256", "jwk": stranger.jwk(), "jku": "https://evil.example/keys"});
    assert_eq!(bench.kind(&stranger.token_with(&brought, &claims)).await, REFUSED, "a key in the token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_changed_character_of_a_token_refuses_it() {
    for key in [SigningKey::p256("1"), SigningKey::ed25519("1"), SigningKey::rsa("1")] {
        let bench = Bench::new(&[&key]).await;
        let token = key.token(&bench.good());
        assert_eq!(bench.kind(&token).await, None);
        for at in 0..token.len() {
            for with in ["A", "b", "_", ".", "=", "é", ""] {
                let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
                if changed != token {
                    assert!(bench.kind(&changed).await.is_some(), "{at} {with}: {changed}");
                }
            }
        }
        for changed in
            [format!("{token}A"), format!("{token}="), format!("{token}."), format!(" {token}"), token.repeat(2)]
        {
            assert!(bench.kind(&changed).await.is_some(), "{changed}");
        }
        // The parts of two good tokens do not make a third.
        let other = key.token(&bench.claims(|claims| claims["tenant"] = json!("globex")));
        let (one, other): (Vec<_>, Vec<_>) = (token.split('.').collect(), other.split('.').collect());
        let mixed = [one[0], other[1], one[2]].join(".");
        assert!(bench.kind(&mixed).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_keys_are_found_and_old_ones_forgotten() {
    let (old, new) = (SigningKey::p256("old"), SigningKey::p256("new"));
    let bench = Bench::new(&[&old]).await;
    assert_eq!(bench.kind(&old.token(&bench.good())).await, None);
    bench.clock.advance(limits::ISSUER_ASKED_EVERY);
    bench.issuer.publish(&[&old, &new]);
    assert_eq!(bench.kind(&new.token(&bench.good())).await, None, "an unknown key is looked for at once");
    assert_eq!(bench.kind(&old.token(&bench.good())).await, None, "both are there");
    bench.issuer.publish(&[&new]);
    bench.clock.advance(limits::ISSUER_KEYS_TIME);
    bench.oidc.refresh().await;
    assert_eq!(bench.kind(&old.token(&bench.good())).await, REFUSED, "taken back");
    assert_eq!(bench.kind(&new.token(&bench.good())).await, None);
    assert_eq!(bench.issuer.key_fetches(), 3);
    bench.oidc.refresh().await;
    assert_eq!(bench.issuer.key_fetches(), 3, "not before it is time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_and_hangs_up_keeps_nobody_from_new_keys() {
    let (old, new, stranger) = (SigningKey::p256("old"), SigningKey::p256("new"), SigningKey::p256("x"));
    let bench = Bench::new(&[&old]).await;
    bench.oidc.refresh().await;
    bench.issuer.publish(&[&new]);
    bench.issuer.rate(1.0, Fault::Delay(Duration::from_secs(60)));
    for _ in 0..3 {
        bench.clock.advance(limits::ISSUER_ASKED_EVERY);
        let token = stranger.token(&bench.good());
        let answer = bench.check(&token).now_or_never();
        assert!(answer.is_none(), "the fetch is under way when the client hangs up: {answer:?}");
    }
    bench.issuer.heal();
    assert_eq!(bench.kind(&new.token(&bench.good())).await, REFUSED, "requests ask once in half a minute");
    bench.oidc.refresh().await;
    assert_eq!(bench.kind(&new.token(&bench.good())).await, None);
    let fetches = bench.issuer.key_fetches();
    bench.clock.advance(limits::ISSUER_ASKED_EVERY);
    bench.oidc.refresh().await;
    assert_eq!(bench.issuer.key_fetches(), fetches, "what was finished is not asked for again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_causes_no_storm() {
    let (key, stranger) = (SigningKey::p256("1"), SigningKey::p256("x"));
    let bench = Arc::new(Bench::new(&[&key]).await);
    let before = bench.issuer.key_fetches();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let token = stranger.token_with(&json!({"alg": "ES256", "kid": format!("kid-{n}")}), &bench.good());
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.kind(&token).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), REFUSED);
    }
    assert_eq!(bench.issuer.key_fetches() - before, 1, "one for all of them");
    assert_eq!(bench.kind(&key.token(&bench.good())).await, None);
    bench.clock.advance(limits::ISSUER_ASKED_EVERY);
    for n in 0..5 {
        let token = stranger.token_with(&json!({"alg": "ES256", "kid": format!("more-{n}")}), &bench.good());
        assert_eq!(bench.kind(&token).await, REFUSED);
    }
    assert_eq!(bench.issuer.key_fetches() - before, 2, "one in half a minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_down_locks_out_nobody_who_was_in_for_a_day() {
    let key = SigningKey::p256("1");
    let bench = Bench::new(&[&key]).await;
    bench.issuer.rate(1.0, Fault::status(503));
    assert_eq!(bench.kind(&key.token(&bench.good())).await, Some(ErrorKind::Unavailable), "no keys yet");
    let asked = bench.issuer.requests();
    assert_eq!(bench.kind(&key.token(&bench.good())).await, Some(ErrorKind::Unavailable));
    assert_eq!(bench.issuer.requests(), asked, "not asked again at once");
    bench.issuer.heal();
    bench.clock.advance(limits::ISSUER_ASKED_EVERY);
    assert_eq!(bench.kind(&key.token(&bench.good())).await, None, "back");
    bench.issuer.rate(1.0, Fault::Drop);
    for _ in 0..23 {
        bench.clock.advance(Duration::from_secs(3_600));
        bench.oidc.refresh().await;
        assert_eq!(bench.kind(&key.token(&bench.good())).await, None, "the keys that are there go on");
    }
    bench.clock.advance(Duration::from_secs(3_600));
    assert_eq!(bench.kind(&key.token(&bench.good())).await, Some(ErrorKind::Unavailable), "not for ever");
    bench.issuer.heal();
    bench.clock.advance(limits::ISSUER_ASKED_EVERY);
    assert_eq!(bench.kind(&key.token(&bench.good())).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_somebody_else_or_talks_nonsense_gives_no_keys() {
    let key = SigningKey::p256("1");
    let bench = Bench::new(&[&key]).await;
    bench.issuer.claim_to_be("https://evil.example");
    assert_eq!(bench.kind(&key.token(&bench.good())).await, Some(ErrorKind::Unavailable));
    let url = bench.issuer.url();
    bench.issuer.claim_to_be(&url);
    for fault in [Fault::Garbage, Fault::Body("{\"keys\": []}".to_owned()), Fault::Body("[]".to_owned())] {
        bench.clock.advance(limits::ISSUER_ASKED_EVERY);
        bench.issuer.next(fault);
        let error: Error = bench.check(&key.token(&bench.good())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.report());
    }
    bench.clock.advance(limits::ISSUER_ASKED_EVERY);
    assert_eq!(bench.kind(&key.token(&bench.good())).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_of_the_keys_may_be_named() {
    let key = SigningKey::ed25519("1");
    let named = |config: &mut OidcConfig, issuer: &IssuerDouble| {
        config.jwks = Url::parse(&format!("{}/keys", issuer.url())).ok();
        issuer.claim_to_be("https://not-asked.example");
    };
    let bench = Bench::with(&[&key], named).await;
    assert_eq!(bench.kind(&key.token(&bench.good())).await, None);
    assert_eq!(bench.issuer.requests(), 1, "no discovery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_may_not_be_called_is_the_operators_trouble_and_not_the_callers() {
    let key = SigningKey::ed25519("1");
    let elsewhere =
        |config: &mut OidcConfig, _: &IssuerDouble| config.jwks = Url::parse("http://127.0.0.1:9/keys").ok();
    let bench = Bench::with(&[&key], elsewhere).await;
    let error = bench.check(&key.token(&bench.good())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        !error.to_string().contains("127.0.0.1") && error.report().contains("outbound.allow_hosts"),
        "{}",
        error.report()
    );
}

type Change = fn(&mut OidcConfig);

#[test]
fn settings_that_let_anybody_in_are_refused() {
    let good = OidcConfig {
        issuer: "https://id.example".to_owned(),
        audience: "switchboard".to_owned(),
        jwks: None,
        tenant_claim: "tenant".to_owned(),
        role_claim: "groups".to_owned(),
        roles: [("agents".to_owned(), Role::Agent)].into(),
        leeway: Duration::from_secs(60),
    };
    let wrong: [(&str, Change); 6] = [
        ("oidc.issuer", |config| config.issuer = "id.example".to_owned()),
        ("oidc.issuer", |config| config.issuer = "https://id.example?x=1".to_owned()),
        ("oidc.audience", |config| config.audience = String::new()),
        ("oidc.tenant_claim", |config| config.tenant_claim = String::new()),
        ("oidc.roles", |config| config.roles.clear()),
        ("oidc.leeway_seconds", |config| config.leeway = Duration::from_secs(301)),
    ];
    let made =
        |config: OidcConfig| Oidc::new(config, Arc::new(HttpIssuer::new(outbound(&[]))), Arc::new(FixedClock::new()));
    assert!(made(good.clone()).is_ok());
    for (setting, change) in wrong {
        let mut config = good.clone();
        change(&mut config);
        let error = made(config).err().unwrap_or_else(|| panic!("{setting} is taken"));
        assert!(error.to_string().starts_with(setting), "{error}");
    }
}

struct Documents {
    issuer: IssuerDouble,
    documents: Arc<HttpIssuer>,
}

impl Published for Documents {
    fn documents(&self) -> Arc<dyn IssuerDocuments> {
        self.documents.clone()
    }

    fn server(&self) -> &Server {
        &self.issuer
    }

    fn document(&self) -> (Url, Vec<u8>) {
        let keys = json!({"keys": [self.issuer.published()]});
        (Url::parse(&format!("{}/keys", self.issuer.url())).unwrap(), keys.to_string().into_bytes())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_issuer() {
    contracts::issuer_documents(async || {
        let issuer = IssuerDouble::start(&[&SigningKey::ed25519("1")]).await;
        let documents = Arc::new(HttpIssuer::new(outbound(&[&issuer])));
        Documents { issuer, documents }
    })
    .await;
}
