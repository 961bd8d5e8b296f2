//! What stands between text from outside and everything that acts on text. Today: [`redact`], which covers personal data
//! and secrets. Room is kept for the quarantine, the policy and the checks of answers.

pub mod pseudonyms;
pub mod redact;

pub use pseudonyms::Pseudonyms;
pub use redact::{Covered, Redacted, Redaction, redact};
