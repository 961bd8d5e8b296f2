//! A model whose words and prompts a guardrail reads first.

use futures_util::stream;

use super::{Answer, AnswerStream, Message, ModelError, ModelErrorKind, Part, Prompt, StreamEvent};
use crate::{
    ids::ProviderName,
    ports::{ChatModel, Direction, Guardrail, Verdict},
    tenants::{ModelLink, Tenant},
    untrusted::Untrusted,
};

/// A model behind the guardrail of another provider. What outsiders have written goes past it before the model sees it, and the
/// answer before anybody does; so a stream comes in one piece. A guardrail that does not answer lets nothing through.
pub(crate) struct Guarded<'a> {
    pub(crate) model: &'a dyn ChatModel,
    pub(crate) guardrail: &'a dyn Guardrail,
    /// Whose guardrail it is.
    pub(crate) provider: &'a ProviderName,
}

impl Guarded<'_> {
    pub(crate) async fn chat(&self, tenant: &Tenant, link: &ModelLink, prompt: &Prompt) -> Result<Answer, ModelError> {
        self.pass(tenant, Direction::ToModel, &outside(prompt)).await?;
        let answer = self.model.chat(tenant, link, prompt).await?;
        // It is paid for, whatever becomes of it.
        self.pass(tenant, Direction::FromModel, &answer.text).await.map_err(ModelError::billed)?;
        Ok(answer)
    }

    pub(crate) async fn stream(
        &self,
        tenant: &Tenant,
        link: &ModelLink,
        prompt: &Prompt,
    ) -> Result<AnswerStream, ModelError> {
        let Answer { text, calls, stop, usage, model } = self.chat(tenant, link, prompt).await?;
        let text = Some(text).filter(|text| !text.for_model().is_empty()).map(StreamEvent::Text);
        let events = text.into_iter().chain(calls.into_iter().map(StreamEvent::ToolUse));
        let events = events.chain([StreamEvent::End { stop, usage, model }]).map(Ok);
        Ok(Box::pin(stream::iter(events.collect::<Vec<_>>())))
    }

    async fn pass(&self, tenant: &Tenant, way: Direction, text: &Untrusted<String>) -> Result<(), ModelError> {
        match self.guardrail.check(tenant, self.provider, way, text).await? {
            Verdict::Passes => Ok(()),
            Verdict::Stopped => {
                let message = format!("the guardrail of `{}` does not let this through", self.provider);
                Err(ModelError::new(ModelErrorKind::Refused, message))
            }
        }
    }
}

/// All that outsiders have written, tools' outputs among it.
fn outside(prompt: &Prompt) -> Untrusted<String> {
    let mut all = Untrusted::new(String::new());
    let line = Untrusted::new("\n".to_owned());
    for message in &prompt.messages {
        let texts: Vec<&Untrusted<String>> = match message {
            Message::User(parts) => {
                let quoted = parts.iter().filter_map(|part| match part {
                    Part::Quoted { text, .. } => Some(text),
                    Part::Trusted(_) => None,
                });
                quoted.collect()
            }
            Message::Tools(results) => results.iter().map(|result| &result.output).collect(),
            // It went past the guardrail when it was said.
            Message::Assistant { .. } => Vec::new(),
        };
        for text in texts {
            all.push(text);
            all.push(&line);
        }
    }
    all
}
