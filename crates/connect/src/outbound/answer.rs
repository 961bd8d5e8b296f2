use std::time::Duration;

use serde::de::DeserializeOwned;
use switchboard_core::{
    error::{Error, ErrorKind, Result, Retry},
    ids::SecretName,
    untrusted::{Closed, Untrusted},
};

/// What another system answered. Nothing of the body gets into an error message.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long the other system asks to be left alone.
    pub retry_after: Option<Duration>,
    pub(super) body: Untrusted<Vec<u8>>,
    pub(super) who: String,
    pub(super) credential: Option<SecretName>,
    /// Whether the call was one that changes nothing.
    pub(super) only_reads: bool,
}

/// Where a body stopped being the JSON that was expected.
struct NotTheJson {
    line: usize,
    column: usize,
}

impl Closed for NotTheJson {}

impl Answer {
    /// The answer if its status is a success, else what the status means: `Refused` (of the credentials, or any other
    /// status of 400 to 499), `Conflict` for 409, `Timeout` for 408, `Throttled` for 425 and 429, `Unavailable` from 500
    /// on. `Throttled` and `Unavailable` carry the wish of `Retry-After`. A status of 400 to 499 says that nothing was done,
    /// except 408.
    pub fn success(self) -> Result<Self> {
        let Self { status, who, .. } = &self;
        let error = |kind, words: &str| Err(Error::new(kind, format!("{who} {words} ({status})")));
        let outcome = match status {
            200..=299 => return Ok(self),
            401 | 403 => {
                let words = match &self.credential {
                    Some(name) => format!("refuses our credentials; check the secret `{name}` and what it may do"),
                    None => "refuses a call without credentials; configure a secret for it".to_owned(),
                };
                error(ErrorKind::Refused, &words)
            }
            404 => error(ErrorKind::Refused, "does not know this; check the address"),
            408 => error(ErrorKind::Timeout, "did not get the request in time"),
            409 => error(ErrorKind::Conflict, "says that this clashes with what it has"),
            410 => error(ErrorKind::Refused, "says that this is gone for good"),
            425 | 429 => error(ErrorKind::Throttled, "asks for fewer calls"),
            400..=499 => error(ErrorKind::Refused, "refuses the call"),
            500.. => error(ErrorKind::Unavailable, "has a trouble of its own"),
            _ => error(ErrorKind::BadAnswer, "answered with a status that makes no sense"),
        };
        outcome.map_err(|error| match (error.kind(), self.retry_after) {
            (ErrorKind::Throttled | ErrorKind::Unavailable, Some(wish)) => {
                self.certain(error.with_retry(Retry::After(wish)))
            }
            _ => self.certain(error),
        })
    }

    /// The body as it came, empty where it was not read.
    pub fn body(&self) -> &Untrusted<Vec<u8>> {
        &self.body
    }

    /// The secret that the call went with.
    pub fn credential(&self) -> Option<&SecretName> {
        self.credential.as_ref()
    }

    /// The body as it came.
    pub fn into_body(self) -> Untrusted<Vec<u8>> {
        self.body
    }

    /// The body as JSON; anything else is `BadAnswer`. So is a list: serde's derived code would take it for a struct, and
    /// an empty one for a report that nothing is down.
    pub fn json<T: DeserializeOwned + Closed>(&self) -> Result<T> {
        let read = self.body.read_as(|bytes| {
            if bytes.trim_ascii_start().starts_with(b"[") {
                return Err(NotTheJson { line: 1, column: 1 });
            }
            // What is skipped must be text as well: a body that was cut is not to be trusted in its other parts.
            let text = std::str::from_utf8(bytes).map_err(|_| NotTheJson { line: 1, column: 1 })?;
            serde_json::from_str(text).map_err(|error| NotTheJson { line: error.line(), column: error.column() })
        });
        read.map_err(|NotTheJson { line, column }| {
            let message = format!("{} answered something unexpected at line {line}, column {column}", self.who);
            self.certain(Error::new(ErrorKind::BadAnswer, message))
        })
    }

    /// What a call that only reads has surely not done.
    fn certain(&self, error: Error) -> Error {
        if self.only_reads { error.not_applied() } else { error }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An answer, as if another system had sent it.
    pub(crate) fn answer_of(status: u16, body: &[u8]) -> Answer {
        Answer {
            status,
            retry_after: Some(Duration::from_secs(7)),
            body: Untrusted::new(body.to_vec()),
            who: "the source".to_owned(),
            credential: Some("crm_token".parse().unwrap()),
            only_reads: false,
        }
    }

    fn answer(status: u16, body: &str) -> Answer {
        answer_of(status, body.as_bytes())
    }

    fn check(status: u16, kind: ErrorKind, retry: Retry, message: &str) {
        let error = answer(status, "secret words").success().err().unwrap();
        assert_eq!((error.kind(), error.retry(), error.report().as_str()), (kind, retry, message), "{status}");
    }

    #[test]
    fn each_status_has_its_meaning() {
        let after = Retry::After(Duration::from_secs(7));
        let refused = "the source refuses our credentials; check the secret `crm_token` and what it may do";
        check(400, ErrorKind::Refused, Retry::Never, "the source refuses the call (400)");
        check(401, ErrorKind::Refused, Retry::Never, &format!("{refused} (401)"));
        check(403, ErrorKind::Refused, Retry::Never, &format!("{refused} (403)"));
        check(404, ErrorKind::Refused, Retry::Never, "the source does not know this; check the address (404)");
        check(408, ErrorKind::Timeout, Retry::Later, "the source did not get the request in time (408)");
        check(409, ErrorKind::Conflict, Retry::Never, "the source says that this clashes with what it has (409)");
        check(410, ErrorKind::Refused, Retry::Never, "the source says that this is gone for good (410)");
        check(422, ErrorKind::Refused, Retry::Never, "the source refuses the call (422)");
        check(425, ErrorKind::Throttled, after, "the source asks for fewer calls (425)");
        check(429, ErrorKind::Throttled, after, "the source asks for fewer calls (429)");
        check(500, ErrorKind::Unavailable, after, "the source has a trouble of its own (500)");
        check(503, ErrorKind::Unavailable, after, "the source has a trouble of its own (503)");
        check(101, ErrorKind::BadAnswer, Retry::Later, "the source answered with a status that makes no sense (101)");
        assert!(answer(204, "").success().is_ok());
    }

    #[test]
    fn the_message_about_a_wrong_body_does_not_quote_it() {
        let error = answer(200, "\"hunter2").json::<u64>().unwrap_err();
        assert_eq!(error.report(), "the source answered something unexpected at line 1, column 8");
        let error = answer(200, "\"hunter2\"").json::<u64>().unwrap_err();
        assert_eq!(error.report(), "the source answered something unexpected at line 1, column 9");
        let error = answer(200, " []").json::<Vec<u64>>().unwrap_err();
        assert_eq!(error.report(), "the source answered something unexpected at line 1, column 1");
        assert_eq!(answer(200, "7").json::<u64>().unwrap(), 7);
    }
}
