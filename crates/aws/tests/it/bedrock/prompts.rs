//! What of a prompt the service has no word for: forms of answers, conversations in another order, guardrails.

use serde_json::{Value, json};
use switchboard_core::{
    models::{Message, ModelErrorKind, Part, Prompt, Schema, StopReason, StreamEvent, Tool, ToolResult, ToolUse},
    ports::ChatModel,
};
use switchboard_testkit::doubles::bedrock::{Asks, BLOCKED, Reply};

use super::{NOVA, Setup, bare, prompt, untrusted};

fn object(field: &str) -> Value {
    json!({"type": "object", "properties": {field: {"type": "string"}}, "required": [field], "additionalProperties": false})
}

fn schema() -> Option<Schema> {
    Some(Schema { name: "choice".to_owned(), schema: object("team") })
}

#[tokio::test]
async fn an_answer_in_a_form_is_a_tool_that_must_be_asked_for() {
    let setup = Setup::new().await;
    let prompt = Prompt { schema: schema(), ..prompt() };
    for (reply, text) in [
        (Reply::text("{\"team\": \"billing\"}"), "{\"team\":\"billing\"}"),
        // Models that cannot be made to: their words are the answer, whatever they are.
        (Reply::text("The team is billing."), "The team is billing."),
        // Words beside the answer are none.
        (
            Reply::Tools {
                text: "Well.".to_owned(),
                calls: vec![Asks { name: "choice".to_owned(), arguments: "{\"team\": \"billing\"}".to_owned() }],
            },
            "{\"team\":\"billing\"}",
        ),
    ] {
        setup.double.reply(reply.clone());
        let answer = setup.model.chat(&setup.tenant, &setup.link, &prompt).await.unwrap();
        assert_eq!((bare(&answer.text).as_str(), answer.stop, answer.calls.len()), (text, StopReason::End, 0));
        let mut streamed = String::new();
        for event in setup.events(&prompt, reply).await {
            match event.unwrap() {
                StreamEvent::Text(words) => streamed.push_str(&bare(&words)),
                StreamEvent::End { stop, .. } => assert_eq!(stop, StopReason::End),
                StreamEvent::ToolUse(_) => panic!("a tool"),
            }
        }
        // In pieces, it is written as the model wrote it.
        assert_eq!(streamed.replace(": \"", ":\""), text);
    }
    let config = &setup.double.asked()[0].body["toolConfig"];
    assert_eq!(config["toolChoice"], json!({"any": {}}), "the one tool");
    assert_eq!(config["tools"][0]["toolSpec"]["name"], "choice");
    // Beside tools that the model may ask for, it asks for one of them, or answers.
    let look = Tool { name: "look_up".to_owned(), description: String::new(), input: object("number") };
    let both = Prompt { tools: vec![look], ..prompt };
    let call = |name: &str, arguments: &str| Asks { name: name.to_owned(), arguments: arguments.to_owned() };
    let reply = || Reply::Tools { text: String::new(), calls: vec![call("look_up", "{\"number\":\"7\"}")] };
    setup.double.reply(reply());
    let answer = setup.model.chat(&setup.tenant, &setup.link, &both).await.unwrap();
    assert_eq!((answer.stop, answer.calls.len()), (StopReason::Tools, 1));
    let events = setup.events(&both, reply()).await;
    assert!(matches!(
        events.as_slice(),
        [Ok(StreamEvent::ToolUse(_)), Ok(StreamEvent::End { stop: StopReason::Tools, .. })]
    ));
}

#[tokio::test]
async fn conversations_of_any_order_are_in_the_order_that_the_service_wants() {
    let setup = Setup::new().await;
    let call =
        |id: &str, input: &str| ToolUse { id: id.to_owned(), name: "look_up".to_owned(), input: untrusted(input) };
    let result =
        |id: &str, output: &str, is_error| ToolResult { id: id.to_owned(), output: untrusted(output), is_error };
    let user = |text: &str| Message::user([Part::Trusted(text.to_owned())]);
    let prompt = Prompt {
        system: " ".to_owned(),
        messages: vec![
            user("one"),
            user("two"),
            Message::Assistant { text: untrusted(" \n"), calls: Vec::new() },
            user("three"),
            Message::Assistant { text: untrusted(" "), calls: vec![call("a", "{\"n\":1.5}"), call("b", "no JSON")] },
            Message::Tools(vec![result("a", "", false), result("b", "gone", true)]),
            user("four"),
        ],
        // No tool is offered any more, and those of before must be, all the same.
        tools: Vec::new(),
        schema: schema(),
        ..prompt()
    };
    setup.double.reply(Reply::text("{\"team\":\"billing\"}"));
    let answer = setup.model.chat(&setup.tenant, &setup.link, &prompt).await.unwrap();
    assert_eq!(bare(&answer.text), "{\"team\":\"billing\"}");
    let body = setup.double.asked().pop().unwrap().body;
    let text = |text: &str| json!({"text": text});
    let used = |id: &str, input: Value| json!({"toolUse": {"toolUseId": id, "name": "look_up", "input": input}});
    let expected = json!([
        {"role": "user", "content": [text("one"), text("two"), text("three")]},
        {"role": "assistant", "content": [used("a", json!({"n": 1.5})), used("b", json!({"input": "no JSON"}))]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "a", "content": [text("(nothing)")]}},
            {"toolResult": {"toolUseId": "b", "content": [text("gone")], "status": "error"}},
            text("four"),
        ]},
    ]);
    assert_eq!(body["messages"], expected);
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "choice"}}));
    assert_eq!(body.get("system"), None);
}

#[tokio::test]
async fn tools_are_asked_for_as_the_model_wrote_them_also_when_that_is_no_json() {
    let setup = Setup::new().await;
    for (arguments, expected) in [("{\"team\": ", "{\"team\": "), ("", "{}"), ("[1,  2]", "[1,2]")] {
        let calls = vec![Asks { name: "look_up".to_owned(), arguments: arguments.to_owned() }];
        let events = setup.events(&prompt(), Reply::Tools { text: String::new(), calls }).await;
        let Some(Ok(StreamEvent::ToolUse(call))) = events.first() else { panic!("no tool: {arguments}") };
        assert_eq!(bare(&call.input), expected);
    }
}

#[tokio::test]
async fn a_guardrail_reads_what_goes_in_and_its_veto_is_a_refusal() {
    let guarded = |version: &str| json!({"kind": "bedrock", "guardrail": {"id": "gr4a7b1c9d2e", "version": version}});
    let setup = Setup::with(guarded("1"), NOVA).await;
    setup.double.block("competitor");
    setup.ask(Reply::text("Hi.")).await.unwrap();
    let config = &setup.double.asked()[0].body["guardrailConfig"];
    assert_eq!((&config["guardrailIdentifier"], &config["guardrailVersion"]), (&json!("gr4a7b1c9d2e"), &json!("1")));
    let asking = Prompt { messages: vec![Message::user([Part::Trusted("Which competitor?".to_owned())])], ..prompt() };
    let plain = setup.model.chat(&setup.tenant, &setup.link, &asking).await.unwrap_err();
    let streamed = setup.events(&asking, Reply::text("Hi.")).await.pop().unwrap().unwrap_err();
    for error in [plain, streamed] {
        assert_eq!((error.kind(), error.may_be_billed()), (ModelErrorKind::Refused, true), "{error}");
        assert!(error.to_string().contains("guardrail") && !error.to_string().contains(BLOCKED), "{error}");
    }
    // Without one, the same words get through.
    let bare = Setup::new().await;
    bare.double.block("competitor");
    bare.model.chat(&bare.tenant, &bare.link, &asking).await.unwrap();
    assert_eq!(bare.double.asked()[0].body.get("guardrailConfig"), None);
    // One that is not there is a mistake of the configuration.
    let setup = Setup::with(guarded("7"), NOVA).await;
    assert_eq!(setup.ask(Reply::text("Hi.")).await.unwrap_err().kind(), ModelErrorKind::Invalid);
}
