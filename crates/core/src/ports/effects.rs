use async_trait::async_trait;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::Result,
    event::Event,
    ids::{EffectId, EventId, TicketId},
    ports::{Lease, TenantScope},
    time::Timestamp,
    words::words,
};

words! {
    /// What is known of an effect.
    EffectState {
        /// It is to happen, and nothing of it is under way.
        Intended = "intended",
        /// An attempt has begun and may have got through; what came of it is not known, or not known yet.
        Attempted = "attempted",
        /// It has happened.
        Done = "done",
        /// It surely has not happened, and nobody tries again by himself.
        Failed = "failed",
        /// It may have happened, and nobody tries again by himself: a person has to look.
        Unknown = "unknown",
        /// A newer effect has taken its place.
        Superseded = "superseded",
        /// A person has said that nobody works on it any more.
        Abandoned = "abandoned",
    }
}

impl EffectState {
    /// Whether the other side may have it although nobody has said so.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Attempted | Self::Unknown)
    }

    /// Whether it waits for a person.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Failed | Self::Unknown)
    }
}

words! {
    /// What kind of thing happens outside.
    EffectKind {
        /// The ticketing system is told of a decision or a review.
        DeskUpdate = "desk_update",
    }
}

/// A line of the ledger: what was to happen outside, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Effect {
    /// The effect, and its idempotency key at the other side: the id of the decision or the review that it tells of.
    pub id: EffectId,
    /// What kind it is.
    pub kind: EffectKind,
    /// The ticket that it is about.
    pub ticket_id: TicketId,
    /// The event whose work it is.
    pub event: EventId,
    /// What is known of it.
    pub state: EffectState,
    /// Attempts that have begun.
    pub attempts: u32,
    /// When it was stored that it is to happen.
    pub intended_at: Timestamp,
    /// When its state or its attempts changed last.
    pub changed_at: Timestamp,
    /// What the other side said when it was done, or the person who knows that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// How its last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether an attempt may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is stored that this attempt begins: it may go out now.
    Begun {
        /// Whether an earlier attempt was open.
        after_open: bool,
    },
    /// An earlier attempt may have got through. Nothing was stored and nothing may go out before that is found out.
    Open,
    /// There is nothing to do any more: it is done, superseded or abandoned. Nothing was stored.
    Settled(EffectState),
}

/// What a person makes of an effect that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It has happened; with the person's words for the receipt.
    Happened {
        /// Who says so, and how he knows.
        receipt: String,
    },
    /// It is to be tried again, whatever came of the attempts before.
    TryAgain,
    /// Nobody works on it any more.
    Abandon,
}

/// Which lines of the ledger are meant: those of a ticket, or else those that are held. All given conditions hold.
#[derive(Clone, Debug, Default)]
pub struct EffectFilter {
    /// About this ticket.
    pub ticket: Option<TicketId>,
    /// In this state.
    pub state: Option<EffectState>,
    /// At most so many, newest first.
    pub limit: u32,
}

/// Everything that leaves the system, with what is known of it: intent, attempts, result.
///
/// The intent is stored by the same write as the change that asks for it ([`crate::ports::TicketStore::decide`] and
/// `record_review`), the result by the one that ends the lease (`record_sync`); here are the attempts between, and what
/// people do. An effect that nobody will try again by himself is held: `failed` when it surely has not happened,
/// `unknown` when it may have.
#[async_trait]
pub trait EffectLedger: Send + Sync {
    /// Stores, durably and before it returns, that an attempt begins under this lease. When an earlier one is open it does
    /// so only if `repeat` says that another may go out in spite of it. A lost lease is
    /// [`crate::error::ErrorKind::LeaseLost`].
    ///
    /// An effect whose intent is from before there was a ledger is put in by its first attempt.
    async fn attempt(&self, scope: &TenantScope, id: &EffectId, lease: &Lease, repeat: bool) -> Result<Attempt>;

    /// One line.
    async fn effect(&self, scope: &TenantScope, id: &EffectId) -> Result<Option<Effect>>;

    /// Lines, newest first.
    async fn effects(&self, scope: &TenantScope, filter: &EffectFilter) -> Result<Vec<Effect>>;

    /// Does what a person says with an effect that is held, in one write with its dead letter, the ticket's write-back, and
    /// `event` when one is given; `false`, and nothing is written, when there is no such effect or it is not held.
    async fn resolve(
        &self,
        scope: &TenantScope,
        id: &EffectId,
        resolution: Resolution,
        event: Option<Event>,
    ) -> Result<bool>;

    /// How many are `unknown`, over all tenants.
    async fn unknown(&self) -> Result<u64>;
}
