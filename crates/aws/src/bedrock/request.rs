//! A prompt in the words of Converse.

use std::collections::BTreeSet;

use aws_sdk_bedrockruntime::{
    error::BuildError,
    types::{
        AnyToolChoice, ContentBlock, ConversationRole, GuardrailConfiguration, GuardrailStreamConfiguration,
        InferenceConfiguration, Message as Said, SpecificToolChoice, SystemContentBlock, Tool as Offered, ToolChoice,
        ToolConfiguration, ToolInputSchema, ToolResultBlock, ToolResultContentBlock, ToolResultStatus,
        ToolSpecification, ToolUseBlock,
    },
};
use aws_smithy_types::{Document, Number};
use serde_json::{Value, json};
use switchboard_core::{
    models::{Message, ModelError, ModelErrorKind, Part, Prompt, ToolResult, ToolUse},
    tenants::GuardrailConfig,
};

/// Stands where a tool gave nothing: the service refuses blank words.
const NOTHING: &str = "(nothing)";

/// What both ways of asking take.
pub(super) struct Built {
    pub(super) system: Option<Vec<SystemContentBlock>>,
    pub(super) messages: Vec<Said>,
    pub(super) tools: Option<ToolConfiguration>,
    pub(super) inference: InferenceConfiguration,
}

/// The prompt without the model.
pub(super) fn build(prompt: &Prompt) -> Result<Built, BuildError> {
    let system = (!is_blank(&prompt.system)).then(|| vec![SystemContentBlock::Text(prompt.system.clone())]);
    let inference = InferenceConfiguration::builder()
        .max_tokens(i32::try_from(prompt.max_tokens).unwrap_or(i32::MAX))
        .set_temperature(prompt.temperature)
        .build();
    Ok(Built { system, messages: messages(&prompt.messages)?, tools: tools(prompt)?, inference })
}

/// A prompt that is none of the service's.
pub(super) fn unbuilt(who: &str, error: BuildError) -> ModelError {
    ModelError::new(ModelErrorKind::Invalid, format!("the prompt cannot be written for {who}")).caused_by(error)
}

pub(super) fn guardrail(config: &GuardrailConfig) -> GuardrailConfiguration {
    GuardrailConfiguration::builder().guardrail_identifier(&config.id).guardrail_version(&config.version).build()
}

/// Words are held back by the service until the guardrail has read them: that is its default.
pub(super) fn stream_guardrail(config: &GuardrailConfig) -> GuardrailStreamConfiguration {
    GuardrailStreamConfiguration::builder().guardrail_identifier(&config.id).guardrail_version(&config.version).build()
}

/// The two roles take turns, so what one side says in several messages is one.
fn messages(messages: &[Message]) -> Result<Vec<Said>, BuildError> {
    let mut turns: Vec<(ConversationRole, Vec<ContentBlock>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::User(parts) => {
                let text = parts.iter().map(Part::wire).collect::<Vec<_>>().join("\n");
                (ConversationRole::User, vec![ContentBlock::Text(text)])
            }
            Message::Assistant { text, calls } => {
                let text = Message::said(text);
                let words = (!is_blank(text)).then(|| Ok(ContentBlock::Text(text.to_owned())));
                let blocks = words.into_iter().chain(calls.iter().map(asked)).collect::<Result<_, _>>()?;
                (ConversationRole::Assistant, blocks)
            }
            Message::Tools(results) => (ConversationRole::User, results.iter().map(given).collect::<Result<_, _>>()?),
        };
        match turns.last_mut() {
            // Silence of the model's is no turn.
            _ if blocks.is_empty() => {}
            Some((last, all)) if *last == role => all.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, blocks)| Said::builder().role(role).set_content(Some(blocks)).build()).collect()
}

fn asked(call: &ToolUse) -> Result<ContentBlock, BuildError> {
    let input = match serde_json::from_str(call.wire_input()) {
        Ok(input @ Value::Object(_)) => input,
        // The service takes an object alone; so the model sees what it wrote.
        _ => json!({"input": call.wire_input()}),
    };
    let block = ToolUseBlock::builder().tool_use_id(&call.id).name(&call.name).input(document(&input)).build()?;
    Ok(ContentBlock::ToolUse(block))
}

fn given(result: &ToolResult) -> Result<ContentBlock, BuildError> {
    let output = if is_blank(result.wire()) { NOTHING } else { result.wire() };
    let block = ToolResultBlock::builder()
        .tool_use_id(&result.id)
        .content(ToolResultContentBlock::Text(output.to_owned()))
        // Some models know no status, and success needs none.
        .set_status(result.is_error.then_some(ToolResultStatus::Error))
        .build()?;
    Ok(ContentBlock::ToolResult(block))
}

/// The tools, and for a schema one more, whose input is the answer: the service knows no other way that all its models have.
fn tools(prompt: &Prompt) -> Result<Option<ToolConfiguration>, BuildError> {
    let schema = prompt.schema.as_ref();
    let mut offered = Vec::new();
    for tool in &prompt.tools {
        offered.push(offer(&tool.name, &tool.description, &tool.input)?);
    }
    let named: BTreeSet<&str> = prompt
        .messages
        .iter()
        .flat_map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            _ => &[],
        })
        .map(|call| call.name.as_str())
        .filter(|name| prompt.tools.iter().all(|tool| tool.name != *name) && schema.is_none_or(|one| one.name != *name))
        .collect();
    // The service wants tools that were asked for earlier to be offered, if nothing else is.
    let is_history = prompt.tools.is_empty() && !named.is_empty();
    if is_history {
        for name in named {
            offered.push(offer(name, "", &json!({"type": "object"}))?);
        }
    }
    let choice = match schema {
        None => None,
        // Any of several that are there for history alone would be no answer.
        Some(schema) if is_history => Some(ToolChoice::Tool(SpecificToolChoice::builder().name(&schema.name).build()?)),
        // More models know `any` than the name of a tool, and it is the same where there is one tool.
        Some(_) => Some(ToolChoice::Any(AnyToolChoice::builder().build())),
    };
    if let Some(schema) = schema {
        offered.push(offer(&schema.name, "Gives the answer.", &schema.schema)?);
    }
    if offered.is_empty() {
        return Ok(None);
    }
    ToolConfiguration::builder().set_tools(Some(offered)).set_tool_choice(choice).build().map(Some)
}

fn offer(name: &str, description: &str, schema: &Value) -> Result<Offered, BuildError> {
    let specification = ToolSpecification::builder()
        .name(name)
        .set_description((!description.is_empty()).then(|| description.to_owned()))
        .input_schema(ToolInputSchema::Json(document(schema)))
        .build()?;
    Ok(Offered::ToolSpec(specification))
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// JSON as the SDK has it.
fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(is_true) => Document::Bool(*is_true),
        Value::Number(number) => Document::Number(match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Number::PosInt(number),
            (None, Some(number)) => Number::NegInt(number),
            (None, None) => Number::Float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(all) => Document::Array(all.iter().map(document).collect()),
        Value::Object(all) => Document::Object(all.iter().map(|(name, one)| (name.clone(), document(one))).collect()),
    }
}

/// The same the other way round.
pub(super) fn json(document: &Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(is_true) => Value::Bool(*is_true),
        Document::Number(Number::PosInt(number)) => (*number).into(),
        Document::Number(Number::NegInt(number)) => (*number).into(),
        Document::Number(Number::Float(number)) => (*number).into(),
        Document::String(text) => Value::String(text.clone()),
        Document::Array(all) => all.iter().map(json).collect(),
        Document::Object(all) => Value::Object(all.iter().map(|(name, one)| (name.clone(), json(one))).collect()),
    }
}
