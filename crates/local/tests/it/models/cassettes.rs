//! Calls that were recorded, and are played again.

use futures_util::StreamExt;
use serde_json::Value;
use switchboard_core::{
    models::{Answer, Cassette, Recorded, Recording, StopReason, StreamEvent, Tape, ToolUse},
    ports::ChatModel,
    untrusted::Untrusted,
};

use super::*;

/// What was recorded, as the lines of a file.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<String>>>);

impl Tape for Lines {
    fn record(&self, recording: Recording) {
        self.0.lock().unwrap().push(serde_json::to_string(&recording).unwrap());
    }
}

impl Lines {
    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn play(&self) -> Cassette {
        Cassette::new(self.read().iter().map(|line| serde_json::from_str(line).unwrap())).unwrap()
    }
}

struct Stage {
    tenant: Tenant,
    link: ModelLink,
    lines: Lines,
}

impl Stage {
    fn new() -> Self {
        let tenant = sample::tenant_with_models(PLENTY);
        let link = tenant.config.models.small[0].clone();
        Self { tenant, link, lines: Lines::default() }
    }

    fn record(&self, model: ScriptedModel) -> Recorded<ScriptedModel> {
        Recorded::new(model, Arc::new(self.lines.clone()), Arc::new(FixedClock::auto()))
    }

    async fn chat(&self, model: &dyn ChatModel, text: &str) -> std::result::Result<Answer, ModelError> {
        model.chat(&self.tenant, &self.link, &sample::prompt(text)).await
    }

    async fn stream(
        &self,
        model: &dyn ChatModel,
        text: &str,
    ) -> (String, std::result::Result<StopReason, ModelErrorKind>) {
        let mut said = String::new();
        let mut events = match model.stream(&self.tenant, &self.link, &sample::prompt(text)).await {
            Ok(events) => events,
            Err(error) => return (said, Err(error.kind())),
        };
        while let Some(event) = events.next().await {
            match event {
                Ok(StreamEvent::Text(text)) => said.push_str(text.for_storage()),
                Ok(StreamEvent::ToolUse(call)) => said.push_str(&format!("<{}>", call.name)),
                Ok(StreamEvent::End { stop, .. }) => return (said, Ok(stop)),
                Err(error) => return (said, Err(error.kind())),
            }
        }
        panic!("a stream without an end: {said}")
    }
}

#[tokio::test]
async fn what_was_recorded_is_played_in_its_order_and_then_the_last_again() {
    let stage = Stage::new();
    let recorded = stage.record(ScriptedModel::new(|n, _, _| match n {
        0 => Turn::Fails(error(ModelErrorKind::Throttled).after(Duration::from_secs(7))),
        n => says(&format!("answer {n}")),
    }));
    for text in ["one", "one", "one", "two"] {
        let _ = stage.chat(&recorded, text).await;
    }
    let cassette = stage.lines.play();
    let throttled = stage.chat(&cassette, "one").await.unwrap_err();
    assert_eq!((throttled.kind(), throttled.retry_after()), (ModelErrorKind::Throttled, Some(Duration::from_secs(7))));
    for (text, expected) in [("one", "answer 1"), ("two", "answer 3"), ("one", "answer 2"), ("one", "answer 2")] {
        let answer = stage.chat(&cassette, text).await.unwrap();
        assert_eq!((answer.text.for_storage().as_str(), answer.usage), (expected, USAGE), "{text}");
    }
    let unknown = stage.chat(&cassette, "three").await.unwrap_err();
    assert_eq!(unknown.kind(), ModelErrorKind::Invalid);
    assert!(unknown.to_string().contains("--record"), "{unknown}");
    let other = ModelLink { model: "another".to_owned(), ..stage.link.clone() };
    assert!(cassette.chat(&stage.tenant, &other, &sample::prompt("one")).await.is_err(), "each model has its own");
}

#[tokio::test]
async fn recordings_have_no_personal_data_and_are_found_all_the_same() {
    let stage = Stage::new();
    let recorded = stage.record(ScriptedModel::new(|_, _, _| says("Write to ben@example.org or 4111 1111 1111 1111")));
    stage.chat(&recorded, "I am ana@example.org, my card is 5555 5555 5555 4444").await.unwrap();
    let lines = stage.lines.read();
    for secret in ["ana@", "ben@", "5555", "4111"] {
        assert!(!lines[0].contains(secret), "{secret} in {}", lines[0]);
    }
    let shown: Value = serde_json::from_str(&lines[0]).unwrap();
    assert!(shown["asked"]["messages"][0]["user"].as_str().unwrap().contains("[email]"), "{shown}");
    // The same about somebody else.
    let answer = stage.chat(&stage.lines.play(), "I am eve@example.com, my card is 4242 4242 4242 4242").await.unwrap();
    assert_eq!(answer.text.for_storage(), "Write to [email] or [card_number]");
}

#[tokio::test]
async fn streams_and_tools_are_played_as_they_ended() {
    let stage = Stage::new();
    let call = ToolUse { id: "c1".to_owned(), name: "look_up".to_owned(), input: Untrusted::new("{}".to_owned()) };
    let asks = move || {
        Turn::Answers(Answer {
            text: Untrusted::new(String::new()),
            calls: vec![call.clone()],
            stop: StopReason::Tools,
            usage: USAGE,
            model: "m".to_owned(),
        })
    };
    let recorded = stage.record(ScriptedModel::new(move |n, _, _| match n {
        0 => says("one two three"),
        1 => asks(),
        2 => Turn::BreaksOff("one two".to_owned(), error(ModelErrorKind::Down)),
        3 => fails(ModelErrorKind::Refused),
        _ => says("one two three"),
    }));
    let texts = ["whole", "tools", "broken", "refused"];
    let mut live = Vec::new();
    for text in texts {
        live.push(stage.stream(&recorded, text).await);
    }
    let cassette = stage.lines.play();
    for (text, live) in texts.into_iter().zip(live) {
        assert_eq!(stage.stream(&cassette, text).await, live, "{text}");
    }
    let answer = stage.chat(&cassette, "tools").await.unwrap();
    assert_eq!((answer.calls.len(), answer.stop), (1, StopReason::Tools));
    // A stream that nobody has listened to has no end.
    let dropped = recorded.stream(&stage.tenant, &stage.link, &sample::prompt("whole again")).await;
    drop(dropped);
    assert_eq!(stage.lines.read().len(), 4);
}

#[tokio::test]
async fn recordings_of_another_form_are_refused() {
    let stage = Stage::new();
    stage.chat(&stage.record(ScriptedModel::new(|_, _, _| says("x"))), "one").await.unwrap();
    let mut line: Value = serde_json::from_str(&stage.lines.read()[0]).unwrap();
    line["version"] = 2.into();
    assert!(Cassette::new([serde_json::from_value(line).unwrap()]).is_err());
}
