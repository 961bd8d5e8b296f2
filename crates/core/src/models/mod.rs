//! Language models: one vocabulary for all providers, and the wrappers that make a call safe to make.
//!
//! A [`Prompt`] goes to a [`crate::ports::ChatModel`] and comes back as an [`Answer`], whose words are untrusted. Start at
//! [`message`], then at [`error`] for what can go wrong. Whoever has a question goes to the [`Gateway`], which puts the wrappers
//! around each link of the tenant's chain: each of them is a model around a model, and can be had alone.

mod answers;
mod broken;
mod budgeted;
mod cassette;
pub mod embedding;
pub mod error;
mod gateway;
mod guarded;
pub mod message;
mod metered;
mod patience;
mod pooled;
pub mod price;
mod retried;
mod template;
mod time_limited;

pub use broken::Broken;
pub use budgeted::{Bill, Budgeted, Till};
pub use cassette::{Cassette, Recorded, Recording, Tape, UnknownForm, Unpaid};
pub use embedding::{BatchLimits, Embedded, Purpose};
pub use error::{ModelError, ModelErrorKind};
pub use gateway::{Answered, Asked, Gateway, Probe, ProbeRole, Role, ToEmbed};
pub(crate) use guarded::Guarded;
pub use message::{
    Answer, AnswerStream, Message, Part, Prompt, Schema, StopReason, StreamEvent, Tool, ToolResult, ToolUse, Usage,
};
pub use metered::Metered;
pub use patience::Patience;
pub use pooled::Pooled;
pub use price::{ModelPrice, NanoUsd, PriceList};
pub use retried::Retried;
pub use template::Template;
pub use time_limited::TimeLimited;
