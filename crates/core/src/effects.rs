//! What leaves the system: each effect is attempted by the ledger's rules, so that none happens twice unless that is
//! harmless, and none is repeated blindly.
//!
//! The intent is stored with the change that asks for it. [`perform`] stores that an attempt begins, lets it out, and says
//! what came of it; the caller stores that with the end of the lease. After a crash or an unclear answer the attempt is
//! open, and what may be done then is the provider's word ([`Repeats`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    app::App,
    error::{Error, ErrorKind, Result},
    ids::{EffectId, TenantId},
    limits,
    ports::{Attempt, Clock, EffectState, Lease, Repeats, TenantScope},
    time::Timestamp,
};

/// A way out of the system, made for one effect.
#[async_trait]
pub trait Outgoing: Sync {
    /// What may be done when an earlier attempt may have got through.
    fn repeats(&self) -> Repeats;

    /// How long it would be put off now without being sent, if at all.
    fn rests(&self) -> Option<Duration> {
        None
    }

    /// Whether it has happened: the receipt when it has, `None` when it surely has not. Asked only when [`Self::repeats`]
    /// says `LookFirst`.
    async fn look_up(&self) -> Result<Option<String>>;

    /// Lets it happen and gives the receipt. It ends by itself in bounded time.
    async fn send(&self) -> Result<String>;
}

/// When the attempts of this process began, by its monotonic clock: a jump of the wall clock makes none of them old.
#[derive(Clone)]
pub struct OnTheirWay {
    started: Duration,
    began: Arc<Mutex<HashMap<(TenantId, EffectId), Duration>>>,
}

/// More attempts than are open in half a minute, as a rule: with so many, those that have surely arrived are forgotten.
const MANY_ATTEMPTS: usize = 1_024;

impl OnTheirWay {
    /// At the start of the process: `clock` is the one that it goes by.
    pub fn new(clock: &dyn Clock) -> Self {
        Self { started: clock.monotonic(), began: Arc::default() }
    }

    fn began(&self) -> MutexGuard<'_, HashMap<(TenantId, EffectId), Duration>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, scope: &TenantScope, id: &EffectId, now: Duration) {
        let mut began = self.began();
        if began.len() >= MANY_ATTEMPTS {
            began.retain(|_, at| now.saturating_sub(*at) < limits::EFFECT_ON_ITS_WAY);
        }
        began.insert((scope.tenant().clone(), id.clone()), now);
    }

    fn end(&self, scope: &TenantScope, id: &EffectId) {
        self.began().remove(&(scope.tenant().clone(), id.clone()));
    }

    /// How long an attempt has surely been on its way that began at `since` by the wall clock: what both clocks agree on. One
    /// of an earlier process began before this one was started; one of another process is known by the wall clock only.
    fn age(&self, clock: &dyn Clock, scope: &TenantScope, id: &EffectId, since: Timestamp) -> Duration {
        let key = (scope.tenant().clone(), id.clone());
        let began = self.began().get(&key).copied().unwrap_or(self.started);
        clock.monotonic().saturating_sub(began).min(clock.now().since(since))
    }
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// It has happened, by this attempt or an earlier one; with the receipt.
    Done(String),
    /// There was nothing to do: it is done, superseded or abandoned.
    Before(EffectState),
}

/// Why an effect is not known to have happened.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotPerformed {
    /// What failed.
    #[source]
    pub error: Error,
    /// Whether it may have happened all the same, by this attempt or an earlier one.
    pub open: bool,
    /// Whether a person has to look before anything is tried again.
    pub held: bool,
}

impl NotPerformed {
    fn unsent(error: Error, open: bool) -> Self {
        Self { error, open, held: false }
    }
}

/// Attempts one effect under a lease.
pub async fn perform(
    app: &App,
    scope: &TenantScope,
    id: &EffectId,
    lease: &Lease,
    outgoing: &dyn Outgoing,
) -> Result<Performed, NotPerformed> {
    let repeats = outgoing.repeats();
    // What would not be sent is no attempt: were the process to die in it, nobody would know that it was not.
    if let Some(wait) = outgoing.rests()
        && let Ok(Some(effect)) = app.effects.effect(scope, id).await
        && matches!(effect.state, EffectState::Intended | EffectState::Failed)
    {
        let message = format!("the other side is left alone for {} s", wait.as_secs().max(1));
        return Err(NotPerformed::unsent(Error::new(ErrorKind::Unavailable, message).deferred(wait), false));
    }
    let begin = |repeat| app.effects.attempt(scope, id, lease, repeat);
    // What the ledger cannot say is taken as open: it costs a look, not an effect.
    let mut attempt = begin(repeats == Repeats::Safe).await.map_err(|error| NotPerformed::unsent(error, true))?;
    let mut found_absent = false;
    if let Attempt::Open { since } = attempt {
        match repeats {
            Repeats::LookFirst => {
                let wait = limits::EFFECT_ON_ITS_WAY.saturating_sub(app.on_their_way.age(
                    app.clock.as_ref(),
                    scope,
                    id,
                    since,
                ));
                // What is still on its way would not be seen yet.
                if !wait.is_zero() {
                    let error = Error::new(ErrorKind::Unavailable, "an earlier attempt may still be on its way");
                    return Err(NotPerformed::unsent(error.deferred(wait), true));
                }
                match outgoing.look_up().await {
                    Ok(Some(receipt)) => return Ok(Performed::Done(receipt)),
                    Ok(None) => found_absent = true,
                    Err(error) => return Err(NotPerformed::unsent(error, true)),
                }
            }
            Repeats::Safe => {}
            Repeats::Never => {
                let error = Error::new(
                    ErrorKind::Refused,
                    "an attempt was interrupted or its answer was unclear, so it is not known whether the other side has it, \
                     and sending it again may do it twice: look there, then say what is so by `switchboard effects resolve`",
                );
                return Err(NotPerformed { error, open: true, held: true });
            }
        }
        attempt = begin(true).await.map_err(|error| NotPerformed::unsent(error, true))?;
    }
    let may_be_there = match attempt {
        Attempt::Begun { after_open } => after_open && !found_absent,
        Attempt::Settled(state) => return Ok(Performed::Before(state)),
        Attempt::Open { .. } => {
            let error = Error::new(ErrorKind::Internal, "the ledger refuses an attempt that may be repeated");
            return Err(NotPerformed::unsent(error, true));
        }
    };
    if repeats == Repeats::LookFirst {
        app.on_their_way.begin(scope, id, app.clock.monotonic());
    }
    let sent = outgoing.send().await;
    let open = sent.as_ref().is_err_and(|error| error.may_have_applied() || may_be_there);
    if !open {
        app.on_their_way.end(scope, id);
    }
    match sent {
        Ok(receipt) => Ok(Performed::Done(receipt)),
        Err(error) => {
            // Nothing can be found out by trying again where nothing can be looked up.
            Err(NotPerformed { held: error.may_have_applied() && repeats == Repeats::Never, open, error })
        }
    }
}
