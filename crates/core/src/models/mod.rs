//! Language models: one vocabulary for all providers, and the wrappers that make a call safe to make.
//!
//! A [`Prompt`] goes to a [`crate::ports::ChatModel`] and comes back as an [`Answer`], whose words are untrusted. Start at
//! [`message`], then at [`error`] for what can go wrong.

pub mod error;
pub mod message;
pub mod price;
mod template;

pub use error::{ModelError, ModelErrorKind};
pub use message::{
    Answer, AnswerStream, Message, Part, Prompt, Schema, StopReason, StreamEvent, Tool, ToolResult, ToolUse, Usage,
};
pub use price::{ModelPrice, NanoUsd, PriceList};
pub use template::Template;
