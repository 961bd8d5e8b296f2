//! An answer that comes as it is written.

use std::{
    collections::VecDeque,
    future::{Pending, pending},
    pin::Pin,
    time::Duration,
};

use aws_sdk_bedrockruntime::{
    operation::converse_stream::ConverseStreamOutput as Output,
    types::{ContentBlockDelta, ContentBlockStart, ConverseStreamOutput as Event, StopReason as Reason, TokenUsage},
};
use futures_util::{
    future::{Either, select},
    stream::unfold,
};
use switchboard_core::{
    limits,
    models::{AnswerStream, ModelError, StopReason, StreamEvent},
    untrusted::Untrusted,
};
use tokio::time::Timeout;

use super::{
    answer::{About, Asked, input},
    failure::{broken, too_late},
};

/// Ends when so much time has gone by since it was made.
pub(super) type End = Pin<Box<Timeout<Pending<()>>>>;

pub(super) fn end_after(time: Duration) -> End {
    Box::pin(tokio::time::timeout(time, pending()))
}

struct Reading {
    output: Output,
    about: About,
    idle: Duration,
    ends: End,
    said: Said,
    ready: VecDeque<StreamEvent>,
    is_over: bool,
}

/// What is known so far of an answer.
#[derive(Default)]
struct Said {
    has_text: bool,
    /// Words beside an answer in a form are none, unless the form never comes.
    held: String,
    has_schema: bool,
    open: Option<Open>,
    asked: Vec<Asked>,
    stop: Option<Reason>,
    usage: Option<TokenUsage>,
}

/// A tool that is being asked for.
struct Open {
    asked: Asked,
    is_schema: bool,
}

/// The answer in `output`, once its first words are there.
pub(super) async fn read(output: Output, about: About, idle: Duration, ends: End) -> Result<AnswerStream, ModelError> {
    let said = Said::default();
    let mut reading = Reading { output, about, idle, ends, said, ready: VecDeque::new(), is_over: false };
    if let Some(first) = reading.next().await {
        reading.ready.push_front(first?);
    }
    Ok(Box::pin(unfold(reading, async |mut reading| Some((reading.next().await?, reading)))))
}

impl Reading {
    async fn next(&mut self) -> Option<Result<StreamEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            // Until it is seen to go on: nothing comes after an error.
            self.is_over = true;
            match self.receive().await {
                Ok(Some(event)) => match self.said.take(event, &self.about) {
                    Ok(words) => {
                        self.is_over = false;
                        self.ready.extend(words.map(|words| StreamEvent::Text(Untrusted::new(words))));
                    }
                    Err(error) => return Some(Err(error)),
                },
                Ok(None) => match std::mem::take(&mut self.said).end(&self.about) {
                    Ok(last) => self.ready = last,
                    Err(error) => return Some(Err(error)),
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Event>, ModelError> {
        let next = std::pin::pin!(tokio::time::timeout(self.idle, self.output.stream.recv()));
        match select(next, &mut self.ends).await {
            Either::Left((Ok(received), _)) => received.map_err(|error| broken(&self.about.who, error)),
            Either::Left((Err(_), _)) | Either::Right(_) => Err(too_late(&self.about.who)),
        }
    }
}

impl Said {
    /// Takes the next event and gives its words.
    fn take(&mut self, event: Event, about: &About) -> Result<Option<String>, ModelError> {
        match event {
            Event::ContentBlockStart(start) => {
                if let Some(ContentBlockStart::ToolUse(tool)) = start.start {
                    if self.asked.len() == limits::MODEL_TOOL_USES {
                        return Err(about.bad("asked for too many tools at once"));
                    }
                    self.close();
                    // Of several answers in the form, the first counts.
                    let is_schema = about.is_schema(&tool.name);
                    let is_again = is_schema && self.has_schema;
                    self.has_schema |= is_schema;
                    if !is_again {
                        let asked = Asked { id: tool.tool_use_id, name: tool.name, input: String::new() };
                        self.open = Some(Open { asked, is_schema });
                    }
                }
                Ok(None)
            }
            Event::ContentBlockDelta(delta) => match (delta.delta, &mut self.open) {
                (Some(ContentBlockDelta::Text(text)), _) if about.schema.is_some() => {
                    self.held.push_str(&text);
                    Ok(None)
                }
                (Some(ContentBlockDelta::Text(text)), _) => Ok(self.words(text)),
                (Some(ContentBlockDelta::ToolUse(piece)), Some(open)) if open.is_schema => Ok(self.words(piece.input)),
                (Some(ContentBlockDelta::ToolUse(piece)), Some(open)) => {
                    open.asked.input.push_str(&piece.input);
                    Ok(None)
                }
                // Thoughts, and whatever else it has beside the answer.
                _ => Ok(None),
            },
            Event::ContentBlockStop(_) => {
                self.close();
                Ok(None)
            }
            Event::MessageStop(stop) => {
                self.stop = Some(stop.stop_reason);
                Ok(None)
            }
            Event::Metadata(metadata) => {
                self.usage = metadata.usage.or(self.usage.take());
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn words(&mut self, text: String) -> Option<String> {
        self.has_text |= !text.is_empty();
        (!text.is_empty()).then_some(text)
    }

    fn close(&mut self) {
        if let Some(Open { asked, is_schema: false }) = self.open.take() {
            self.asked.push(Asked { input: input(asked.input), ..asked });
        }
    }

    /// The events at the end of a stream.
    fn end(mut self, about: &About) -> Result<VecDeque<StreamEvent>, ModelError> {
        self.close();
        let Some(reason) = &self.stop else {
            return Err(about.broken_off());
        };
        let mut last = VecDeque::new();
        if !self.has_schema && !self.held.is_empty() {
            self.has_text = true;
            last.push_back(StreamEvent::Text(Untrusted::new(self.held)));
        }
        let stop = about.stop(reason, self.has_text, self.asked.len())?;
        let calls = if stop == StopReason::MaxTokens { Vec::new() } else { about.calls(self.asked)? };
        last.extend(calls.into_iter().map(StreamEvent::ToolUse));
        let usage = about.usage(self.usage.as_ref());
        last.push_back(StreamEvent::End { stop, usage, model: about.model.clone() });
        Ok(last)
    }
}
