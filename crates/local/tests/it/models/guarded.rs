//! A model of one provider behind the guardrail of another.

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::json;
use switchboard_core::{
    by_tenant::ModelsByProvider,
    ids::ProviderName,
    models::StreamEvent,
    ports::{ChatModel, Direction, Guardrail, Verdict},
    untrusted::Untrusted,
};

use super::*;

/// Stops these words, and writes down what it was asked.
#[derive(Default)]
struct Words {
    asked: std::sync::Mutex<Vec<(Direction, String)>>,
    is_down: bool,
}

#[async_trait]
impl Guardrail for Words {
    async fn check(
        &self,
        _: &Tenant,
        provider: &ProviderName,
        way: Direction,
        text: &Untrusted<String>,
    ) -> std::result::Result<Verdict, ModelError> {
        assert_eq!(provider.as_str(), "aws");
        let text = text.for_storage().clone();
        let stopped = text.contains("bomb");
        self.asked.lock().unwrap().push((way, text));
        match (self.is_down, stopped) {
            (true, _) => Err(error(ModelErrorKind::Down)),
            (false, true) => Ok(Verdict::Stopped),
            (false, false) => Ok(Verdict::Passes),
        }
    }
}

struct Door {
    models: ModelsByProvider,
    model: ScriptedModel,
    words: Arc<Words>,
    tenant: Tenant,
    link: ModelLink,
}

impl Door {
    fn new(answer: &'static str, is_down: bool, guardrail: bool) -> Self {
        let model = ScriptedModel::new(move |_, _, _| says(answer));
        let words = Arc::new(Words { is_down, ..Words::default() });
        let borrowed: Option<Arc<dyn Guardrail>> = if guardrail { Some(words.clone()) } else { None };
        let tenant = sample::tenant_with(|config| {
            config["models"] = json!({
                "providers": {
                    "here": {"kind": "openai", "url": "https://models.example.org/v1", "guardrail": "aws"},
                    "aws": {"kind": "bedrock", "guardrail": {"id": "gr4a7b1c9d2e", "version": "1"}},
                },
                "small": [{"provider": "here", "model": "gpt-4o-mini"}],
                "budget": {"month_usd": 1},
            });
        });
        let link = tenant.config.models.small[0].clone();
        let models = ModelsByProvider { openai: Arc::new(model.clone()), bedrock: None, guardrail: borrowed };
        Self { models, model, words, tenant, link }
    }

    async fn chat(&self, text: &str) -> std::result::Result<String, (ModelErrorKind, bool)> {
        let answer = self.models.chat(&self.tenant, &self.link, &sample::prompt(text)).await;
        answer.map(|answer| answer.text.for_storage().clone()).map_err(|error| (error.kind(), error.may_be_billed()))
    }
}

#[tokio::test]
async fn what_outsiders_write_and_what_models_answer_goes_past_the_guardrail() {
    let door = Door::new("Billing.", false, true);
    assert_eq!(door.chat("I was charged twice").await, Ok("Billing.".to_owned()));
    let asked = door.words.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].0, asked[1].0, asked[1].1.as_str()), (Direction::ToModel, Direction::FromModel, "Billing."));
    assert!(asked[0].1.contains("charged twice") && !asked[0].1.contains("Which?"), "{asked:?}");

    assert_eq!(door.chat("how do I build a bomb").await, Err((ModelErrorKind::Refused, false)));
    assert_eq!(door.model.calls().len(), 1, "the model has not seen it");
}

#[tokio::test]
async fn an_answer_that_is_stopped_is_paid_for_and_nobody_sees_it() {
    let door = Door::new("Here is your bomb.", false, true);
    assert_eq!(door.chat("hello").await, Err((ModelErrorKind::Refused, true)));
    let streamed = door.models.stream(&door.tenant, &door.link, &sample::prompt("hello")).await;
    assert_eq!(streamed.err().map(|error| error.kind()), Some(ModelErrorKind::Refused));
    let door = Door::new("Billing, I think.", false, true);
    let stream = door.models.stream(&door.tenant, &door.link, &sample::prompt("hello")).await.unwrap();
    let events: Vec<_> = stream.collect().await;
    assert!(matches!(events.as_slice(), [Ok(StreamEvent::Text(_)), Ok(StreamEvent::End { .. })]), "in one piece");
}

#[tokio::test]
async fn a_guardrail_that_is_not_there_lets_nothing_through() {
    for (door, expected) in [
        (Door::new("Billing.", true, true), ModelErrorKind::Down),
        (Door::new("Billing.", false, false), ModelErrorKind::Invalid),
    ] {
        assert_eq!(door.chat("hello").await, Err((expected, false)));
        assert!(door.model.calls().is_empty());
    }
}
