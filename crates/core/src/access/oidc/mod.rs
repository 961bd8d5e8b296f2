//! People of an OpenID Connect issuer: a token of it becomes a [`Principal`] with a tenant and a role.
//!
//! The structure of tokens is read here and the signatures are checked by `ring`, which is in the house for TLS already: the
//! crate for tokens would bring either another TLS library's cryptography or forty crates of older versions. Taken are the
//! asymmetric algorithms of one list, a key is used only for the algorithm of its kind, and time is the port's.
//!
//! The issuer's keys are kept in memory: fetched again every ten minutes, and at once when a token names a key that is not
//! there, but not more often than every 30 seconds, so that rubbish causes no storm. While the issuer is down, the keys that
//! are there go on for a day.

mod jwks;
mod token;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::lock::Mutex as FairMutex;
use sha2::{Digest, Sha256};
use url::Url;

use self::{
    jwks::{BadDocument, Discovered, KeySet},
    token::Token,
};
use super::{Principal, Role, Who};
use crate::{
    deadline,
    error::{Error, ErrorKind, Result},
    ids::{SubjectId, TenantId},
    limits,
    ports::{Clock, IssuerDocuments, TenantSource},
    untrusted::{Closed, Untrusted},
};

pub use self::token::Refusal;

/// What is known of the issuer, from the settings.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// The issuer, exactly as its tokens and its discovery document spell it.
    pub issuer: String,
    /// What its tokens must be for.
    pub audience: String,
    /// Where its keys are; found by its discovery document when absent.
    pub jwks: Option<Url>,
    /// The claim with the tenant's id: its name, or from `/` on a JSON pointer to it.
    pub tenant_claim: String,
    /// The claim with the person's roles or groups, spelled likewise.
    pub role_claim: String,
    /// Which role each value of that claim stands for. Of several, the most powerful counts.
    pub roles: BTreeMap<String, Role>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
}

/// Checks the tokens of one issuer.
pub struct Oidc {
    config: OidcConfig,
    documents: Arc<dyn IssuerDocuments>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    /// One fetch at a time; who waits for it uses what it brings.
    fetching: FairMutex<()>,
}

#[derive(Clone, Default)]
struct Kept {
    keys: Option<Arc<KeySet>>,
    /// Monotonic; when the keys came.
    fetched_at: Duration,
    /// Monotonic; when they were last asked for.
    asked_at: Option<Duration>,
    /// Monotonic; when they were last asked for by [`Oidc::refresh`].
    refreshed_at: Option<Duration>,
    /// Whether somebody has asked and not waited for the end: a request's work ends when its client hangs up.
    is_unfinished: bool,
}

/// A token in the compact form has three parts; no API key does.
pub fn looks_like_a_token(text: &str) -> bool {
    text.split('.').count() == 3
}

impl Oidc {
    /// For this issuer, whose documents come from `documents`. `Invalid` names the setting that is wrong.
    pub fn new(config: OidcConfig, documents: Arc<dyn IssuerDocuments>, clock: Arc<dyn Clock>) -> Result<Self> {
        let wrong = |message: &'static str| Err(Error::new(ErrorKind::Invalid, message));
        if !Url::parse(&config.issuer)
            .is_ok_and(|url| url.has_host() && url.query().is_none() && url.fragment().is_none())
        {
            return wrong("oidc.issuer: must be a URL without query, such as https://login.example.com");
        }
        if config.audience.is_empty() {
            return wrong(
                "oidc.audience: must name what the tokens are for, or those for other programs would be taken",
            );
        }
        if config.tenant_claim.is_empty() || config.role_claim.is_empty() {
            return wrong("oidc.tenant_claim and oidc.role_claim: must name claims");
        }
        if config.roles.is_empty() {
            return wrong("oidc.roles: must map values of the role claim to viewer, agent, lead or admin");
        }
        if config.leeway > Duration::from_secs(300) {
            return wrong("oidc.leeway_seconds: may be at most 300");
        }
        Ok(Self { config, documents, clock, kept: Mutex::default(), fetching: FairMutex::new(()) })
    }

    /// Whom a token stands for. Every fault of the token is `Unauthorized` with the same words; a token that is right and
    /// gives no tenant or role here is `Forbidden`; without any keys, because the issuer is down, it is `Unavailable`.
    pub async fn authenticate(&self, known: &dyn TenantSource, presented: &str) -> Result<Principal> {
        let outcome = self.checked(known, presented).await;
        match outcome {
            Ok(principal) => Ok(principal),
            Err(Failure::Refused(refusal)) => {
                metrics::counter!("switchboard_tokens_refused_total", "reason" => refusal.name()).increment(1);
                tracing::debug!(reason = refusal.name(), "a token was refused");
                Err(self.told(refusal))
            }
            Err(Failure::Failed(error)) => Err(error),
        }
    }

    /// Fetches the keys when it is time, and when a request began to and was given up; called by the shell every now and
    /// then. Nothing fails by it: what is there stays. That requests have asked a moment ago does not keep it: a client that
    /// asks and hangs up would else keep an issuer's new keys unknown.
    pub async fn refresh(&self) {
        let now = self.clock.monotonic();
        let is_due = |kept: &Kept| {
            let is_old = now.saturating_sub(kept.fetched_at) >= limits::ISSUER_KEYS_TIME;
            (kept.keys.is_none() || is_old || kept.is_unfinished)
                && kept.refreshed_at.is_none_or(|at| now.saturating_sub(at) >= limits::ISSUER_ASKED_EVERY)
        };
        if !is_due(&self.kept()) {
            return;
        }
        let _one = self.fetching.lock().await;
        if !is_due(&self.kept()) {
            return;
        }
        self.kept().refreshed_at = Some(now);
        if let Err(error) = self.fetch_now(now).await {
            tracing::warn!(error = error.report(), "the issuer's keys cannot be fetched, those that are there go on");
        }
    }

    async fn checked(&self, known: &dyn TenantSource, presented: &str) -> Result<Principal, Failure> {
        let token = Token::parse(presented)?;
        let keys = self.keys_with(&token.key).await?;
        keys.verify(&token.key, token.algorithm, token.message.as_bytes(), &token.signature)?;
        let claims = token.claims()?;
        let config = &self.config;
        claims.check(&config.issuer, &config.audience, config.leeway, self.clock.now())?;
        let subject = claims.subject().ok_or(Refusal::Subject)?;
        let role = claims.texts(&config.role_claim).filter_map(|value| config.roles.get(value)).max();
        let role = *role.ok_or(Refusal::Role)?;
        // Two tenants in one token are none: which one is meant cannot be guessed.
        let mut tenants = claims.texts(&config.tenant_claim);
        let tenant = match (tenants.next(), tenants.next()) {
            (Some(only), None) => only.parse::<TenantId>().map_err(|_| Refusal::Tenant)?,
            _ => return Err(Refusal::Tenant.into()),
        };
        // One whose configuration is broken is there all the same, and what needs the configuration says so.
        if matches!(known.tenant(&tenant).await, Ok(None)) {
            return Err(Refusal::Tenant.into());
        }
        let id = subject_id(&config.issuer, subject);
        Ok(Principal { who: Who::Subject(id), name: String::new(), tenant, role: Some(role), scopes: role.scopes() })
    }

    fn told(&self, refusal: Refusal) -> Error {
        let OidcConfig { tenant_claim, role_claim, .. } = &self.config;
        match refusal {
            Refusal::Tenant => {
                let message = format!("the token's claim `{tenant_claim}` names no tenant of this server");
                Error::new(ErrorKind::Forbidden, message)
            }
            Refusal::Role => {
                let message = format!("the token's claim `{role_claim}` has no value that stands for a role here");
                Error::new(ErrorKind::Forbidden, message)
            }
            _ => Error::new(ErrorKind::Unauthorized, "the token is not valid here, or not any more; sign in again"),
        }
    }

    /// The keys, fetched when there are none or when `id` is not among them and it may be asked again.
    async fn keys_with(&self, id: &str) -> Result<Arc<KeySet>> {
        let usable = |kept: &Kept, now: Duration| {
            kept.keys.clone().filter(|_| now.saturating_sub(kept.fetched_at) < limits::ISSUER_KEYS_KEPT)
        };
        let now = self.clock.monotonic();
        let kept = self.kept().clone();
        if let Some(keys) = usable(&kept, now).filter(|keys| keys.has(id)) {
            return Ok(keys);
        }
        let fetched = self.fetch(now).await;
        let kept = self.kept().clone();
        match (usable(&kept, now), fetched) {
            (Some(keys), _) => Ok(keys),
            (None, fetched) => {
                let error = Error::new(ErrorKind::Unavailable, "the keys of the OIDC issuer cannot be had now");
                let Err(cause) = fetched else { return Err(error) };
                tracing::error!(error = cause.report(), "the issuer's keys cannot be fetched, and there are none");
                Err(error.caused_by(cause))
            }
        }
    }

    /// Fetches the keys, if they were not asked for a moment ago. One call at a time: the others wait for it.
    async fn fetch(&self, now: Duration) -> Result<()> {
        let may_ask =
            |kept: &Kept| kept.asked_at.is_none_or(|asked| now.saturating_sub(asked) >= limits::ISSUER_ASKED_EVERY);
        if !may_ask(&self.kept()) {
            // Somebody may be fetching just now: what that brings is good for this caller, too.
            drop(self.fetching.lock().await);
            return Ok(());
        }
        let _one = self.fetching.lock().await;
        if !may_ask(&self.kept()) {
            return Ok(());
        }
        self.fetch_now(now).await
    }

    /// Fetches the keys; the caller holds the lock.
    async fn fetch_now(&self, now: Duration) -> Result<()> {
        {
            let mut kept = self.kept();
            (kept.asked_at, kept.is_unfinished) = (Some(now), true);
        }
        let fetch = self.fetch_keys();
        let keys = deadline::within(self.clock.as_ref(), 2 * limits::ISSUER_TIME, "the OIDC issuer", fetch).await;
        self.kept().is_unfinished = false;
        let keys = keys?;
        tracing::debug!(keys = keys.len(), "the issuer's keys were fetched");
        let mut kept = self.kept();
        (kept.keys, kept.fetched_at) = (Some(Arc::new(keys)), now);
        Ok(())
    }

    async fn fetch_keys(&self) -> Result<KeySet> {
        let jwks = match &self.config.jwks {
            Some(jwks) => jwks.clone(),
            None => {
                let url = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
                let url = Url::parse(&url)
                    .map_err(|error| Error::new(ErrorKind::Invalid, "oidc.issuer is no URL").caused_by(error))?;
                let document = self.documents.fetch(&url).await?;
                read(&document, |bytes| Discovered::read(bytes, &self.config.issuer))?.jwks
            }
        };
        read(&self.documents.fetch(&jwks).await?, KeySet::read)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<T: Closed>(document: &Untrusted<Vec<u8>>, read: impl FnOnce(&[u8]) -> Result<T, BadDocument>) -> Result<T> {
    let outcome = document.read_as(|bytes| read(bytes));
    outcome.map_err(|bad| {
        Error::new(ErrorKind::Unavailable, "the OIDC issuer answered something unexpected").caused_by(bad)
    })
}

/// The same for the same person, and no name: subjects may be e-mail addresses.
fn subject_id(issuer: &str, subject: &str) -> SubjectId {
    let hash: [u8; 32] = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(subject).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    SubjectId::from_bytes([a, b, c, d, e, f, g, h])
}

enum Failure {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
