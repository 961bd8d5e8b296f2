//! The operator's sessions: signed in by the local password, kept by a cookie.

use std::{fmt, net::IpAddr, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::{
    Pepper, Principal, Role, Scope, Who,
    audit::{Action, Actor, By, Details, Label, NewAuditEntry, Outcome},
    lockout::{Attempt, Locked, Lockout},
    password::PasswordHash,
};
use crate::{
    app::App,
    error::{Error, ErrorKind, Result, Retry},
    ids::{CorrelationId, SessionId, TenantId},
    limits,
    ports::{Clock, Ids, OperatorStore},
    time::Timestamp,
};

/// What a session's cookie holds: 256 random bits.
pub struct SessionToken(SecretBox<[u8; 32]>);

/// What is kept of a session's token: an HMAC under the pepper. It is looked up as it is: the token is random, so how long
/// a look-up takes tells nothing of use.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// A session as kept: without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// How the audit log names it.
    pub id: SessionId,
    /// The hash of its token.
    pub token: TokenHash,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, as far as noted ([`limits::USE_NOTED_EVERY`]).
    pub used_at: Timestamp,
    /// When it ends, however busy it is.
    pub expires_at: Timestamp,
}

impl SessionToken {
    fn generate(ids: &dyn Ids) -> Self {
        let mut bytes = [0; 32];
        ids.fill(&mut bytes);
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// The token of a cookie; `None` when the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        Some(Self(SecretBox::new(Box::new(bytes))))
    }

    /// The token for the cookie.
    pub fn reveal(&self) -> SecretString {
        URL_SAFE_NO_PAD.encode(self.0.expose_secret()).into()
    }

    /// What to keep.
    pub fn hash(&self, pepper: &Pepper) -> TokenHash {
        let mut named = b"switchboard session v1\0".to_vec();
        named.extend_from_slice(self.0.expose_secret());
        TokenHash(pepper.mac(&named))
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken([hidden])")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash([hidden])")
    }
}

impl SessionRecord {
    /// Whether its time is over: too long ago used, or too long ago begun. A wall clock that went back before its beginning
    /// ends it, too: nobody can tell then how old it is.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires_at || now.since(self.used_at) >= limits::SESSION_IDLE || now < self.created_at
    }

    /// The end as it is now: of its idle time or of its whole time, whichever comes first.
    pub fn ends_at(&self) -> Timestamp {
        self.expires_at.min(self.used_at.plus(limits::SESSION_IDLE))
    }
}

/// A login on its way: the right to check one password.
pub struct Login {
    address: Option<IpAddr>,
    attempt: Attempt,
}

/// What a login came to.
#[derive(Debug)]
pub enum Signed {
    /// The password is right.
    In {
        /// For the cookie.
        token: SessionToken,
        /// What is kept.
        session: SessionRecord,
    },
    /// It is wrong, or none is set.
    Wrong,
}

/// Begins a login: refused with [`ErrorKind::Throttled`] and the time to wait when too many went wrong before. The password
/// is then checked by [`check`] on a thread that may block, and [`finish`] takes what that came to.
pub fn begin(lockout: &Lockout, clock: &dyn Clock, address: Option<IpAddr>) -> Result<Login> {
    match lockout.begin(address, clock.monotonic()) {
        Ok(attempt) => Ok(Login { address, attempt }),
        Err(Locked { wait }) => {
            let message = format!("too many wrong passwords; try again in {} seconds", wait.as_secs().max(1));
            Err(Error::new(ErrorKind::Throttled, message).with_retry(Retry::After(wait.max(Duration::from_secs(1)))))
        }
    }
}

/// Whether `password` is the one that is kept. It takes as long when none is kept.
pub fn check(kept: Option<&PasswordHash>, password: &SecretString, ids: &dyn Ids) -> Result<bool> {
    match kept {
        Some(kept) => kept.matches(password),
        None => PasswordHash::of_nobody(ids).matches(password).map(|_| false),
    }
}

/// Ends a login: opens the session when the password was right; else notes the failure, and writes one entry to the audit
/// log when it locked the sign-in.
pub async fn finish(
    app: &App,
    operator: &dyn OperatorStore,
    pepper: &Pepper,
    lockout: &Lockout,
    login: Login,
    is_right: bool,
    correlation_id: CorrelationId,
) -> Result<Signed> {
    let now = app.clock.now();
    if !is_right {
        if let Some((wait, failures)) = login.attempt.locks() {
            let address = login.address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
            let actor = Actor::Unknown { address: Label::new(&address) };
            let details = Details { count: Some(failures), seconds: Some(wait.as_secs()), ..Details::default() };
            let by = By { actor, correlation_id: Some(correlation_id) };
            app.audit.append(by.did(Action::Lockout, None).with(details).came_to(Outcome::Refused)).await?;
        }
        return Ok(Signed::Wrong);
    }
    let token = SessionToken::generate(app.ids.as_ref());
    let mut id = [0; 8];
    app.ids.fill(&mut id);
    let session = SessionRecord {
        id: SessionId::from_bytes(id),
        token: token.hash(pepper),
        created_at: now,
        used_at: now,
        expires_at: now.plus(limits::SESSION_TIME),
    };
    let by = By { actor: Actor::Session { id: session.id.clone() }, correlation_id: Some(correlation_id) };
    let source = login.address.map(|address| Label::new(&address.to_string()));
    let failures = login.attempt.failures_before();
    let details = Details { count: (failures > 0).then_some(failures), source, ..Details::default() };
    operator.open_session(session.clone(), by.did(Action::Login, None).with(details)).await?;
    lockout.forgive(&login.attempt);
    Ok(Signed::In { token, session })
}

/// The session of a cookie's token: `None` when there is none or its time is over.
pub async fn session(
    clock: &dyn Clock,
    operator: &dyn OperatorStore,
    pepper: &Pepper,
    token: &SessionToken,
) -> Result<Option<SessionRecord>> {
    let found = operator.session(&token.hash(pepper)).await?;
    Ok(found.filter(|session| !session.is_over(clock.now())))
}

/// Ends a session.
pub async fn sign_out(
    operator: &dyn OperatorStore,
    session: &SessionRecord,
    correlation_id: CorrelationId,
) -> Result<bool> {
    operator.close_session(&session.token, logout(session, correlation_id)).await
}

fn logout(session: &SessionRecord, correlation_id: CorrelationId) -> NewAuditEntry {
    let by = By { actor: Actor::Session { id: session.id.clone() }, correlation_id: Some(correlation_id) };
    by.did(Action::Logout, None)
}

/// The operator as a caller within one tenant, who may do everything there.
pub fn principal(session: &SessionRecord, tenant: TenantId) -> Principal {
    Principal {
        who: Who::Session(session.id.clone()),
        name: "operator".to_owned(),
        tenant,
        role: Some(Role::Admin),
        scopes: Scope::ALL.to_vec(),
    }
}
