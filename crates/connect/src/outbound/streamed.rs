use std::time::Duration;

use reqwest::Response;
use switchboard_core::{
    error::{Error, ErrorKind, Result},
    untrusted::Untrusted,
};

use super::{Answer, guard::trouble};

/// How much is read of an answer that comes piece by piece, and how long is waited for it.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Bytes of the whole.
    pub bytes: usize,
    /// The longest wait for the head, and for each piece.
    pub idle: Duration,
}

/// What came of a call whose answer is read piece by piece.
pub enum Opened {
    /// A success, whose body is still to be read.
    Streamed(Streamed),
    /// An answer of any other status, read whole.
    Failed(Answer),
}

/// The body of a success. Dropping it ends the call.
pub struct Streamed {
    response: Response,
    who: String,
    host: String,
    left: usize,
    limits: StreamLimits,
}

impl Streamed {
    pub(super) fn new(response: Response, who: String, host: String, limits: StreamLimits) -> Self {
        Self { response, who, host, left: limits.bytes, limits }
    }

    /// The next piece, of whatever size it came; `None` at the end that the other side has marked as one.
    ///
    /// Errors: `Timeout`, `Unavailable` when the connection breaks off, `BadAnswer` beyond [`StreamLimits::bytes`].
    pub async fn next(&mut self) -> Result<Option<Untrusted<Vec<u8>>>> {
        let piece = tokio::time::timeout(self.limits.idle, self.response.chunk()).await;
        let piece = piece.map_err(|_| too_late(&self.who))?;
        let Some(piece) = piece.map_err(|error| trouble(&error, &self.who, &self.host))? else { return Ok(None) };
        self.left = self.left.checked_sub(piece.len()).ok_or_else(|| {
            let message = format!("{} answered with more than {} bytes", self.who, self.limits.bytes);
            Error::new(ErrorKind::BadAnswer, message)
        })?;
        Ok(Some(Untrusted::new(piece.into())))
    }
}

impl Streamed {
    /// The whole body at once.
    ///
    /// Errors: those of [`Streamed::next`].
    pub async fn whole(mut self) -> Result<Untrusted<Vec<u8>>> {
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(piece.for_storage());
        }
        Ok(Untrusted::new(body))
    }
}

pub(super) fn too_late(who: &str) -> Error {
    Error::new(ErrorKind::Timeout, format!("{who} gave no answer in time"))
}
