use clap::{Args, Subcommand};
use switchboard_core::{
    ids::{EffectId, TicketId},
    ports::EffectState,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Effects {
    /// List what left the system for a ticket, or else what is held for a person, newest first.
    List {
        /// About this ticket.
        #[arg(long)]
        ticket: Option<TicketId>,
        /// In this state: `unknown` may have happened, `failed` has not; with --ticket any other, too.
        #[arg(long)]
        state: Option<EffectState>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one.
    Show {
        /// The effect.
        id: EffectId,
    },
    /// Say what is so with one that is held.
    Resolve {
        /// The effect.
        id: EffectId,
        #[command(flatten)]
        resolution: ResolutionArgs,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResolutionArgs {
    /// It has happened; say who has looked, and what he saw.
    #[arg(long, value_name = "HOW YOU KNOW")]
    pub(crate) happened: Option<String>,
    /// It has not happened, or may happen twice: try again.
    #[arg(long)]
    pub(crate) try_again: bool,
    /// Nobody is to work on it any more.
    #[arg(long)]
    pub(crate) abandon: bool,
}
