//! What leaves the system: each effect is attempted by the ledger's rules, so that none happens twice unless that is
//! harmless, and none is repeated blindly.
//!
//! The intent is stored with the change that asks for it. [`perform`] stores that an attempt begins, lets it out, and says
//! what came of it; the caller stores that with the end of the lease. After a crash or an unclear answer the attempt is
//! open, and what may be done then is the provider's word ([`Repeats`]).

use async_trait::async_trait;

use crate::{
    app::App,
    error::{Error, ErrorKind, Result},
    ids::EffectId,
    ports::{Attempt, EffectState, Lease, Repeats, TenantScope},
};

/// A way out of the system, made for one effect.
#[async_trait]
pub trait Outgoing: Sync {
    /// What may be done when an earlier attempt may have got through.
    fn repeats(&self) -> Repeats;

    /// Whether it has happened: the receipt when it has, `None` when it surely has not. Asked only when [`Self::repeats`]
    /// says `LookFirst`.
    async fn look_up(&self) -> Result<Option<String>>;

    /// Lets it happen and gives the receipt. It ends by itself in bounded time.
    async fn send(&self) -> Result<String>;
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
    let begin = |repeat| app.effects.attempt(scope, id, lease, repeat);
    // What the ledger cannot say is taken as open: it costs a look, not an effect.
    let mut attempt = begin(repeats == Repeats::Safe).await.map_err(|error| NotPerformed::unsent(error, true))?;
    let mut found_absent = false;
    if attempt == Attempt::Open {
        match repeats {
            Repeats::LookFirst => match outgoing.look_up().await {
                Ok(Some(receipt)) => return Ok(Performed::Done(receipt)),
                Ok(None) => found_absent = true,
                Err(error) => return Err(NotPerformed::unsent(error, true)),
            },
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
        Attempt::Open => {
            let error = Error::new(ErrorKind::Internal, "the ledger refuses an attempt that may be repeated");
            return Err(NotPerformed::unsent(error, true));
        }
    };
    match outgoing.send().await {
        Ok(receipt) => Ok(Performed::Done(receipt)),
        Err(error) => {
            let open = error.may_have_applied() || may_be_there;
            // Nothing can be found out by trying again where nothing can be looked up.
            Err(NotPerformed { held: error.may_have_applied() && repeats == Repeats::Never, open, error })
        }
    }
}
