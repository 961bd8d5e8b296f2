//! From pieces of a completion, or from a whole one, to an answer.

use std::collections::VecDeque;

use switchboard_core::{
    limits,
    models::{ModelError, ModelErrorKind, Prompt, StopReason, StreamEvent, ToolUse, Usage},
    untrusted::Untrusted,
};

use super::wire::{Completion, Delta, Finish, Name, Told, ToolCall};

/// What is known so far of an answer.
pub(super) struct Assembly {
    /// The provider in error messages.
    who: String,
    model: Option<String>,
    has_text: bool,
    calls: Vec<Building>,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

/// A tool that is being asked for.
struct Building {
    index: Option<u32>,
    id: Option<String>,
    name: Option<String>,
    input: Untrusted<String>,
}

/// How an answer ends that was not broken off.
pub(super) struct Ended {
    /// The tools that it asks for.
    pub(super) calls: Vec<ToolUse>,
    /// Why the model stopped.
    pub(super) stop: StopReason,
    /// The tokens, as the provider counts them or as many as they can be at most.
    pub(super) usage: Usage,
    /// The model that answered.
    pub(super) model: String,
}

impl Assembly {
    pub(super) fn new(who: &str) -> Self {
        let who = who.to_owned();
        Self { who, model: None, has_text: false, calls: Vec::new(), finish: None, usage: None }
    }

    /// Takes the next piece and gives its words.
    pub(super) fn take(&mut self, piece: Completion) -> Result<Option<Untrusted<String>>, ModelError> {
        if let Some(error) = &piece.error {
            return Err(failed_inside(&self.who, Told::of_error(error)));
        }
        if self.model.is_none() {
            self.model = piece.model.and_then(Name::get);
        }
        // The last one counts: some servers send the sum so far with each piece.
        self.usage = piece.usage.and_then(|usage| usage.usage()).or(self.usage);
        let Some(choice) = piece.choices.into_iter().flatten().next() else { return Ok(None) };
        self.finish = choice.finish_reason.or(self.finish);
        let Delta { content, refusal, tool_calls } = choice.delta.unwrap_or_default();
        if refusal.is_some_and(|words| !is_empty(&words)) || self.finish == Some(Finish::ContentFilter) {
            return Err(self.refused());
        }
        for call in tool_calls.into_iter().flatten() {
            self.take_call(call)?;
        }
        let text = content.filter(|words| !is_empty(words));
        self.has_text |= text.is_some();
        Ok(text)
    }

    /// Pieces of one call follow each other. They belong together by their index, where the server counts right.
    fn take_call(&mut self, call: ToolCall) -> Result<(), ModelError> {
        let (name, arguments) = call.function.map_or((None, None), |function| (function.name, function.arguments));
        let has_name = name.is_some();
        let (id, name) = (call.id.and_then(Name::get), name.and_then(Name::get));
        let known = match call.index {
            // Ollama gave the index 0 to all calls of an answer at times; their ids differ.
            Some(index) => self.calls.iter().rposition(|one| one.index == Some(index)).filter(|n| {
                let known = &self.calls[*n].id;
                id.is_none() || known.is_none() || *known == id
            }),
            None if !has_name => self.calls.len().checked_sub(1),
            None => None,
        };
        let building = match known {
            Some(n) => &mut self.calls[n],
            None if self.calls.len() == limits::MODEL_TOOL_USES => {
                return Err(self.bad("asked for too many tools at once"));
            }
            None => {
                let input = Untrusted::new(String::new());
                self.calls.push(Building { index: call.index, id: None, name: None, input });
                // invariant: it was just put there
                let last = self.calls.len() - 1;
                &mut self.calls[last]
            }
        };
        building.id = building.id.take().or(id);
        building.name = building.name.take().or(name);
        if let Some(arguments) = arguments {
            building.input.push(&arguments);
        }
        Ok(())
    }

    /// Whether the model has said why it stopped: what is still to come are counts.
    pub(super) fn has_stopped(&self) -> bool {
        self.finish.is_some()
    }

    /// The end. `asked` is what was asked for, and `model` who was.
    pub(super) fn end(self, asked: &Limits<'_>) -> Result<Ended, ModelError> {
        let stop = match self.finish {
            None => return Err(self.broken_off()),
            Some(Finish::Length) => StopReason::MaxTokens,
            Some(Finish::ContentFilter) => return Err(self.refused()),
            Some(Finish::Other) => return Err(self.bad("stopped for a reason that is not known")),
            Some(Finish::Stop | Finish::ToolCalls | Finish::FunctionCall) if self.calls.is_empty() => StopReason::End,
            Some(Finish::Stop | Finish::ToolCalls | Finish::FunctionCall) => StopReason::Tools,
        };
        if stop == StopReason::End && !self.has_text {
            return Err(self.bad("answered nothing"));
        }
        if self.calls.iter().any(|call| call.name.is_none()) && stop == StopReason::Tools {
            return Err(self.bad("asked for a tool by a name that no tool can have"));
        }
        let calls = self.calls.into_iter().enumerate().filter_map(|(n, call)| {
            let Building { id, name, input, .. } = call;
            Some(ToolUse { id: id.unwrap_or_else(|| format!("call_{n}")), name: name?, input })
        });
        // What was cut is whole in no call.
        let calls = if stop == StopReason::MaxTokens { Vec::new() } else { calls.collect() };
        let usage = self.usage.unwrap_or(asked.most);
        Ok(Ended { calls, stop, usage, model: self.model.unwrap_or_else(|| asked.model.to_owned()) })
    }

    fn refused(&self) -> ModelError {
        refused(&self.who)
    }

    pub(super) fn bad(&self, words: &str) -> ModelError {
        bad(&self.who, words)
    }

    fn broken_off(&self) -> ModelError {
        let message = format!("{} broke off before the end of the answer", self.who);
        ModelError::new(ModelErrorKind::Down, message).billed()
    }
}

fn refused(who: &str) -> ModelError {
    let message = format!("{who} has a model or a filter that will not answer this");
    ModelError::new(ModelErrorKind::Refused, message).billed()
}

/// An answer that makes no sense.
pub(super) fn bad(who: &str, words: &str) -> ModelError {
    ModelError::new(ModelErrorKind::BadOutput, format!("the model of {who} {words}")).billed()
}

/// A failure that comes as an answer.
pub(super) fn failed_inside(who: &str, told: Told) -> ModelError {
    let (kind, words) = match told {
        Told::TooLong => (ModelErrorKind::TooLong, "says that prompt and answer are too long for the model"),
        Told::Filtered => return refused(who),
        Told::NoQuota => (ModelErrorKind::Throttled, "says that the account's quota is used up"),
        Told::Nothing => (ModelErrorKind::Down, "failed while it answered"),
    };
    ModelError::new(kind, format!("{who} {words}")).billed()
}

/// What holds where the provider does not say it.
pub(super) struct Limits<'a> {
    /// The model that was asked.
    pub(super) model: &'a str,
    /// The tokens of the call at most.
    pub(super) most: Usage,
}

impl<'a> Limits<'a> {
    pub(super) fn new(model: &'a str, prompt: &Prompt) -> Self {
        Self { model, most: Usage::at_most(prompt) }
    }
}

impl Ended {
    /// The events at the end of a stream.
    pub(super) fn events(self) -> VecDeque<StreamEvent> {
        let Self { calls, stop, usage, model } = self;
        calls.into_iter().map(StreamEvent::ToolUse).chain([StreamEvent::End { stop, usage, model }]).collect()
    }
}

fn is_empty(words: &Untrusted<String>) -> bool {
    words.read_as(String::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is a piece of one answer.
    fn assembled(input: &[u8]) -> Option<(usize, Ended)> {
        let (mut assembly, mut bytes) = (Assembly::new("the provider"), 0);
        for line in input.split(|byte| *byte == b'\n') {
            let piece = serde_json::from_slice(line).ok()?;
            bytes += assembly.take(piece).ok()?.map_or(0, |words| words.for_storage().len());
        }
        let most = Usage { input_tokens: 1, cached_tokens: 0, output_tokens: 1 };
        Some((bytes, assembly.end(&Limits { model: "small", most }).ok()?))
    }

    #[test]
    fn fuzzed_pieces_of_answers_are_bounded_or_refused() {
        let seeds: [&[u8]; 3] = [
            br#"{"model":"m","choices":[{"message":{"content":"Hi","refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"x","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}"#,
            b"{\"choices\":[{\"delta\":{\"content\":\"one\"},\"finish_reason\":null}],\"usage\":null}\n{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}",
            b"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"\"}}]}}]}\n{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
        ];
        for seed in &seeds {
            assert!(assembled(seed).is_some(), "a good answer");
        }
        switchboard_testkit::fuzz::fuzz("completion-pieces", &seeds, |input| {
            let Some((bytes, ended)) = assembled(input) else { return };
            let Ended { calls, stop, usage, model } = ended;
            assert!(calls.len() <= limits::MODEL_TOOL_USES && bytes <= input.len());
            assert!(stop != StopReason::End || (bytes > 0 && calls.is_empty()), "an end has words");
            assert!(usage.cached_tokens <= usage.input_tokens && usage.output_tokens < u64::MAX / 2);
            let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(is_word(&model) && calls.iter().all(|call| is_word(&call.id) && is_word(&call.name)));
        });
    }
}
