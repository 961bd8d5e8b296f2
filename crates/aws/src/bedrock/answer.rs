//! From an answer of Converse, whole or in pieces, to one in our vocabulary.

use aws_sdk_bedrockruntime::{
    operation::converse::ConverseOutput as Output,
    types::{ContentBlock, ConverseOutput, StopReason as Reason, TokenUsage},
};
use serde_json::Value;
use switchboard_core::{
    limits,
    models::{Answer, ModelError, ModelErrorKind, Prompt, StopReason, ToolUse, Usage},
    untrusted::Untrusted,
};

use super::request::json;

/// Bytes of a tool's name or of an id.
const NAME_BYTES: usize = 256;

/// What was asked, and by what names.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// The provider in error messages.
    pub(super) who: String,
    /// The model that was asked: answers name none.
    pub(super) model: String,
    /// The tool whose input is the answer.
    pub(super) schema: Option<String>,
    /// The tokens of the call at most: what counts where the service does not count.
    most: Usage,
}

/// An answer that makes no sense.
pub(super) fn bad(who: &str, words: &str) -> ModelError {
    ModelError::new(ModelErrorKind::BadOutput, format!("the model of {who} {words}")).billed()
}

/// A tool that the model asks for, with its input as text.
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: String,
}

impl About {
    pub(super) fn new(who: &str, model: &str, prompt: &Prompt) -> Self {
        Self {
            who: who.to_owned(),
            model: model.to_owned(),
            schema: prompt.schema.as_ref().map(|schema| schema.name.clone()),
            most: Usage::at_most(prompt),
        }
    }

    /// Whether this tool's input is the answer.
    pub(super) fn is_schema(&self, name: &str) -> bool {
        self.schema.as_deref() == Some(name)
    }

    pub(super) fn bad(&self, words: &str) -> ModelError {
        bad(&self.who, words)
    }

    /// A stream whose end never came.
    pub(super) fn broken_off(&self) -> ModelError {
        let message = format!("{} broke off before the end of the answer", self.who);
        ModelError::new(ModelErrorKind::Down, message).billed()
    }

    /// Why it stopped, when that is an answer. `has_text` says whether there were words, those of a schema among them.
    pub(super) fn stop(&self, reason: &Reason, has_text: bool, calls: usize) -> Result<StopReason, ModelError> {
        let refused = |words: &str| ModelError::new(ModelErrorKind::Refused, format!("{} {words}", self.who)).billed();
        match reason {
            Reason::EndTurn | Reason::StopSequence | Reason::ToolUse if calls > 0 => Ok(StopReason::Tools),
            Reason::EndTurn | Reason::StopSequence | Reason::ToolUse if has_text => Ok(StopReason::End),
            Reason::EndTurn | Reason::StopSequence | Reason::ToolUse => Err(self.bad("answered nothing")),
            Reason::MaxTokens => Ok(StopReason::MaxTokens),
            Reason::GuardrailIntervened => Err(refused("has a guardrail that does not let this through")),
            Reason::ContentFiltered => Err(refused("has a model or a filter that will not answer this")),
            // Newer than the SDK.
            reason if reason.as_str() == "refusal" => Err(refused("has a model or a filter that will not answer this")),
            Reason::ModelContextWindowExceeded => {
                let message = format!("{} says that prompt and answer are too long for the model", self.who);
                Err(ModelError::new(ModelErrorKind::TooLong, message).billed())
            }
            Reason::MalformedModelOutput | Reason::MalformedToolUse => {
                Err(self.bad("wrote what its provider cannot read"))
            }
            _ => Err(self.bad("stopped for a reason that is not known")),
        }
    }

    /// The tokens. The service counts those from and into its cache apart from the others.
    pub(super) fn usage(&self, counted: Option<&TokenUsage>) -> Usage {
        let Some(counted) = counted else { return self.most };
        let cached_tokens = tokens(counted.cache_read_input_tokens);
        let written = tokens(counted.cache_write_input_tokens);
        let input_tokens = tokens(Some(counted.input_tokens)) + cached_tokens + written;
        // The SDK reads a count that is not there as nothing, and no prompt is nothing.
        if input_tokens == 0 {
            return self.most;
        }
        Usage { input_tokens, cached_tokens, output_tokens: tokens(Some(counted.output_tokens)) }
    }

    /// Tools as the model asked for them; what was cut is whole in no use.
    pub(super) fn calls(&self, asked: Vec<Asked>) -> Result<Vec<ToolUse>, ModelError> {
        if asked.len() > limits::MODEL_TOOL_USES {
            return Err(self.bad("asked for too many tools at once"));
        }
        let is_name =
            |name: &str| (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !asked.iter().all(|one| is_name(&one.name) && is_name(&one.id)) {
            return Err(self.bad("asked for a tool by a name that no tool can have"));
        }
        let calls =
            asked.into_iter().map(|Asked { id, name, input }| ToolUse { id, name, input: Untrusted::new(input) });
        Ok(calls.collect())
    }
}

fn tokens(count: Option<i32>) -> u64 {
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

/// The answer that came in one piece.
pub(super) fn whole(output: Output, about: &About) -> Result<Answer, ModelError> {
    let Output { output: said, stop_reason, usage, .. } = output;
    let Some(ConverseOutput::Message(message)) = said else { return Err(about.bad("answered no message")) };
    let (mut words, mut schema, mut asked) = (String::new(), None, Vec::new());
    for block in message.content {
        match block {
            ContentBlock::Text(text) => words.push_str(&text),
            ContentBlock::ToolUse(call) if about.is_schema(&call.name) => {
                schema = schema.or(Some(json(&call.input).to_string()));
            }
            ContentBlock::ToolUse(call) => {
                let input = json(&call.input).to_string();
                asked.push(Asked { id: call.tool_use_id, name: call.name, input });
            }
            // Thoughts, and whatever else it has beside the answer.
            _ => {}
        }
    }
    // The answer in its form goes before words beside it.
    let text = schema.unwrap_or(words);
    let stop = about.stop(&stop_reason, !text.is_empty(), asked.len())?;
    let calls = if stop == StopReason::MaxTokens { Vec::new() } else { about.calls(asked)? };
    let usage = about.usage(usage.as_ref());
    Ok(Answer { text: Untrusted::new(text), calls, stop, usage, model: about.model.clone() })
}

/// The input of a tool that came in pieces, in the same writing as one that came whole.
pub(super) fn input(pieces: String) -> String {
    match serde_json::from_str::<Value>(&pieces) {
        Ok(value) => value.to_string(),
        // No piece at all is how a tool without input is asked for.
        Err(_) if pieces.is_empty() => "{}".to_owned(),
        Err(_) => pieces,
    }
}
