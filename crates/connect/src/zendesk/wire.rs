//! The parts of Zendesk's answers that are used. Words of people stay untrusted.

use serde::Deserialize;
use serde_json::Value;
use switchboard_core::untrusted::{Closed, Untrusted};

/// `GET /api/v2/tickets/{id}.json`.
#[derive(Deserialize)]
pub(super) struct TicketAnswer {
    pub(super) ticket: TicketState,
}

#[derive(Deserialize)]
pub(super) struct TicketState {
    pub(super) id: u64,
    pub(super) updated_at: Stamp,
    #[serde(default)]
    pub(super) tags: Untrusted<Vec<String>>,
}

/// `PUT /api/v2/tickets/{id}.json`.
#[derive(Deserialize)]
pub(super) struct WrittenAnswer {
    pub(super) ticket: WrittenTicket,
    /// What the write has done, step by step; many forms, of which one is looked for.
    #[serde(default)]
    audit: Untrusted<Value>,
}

#[derive(Deserialize)]
pub(super) struct WrittenTicket {
    pub(super) id: u64,
}

/// `GET /api/v2/tickets/{id}/comments.json` with `page[size]`.
#[derive(Deserialize)]
pub(super) struct CommentsPage {
    pub(super) comments: Vec<Comment>,
    #[serde(default)]
    pub(super) meta: Meta,
}

#[derive(Deserialize)]
pub(super) struct Comment {
    #[serde(default)]
    body: Untrusted<String>,
    #[serde(default)]
    plain_body: Untrusted<String>,
    public: bool,
}

#[derive(Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    after_cursor: Option<Cursor>,
}

/// The body of a 422.
#[derive(Deserialize)]
pub(super) struct Refusal {
    error: Untrusted<String>,
}

/// A time as Zendesk writes it, to be given back to the letter.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Stamp(String);

/// Zendesk's own mark of a place in a list.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Cursor(pub(super) String);

/// An identifier such as `RecordInvalid`.
pub(super) struct Code(String);

impl Closed for TicketAnswer {}
impl Closed for WrittenAnswer {}
impl Closed for CommentsPage {}
impl Closed for Refusal {}
impl Closed for Code {}

impl Comment {
    /// Whether this is an internal note with that line. What customers can write never counts: it could pretend that an
    /// update was made.
    pub(super) fn is_note_with(&self, marker: &str) -> bool {
        let has_line = |text: &Untrusted<String>| text.read_as(|text| text.lines().any(|line| line.trim() == marker));
        !self.public && (has_line(&self.body) || has_line(&self.plain_body))
    }
}

impl WrittenAnswer {
    /// Whether the write's own record has an internal note with that line.
    pub(super) fn has_note(&self, marker: &str) -> bool {
        let has_line = |event: &Value| {
            let body = event["body"].as_str().unwrap_or_default();
            event["public"] != true && body.lines().any(|line| line.trim() == marker)
        };
        self.audit.read_as(|audit| audit["events"].as_array().is_some_and(|events| events.iter().any(has_line)))
    }
}

impl Meta {
    pub(super) fn next(self) -> Option<Cursor> {
        self.after_cursor.filter(|_| self.has_more)
    }
}

impl Refusal {
    pub(super) fn code(&self) -> Option<String> {
        let code = self.error.read_as(|code| {
            let fits = (1..=40).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
            fits.then(|| Code(code.clone()))
        });
        code.map(|Code(code)| code)
    }
}

impl Stamp {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Stamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=40).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit() || b"TZ:+-.".contains(&byte));
        if fits { Ok(Self(text)) } else { Err("must be a time") }
    }
}

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=1_000).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err("must be a cursor") }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::fuzz::fuzz;

    use super::*;
    use crate::outbound::answer_of;

    #[test]
    fn fuzzed_answers_are_bounded_or_refused() {
        let ticket = br#"{"ticket":{"id":4711,"updated_at":"2026-11-20T08:00:00Z","tags":["a","b"],"subject":"x"}}"#;
        fuzz("zendesk-ticket", &[ticket], |input| {
            let answer = answer_of(200, input);
            let _ = answer.json::<WrittenAnswer>();
            if let Ok(read) = answer.json::<TicketAnswer>() {
                assert!((1..=40).contains(&read.ticket.updated_at.as_str().len()));
            }
        });
        let comments = br#"{"comments":[{"body":"switchboard 1","plain_body":"switchboard 1","public":false}],"meta":{"has_more":true,"after_cursor":"abc="}}"#;
        fuzz("zendesk-comments", &[comments], |input| {
            let Ok(page) = answer_of(200, input).json::<CommentsPage>() else { return };
            assert!(page.comments.iter().all(|comment| !comment.is_note_with("no such line\n")));
            assert!(page.meta.next().is_none_or(|Cursor(cursor)| (1..=1_000).contains(&cursor.len())));
        });
        fuzz("zendesk-refusal", &[br#"{"error":"RecordInvalid","description":"x"}"#], |input| {
            let Ok(refusal) = answer_of(422, input).json::<Refusal>() else { return };
            assert!(refusal.code().is_none_or(|code| code.len() <= 40));
        });
    }
}
