//! An answer that comes as it is written.

use std::collections::VecDeque;

use futures_util::stream::unfold;
use switchboard_core::{
    limits,
    models::{AnswerStream, ModelError, StreamEvent, Usage},
    untrusted::Untrusted,
};

use super::{
    assembly::{Assembly, Limits},
    failed,
    sse::EventReader,
    wire::Completion,
};
use crate::outbound::Streamed;

/// The data of the event after the last.
const DONE: &[u8] = b"[DONE]";

struct Reading {
    body: Streamed,
    events: EventReader,
    data: VecDeque<Untrusted<Vec<u8>>>,
    /// None after the end.
    assembly: Option<Assembly>,
    ready: VecDeque<StreamEvent>,
    model: String,
    most: Usage,
}

/// The answer in `body`, once its first event is there.
pub(super) async fn read(body: Streamed, assembly: Assembly, limits: Limits<'_>) -> Result<AnswerStream, ModelError> {
    let mut reading = Reading {
        body,
        events: EventReader::new(limits::MODEL_EVENT_BYTES),
        data: VecDeque::new(),
        assembly: Some(assembly),
        ready: VecDeque::new(),
        model: limits.model.to_owned(),
        most: limits.most,
    };
    if let Some(first) = reading.next().await {
        reading.ready.push_front(first?);
    }
    Ok(Box::pin(unfold(reading, async |mut reading| Some((reading.next().await?, reading)))))
}

impl Reading {
    async fn next(&mut self) -> Option<Result<StreamEvent, ModelError>> {
        if let Some(event) = self.ready.pop_front() {
            return Some(Ok(event));
        }
        // Put back unless this is the end, of whatever kind.
        let mut assembly = self.assembly.take()?;
        let next = self.advance(&mut assembly).await;
        match next {
            Ok(Some(words)) => {
                self.assembly = Some(assembly);
                Some(Ok(StreamEvent::Text(words)))
            }
            Ok(None) => match assembly.end(&Limits { model: &self.model, most: self.most }) {
                Ok(ended) => {
                    self.ready = ended.events();
                    self.ready.pop_front().map(Ok)
                }
                Err(error) => Some(Err(error)),
            },
            Err(error) => Some(Err(error)),
        }
    }

    /// The next words; `None` at the end.
    async fn advance(&mut self, assembly: &mut Assembly) -> Result<Option<Untrusted<String>>, ModelError> {
        loop {
            while let Some(data) = self.data.pop_front() {
                if data.read_as(|data| data.trim_ascii() == DONE) {
                    return Ok(None);
                }
                let piece = data.read_as(|data| serde_json::from_slice::<Completion>(data).ok());
                let piece = piece.ok_or_else(|| assembly.bad("answered a piece that is none of a completion"))?;
                if let Some(words) = assembly.take(piece)? {
                    return Ok(Some(words));
                }
            }
            match self.body.next().await {
                Ok(Some(bytes)) => {
                    if !self.events.read(&bytes, &mut self.data) {
                        return Err(assembly.bad("answered a piece that is too long"));
                    }
                }
                // Some servers end without the last event; whether the answer has ended is seen there.
                Ok(None) => return Ok(None),
                Err(error) => return Err(failed(error).billed()),
            }
        }
    }
}
