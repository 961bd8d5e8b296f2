//! The path of a ticket: [`accept`] → queue → [`route`] (the seven [`tools`]) → decision → queue → [`write_back`]; then,
//! whenever a person looks, [`review`] → queue → [`write_back`].

pub mod accept;
mod classification;
mod consult;
mod decision;
pub mod draft;
mod facts;
pub mod replay;
pub mod review;
pub mod route;
mod ticket;
pub mod tools;
pub mod trial;
pub mod tuning;
pub mod view;
pub mod write_back;

pub use classification::{Classification, TeamProbability};
pub use decision::{
    CategoryProbability, Certainty, DecidedBy, Decision, Entity, Finding, IssueClassification, PriorityLevel,
    PriorityTerm, Sentiment, Severity, Span, SyncState, SyncStatus, Tokens, ToolCall, ToolName,
};
pub use ticket::{Attachment, Ticket, TicketRecord};
